"""The symmetry that a CIF states, as operations: listed ones, a Hall symbol, a Hermann-Mauguin symbol or a number.

Symbols are looked up in spglib's database of the 530 settings of ITA. Of settings that share a symbol, those count
whose operations leave the cell as it is; of two choices of the origin the first is taken, as in pymatgen and ASE, and
said.
A symmetry that is named and not understood is refused, since P1 would be another crystal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

import numpy as np
import spglib

from aiida_pet.io.cif_text import Block, CifError
from aiida_pet.tables.table import Array

OPERATIONS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_HERMANN_MAUGUIN = (
    "_space_group_name_h-m_alt",
    "_symmetry_space_group_name_h-m",
    "_space_group_name_h-m_full",
    "_symmetry_space_group_name_h-m_full",
)
_NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number")
_CHOICE = ("_space_group_it_coordinate_system_code", "_symmetry_space_group_setting")
_TERM = re.compile(r"([+-]?)(?:([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:/([0-9]+))?\*?)?([xyz]?)")
_SUFFIX = re.compile(
    r"\s*(?::\s*([12hr]|-?[abc][123]?)|(?<=\s)([szhr])|\(origin choice ([12])\))\s*\Z", re.IGNORECASE
)
# Letters of ICSD: S is the first origin, Z that at a centre of inversion.
_LETTERS = {"s": "1", "z": "2"}
_MAX_OPERATIONS = 192
# The metric of the cell may change by so much under an operation, relative to its largest element.
_METRIC = 0.02
# Translations of operations are equal within this, in fractions of the cell: 0.3333 is 1/3.
_TRANSLATION = 2e-3


@dataclass(frozen=True)
class Symmetry:
    """Operations x' = rotation x + translation on fractional coordinates.

    :ivar rotations: (n, 3, 3) int.
    :ivar translations: (n, 3).
    :ivar notes: what a summary says of how they were found.
    """

    rotations: Array
    translations: Array
    notes: tuple[str, ...] = ()


def symmetry_of(block: Block, cell: Array) -> Symmetry:
    """Return the symmetry that ``block`` states, P1 if it states none.

    :param cell: (3, 3) A, vectors in rows.
    :raises CifError: if it is named and not understood, contradicts itself, or does not leave the cell as it is.
    """
    texts = [token.text for name in OPERATIONS for token in block.values.get(name, []) if not token.missing]
    hall, symbol, number = block.first(*_HALL), block.first(*_HERMANN_MAUGUIN), _number(block)
    if texts:
        listed = _listed(tuple(dict.fromkeys(texts)))
        found = Symmetry(*listed, _disagreement(*listed, hall, symbol, number))
    elif any(name.startswith(("_space_group_magn", "_space_group_symop_magn")) for name in block.values):
        raise CifError(
            "its symmetry is given as a magnetic space group, which is not read: expected operations x,y,z"
        )
    elif hall is not None or symbol is not None or number is not None:
        found = _named(block, hall, symbol, number, cell)
    else:
        found = Symmetry(np.eye(3, dtype=int)[None], np.zeros((1, 3)))
    if not _leaves_metric(found.rotations, cell):
        raise CifError(
            "its cell does not have the symmetry in the file: the operations change lengths and angles of the cell"
        )
    return found


def _number(block: Block) -> int | None:
    text = block.first(*_NUMBER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 230):
        raise CifError(f"the number of its space group is {text[:20]!r}: expected 1 to 230")
    return int(text)


# -- operations ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _listed(texts: tuple[str, ...]) -> tuple[Array, Array]:
    """Return rotations and translations of operations ``x,y,z``.

    :raises CifError: if one cannot be read, or they are no group.
    """
    if len(texts) > _MAX_OPERATIONS:
        raise CifError(f"it lists {len(texts)} operations of symmetry: expected at most {_MAX_OPERATIONS}")
    parsed = [_operation(text) for text in texts]
    rotations = np.array([rotation for rotation, _ in parsed])
    translations = np.array([translation for _, translation in parsed])
    if not _is_group(rotations, translations):
        raise CifError(
            f"its {len(texts)} operations of symmetry do not form a group: some are missing or wrong, or x,y,z is not "
            "among them"
        )
    return rotations, translations


def _operation(text: str) -> tuple[Array, Array]:
    parts = text.lower().replace(" ", "").strip("'\"").split(",")
    rotation, translation = np.zeros((3, 3), dtype=int), np.zeros(3)
    if len(parts) != 3 or not all(parts):
        raise CifError(f"operation of symmetry {text[:40]!r}: expected three terms, as in x,-y,z+1/2")
    for row, part in enumerate(parts):
        place = 0
        while place < len(part):
            match = _TERM.match(part, place)
            if match is None or not (match[2] or match[4]) or (match[3] and not int(match[3])):
                raise CifError(f"operation of symmetry {text[:40]!r}: expected terms as in x,-y,z+1/2")
            sign = -1 if match[1] == "-" else 1
            value = sign * (Fraction(match[2] or "1") / int(match[3] or 1))
            if match[4]:
                rotation[row, "xyz".index(match[4])] += int(value) if value.denominator == 1 else 99
            else:
                translation[row] += float(value)
            place = match.end()
    if abs(round(np.linalg.det(rotation))) != 1 or np.abs(rotation).max() > 3:
        raise CifError(f"operation of symmetry {text[:40]!r} is not a rotation or reflection of a lattice")
    return rotation, translation


def _is_group(rotations: Array, translations: Array) -> bool:
    """Return whether the product of any two operations is one of them, up to lattice translations."""
    codes = _codes(rotations)
    by_code: dict[int, list[Array]] = {}
    for code, translation in zip(codes.tolist(), translations, strict=True):
        by_code.setdefault(code, []).append(translation)
    products = np.einsum("aij,bjk->abik", rotations, rotations).reshape(-1, 3, 3)
    shifts = (np.einsum("aij,bj->abi", rotations, translations) + translations[:, None]).reshape(-1, 3)
    for code, group in _grouped(_codes(products), shifts).items():
        known = np.array(by_code.get(code, [])).reshape(-1, 3)
        apart = group[:, None] - known[None]
        if (
            not len(known)
            or (np.abs(apart - np.rint(apart)).max(axis=2).min(axis=1) > 2 * _TRANSLATION).any()
        ):
            return False
    return int(_codes(np.eye(3, dtype=int)[None])[0]) in by_code


def _codes(rotations: Array) -> Array:
    """(n,) int of (n, 3, 3) matrices of -3 to 3; larger elements are cut off."""
    return (np.clip(rotations, -4, 4).reshape(-1, 9) + 4) @ (9 ** np.arange(9))


def _grouped(codes: Array, shifts: Array) -> dict[int, Array]:
    order = np.argsort(codes, kind="stable")
    borders = np.flatnonzero(np.diff(codes[order])) + 1
    starts = np.concatenate([[0], borders])
    return dict(zip(codes[order][starts].tolist(), np.split(shifts[order], borders), strict=True))


def _leaves_metric(rotations: Array, cell: Array) -> bool:
    metric = cell @ cell.T
    turned = np.einsum("nji,jk,nkl->nil", rotations, metric, rotations)
    return bool(np.abs(turned - metric).max() <= _METRIC * np.abs(metric).max())


# -- symbols ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Setting:
    """One of the 530 settings of spglib's database."""

    index: int
    number: int
    hall: str
    names: frozenset[str]
    choice: str


@cache
def _settings() -> list[_Setting]:
    settings = []
    for index in range(1, 531):
        kind = spglib.get_spacegroup_type(index)
        if kind is None:
            continue
        names = {kind.international.split("=")[-1], kind.international_full}
        if "=" not in kind.international:
            names.add(kind.international_short)
        names |= {re.sub(r"(?<=.) 1(?= |\Z)", "", name) for name in names if 3 <= kind.number <= 15}
        if kind.number >= 195:  # F m 3 m of older tables
            names |= {name.replace("-3", "3") for name in names}
        if kind.number in _RENAMED:
            names |= set(_RENAMED[kind.number])
        plain = frozenset(_plain(name) for name in names)
        settings.append(
            _Setting(index, kind.number, _plain_hall(kind.hall_symbol), plain, kind.choice.lower())
        )
    return settings


# Symbols of ITA before 1992, of the first setting.
_RENAMED = {39: ("A b m 2",), 41: ("A b a 2",), 64: ("C m c a",), 67: ("C m m a",), 68: ("C c c a",)}


def _plain(name: str) -> str:
    """Return a symbol without blanks, in small letters: ``P 2_1/c`` and ``P2(1)/c`` are ``p21/c``."""
    return re.sub(r"[\s_]|\((?=[0-9]\))|(?<=\([0-9])\)", "", name).lower()


def _plain_hall(symbol: str) -> str:
    # a double quote is an axis of its own: -P 3 2" is another group than -P 3 2
    return " ".join(symbol.replace("_", " ").replace("''", '"').split()).lower()


def _named(block: Block, hall: str | None, symbol: str | None, number: int | None, cell: Array) -> Symmetry:
    """Return the symmetry of a symbol or number, Hall's before all."""
    found = [setting for setting in _settings() if hall is not None and setting.hall == _plain_hall(hall)]
    notes: list[str] = []
    if hall is not None and not found and symbol is None:
        raise CifError(f"its symmetry is the Hall symbol {hall[:40]!r}, which is not known: {_REMEDY}")
    if hall is not None and not found and "(" in hall:
        raise CifError(
            f"its Hall symbol {hall[:40]!r} has a shift of the origin, and such symbols are not read: {_REMEDY}"
        )
    if not found:
        found = _by_symbol(block, symbol, number)
        if hall is not None:
            notes.append("the Hall symbol of a CIF is not known, so its Hermann-Mauguin symbol was used")
    elif symbol is not None:
        named = {
            setting.number for setting in _settings() if _plain(_SUFFIX.sub("", symbol)) in setting.names
        }
        if named and not named & {setting.number for setting in found}:
            raise CifError(
                f"its Hall symbol belongs to space group {found[0].number}, but its name is {symbol!r}"
            )
    if number is not None and all(setting.number != number for setting in found):
        raise CifError(
            f"its symbol belongs to space group {found[0].number}, but its number is {number}: {_REMEDY}"
        )
    fitting = [setting for setting in found if _leaves_metric(_database(setting.index)[0], cell)]
    if not fitting:
        raise CifError(
            f"its cell does not have the symmetry of {symbol or hall or number!r}: the operations change lengths and "
            "angles of the cell"
        )
    chosen = fitting[0]
    origins = {setting.choice for setting in fitting if setting.number == chosen.number} & {"1", "2"}
    if len(origins) == 2:
        notes.append("a CIF does not say which origin its space group has, so the first choice was used")
    return Symmetry(*_database(chosen.index), tuple(notes))


_REMEDY = (
    "expected the operations in _space_group_symop_operation_xyz, or a symbol of the International Tables"
)


def _by_symbol(block: Block, symbol: str | None, number: int | None) -> list[_Setting]:
    choice = block.first(*_CHOICE)
    if symbol is not None:
        suffix = _SUFFIX.search(symbol)
        if suffix is not None:
            choice = next(part for part in suffix.groups() if part)
            symbol = symbol[: suffix.start()]
        plain = _plain(symbol)
        found = [setting for setting in _settings() if plain in setting.names]
        if not found and plain[-1:] in ("h", "r", "s", "z"):  # R-3mH
            choice = plain[-1]
            found = [setting for setting in _settings() if plain[:-1] in setting.names]
        if not found:
            raise CifError(f"its space group {symbol[:40]!r} is not known: {_REMEDY}")
    else:
        found = [setting for setting in _settings() if setting.number == number]
    if choice is None:
        return found
    wanted = _LETTERS.get(choice.lower(), choice.lower())
    chosen = [setting for setting in found if setting.choice == wanted]
    if not chosen and len(found) > 1 and wanted != "1":
        raise CifError(f"its space group has no setting {choice[:20]!r}: {_REMEDY}")
    return chosen or found


@cache
def _database(index: int) -> tuple[Array, Array]:
    data = spglib.get_symmetry_from_database(index)
    if data is None:
        raise CifError(f"spglib has no setting {index}")
    return np.asarray(data["rotations"]), np.asarray(data["translations"])


def _disagreement(
    rotations: Array, translations: Array, hall: str | None, symbol: str | None, number: int | None
) -> tuple[str, ...]:
    """Return the word that is due where operations are those of another space group than the one that is named."""
    numbers = {
        setting.number for setting in _settings() if hall is not None and setting.hall == _plain_hall(hall)
    }
    if not numbers and symbol is not None:
        plain = _plain(_SUFFIX.sub("", symbol))
        numbers = {setting.number for setting in _settings() if plain in setting.names}
    if not numbers and number is not None:
        numbers = {number}
    if not numbers or _group_number(rotations.tobytes(), translations.tobytes(), len(rotations)) in (
        *numbers,
        None,
    ):
        return ()
    return (
        "the operations in a CIF belong to another space group than its symbol; the operations were used",
    )


@lru_cache(maxsize=256)
def _group_number(rotations: bytes, translations: bytes, n: int) -> int | None:
    kind = spglib.get_spacegroup_type_from_symmetry(
        np.frombuffer(rotations, dtype=int).reshape(n, 3, 3),
        np.frombuffer(translations, dtype=float).reshape(n, 3),
        symprec=1e-3,
    )
    return None if kind is None else int(kind.number)
