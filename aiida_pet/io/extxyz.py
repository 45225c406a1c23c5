"""Reads extxyz, frame by frame, so that a damaged one costs no other. No AiiDA.

Of a frame are read the cell (``Lattice`` or ``cell``, nine numbers: a, b, c one after the other), ``pbc``, species or
atomic numbers, positions (A), flags ``move_mask`` (Cartesian, True moves), the id and other values of the comment line,
and results (:mod:`~aiida_pet.io.input_results`). Names of cell, ``pbc`` and ``Properties`` count in any case. What
else stands beside the atoms is left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TextIO

import numpy as np
from ase import Atoms

from aiida_pet.io import comment_line
from aiida_pet.io.comment_line import Value
from aiida_pet.io.crystal import OWN_KEY, Broken, Crystal, Item, checked
from aiida_pet.io.given_values import GIVEN_COLUMNS
from aiida_pet.io.ids import id_of
from aiida_pet.io.input_results import ResultOptions, take_fields
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.own_record import ATOM_RESULTS, RESULTS, Plain, own_crystal, parsed
from aiida_pet.io.symbols import ISOTOPE_NOTE, ISOTOPES, atomic_number
from aiida_pet.io.velocities import with_velocities
from aiida_pet.tables.fixed_atoms import CARTESIAN
from aiida_pet.tables.table import Array

_CELL_KEYS = ("lattice", "cell")
# Names that others give to lattice vectors; they may mean lengths, other units or columns.
_CELL_LIKE = re.compile(r"lattice|cell|\bbox\b|^(vec|tv)_?1$")
_PROPERTY = re.compile(r"(.+?):([RISLrisl]):([0-9]{1,4})(?::|\Z)")
_PLAIN = "species:S:1:pos:R:3"
_SPECIES = ("species", "symbols", "symbol", "element")
_NUMBERS = ("z", "numbers", "atomic_numbers")
_POSITIONS = ("pos", "positions")
_CONVERTERS = {"R": "a number", "I": "an integer", "L": "T or F"}


class FrameError(ValueError):
    """Raised for a frame that cannot be read; names the value and what was expected."""


def read_extxyz(
    text: TextIO, id_key: str | None, dropped: LeftOut, options: ResultOptions | None = None
) -> Iterator[Item]:
    """Yield each frame. After a damaged frame, reading goes on at the next line that is a number of atoms."""
    options = options or ResultOptions()
    lines = _Lines(text)
    while True:
        head = lines.next_non_blank()
        if head is None:
            return
        start = lines.number
        if _count(head) is None:
            yield Broken(None, f"line {start}: expected a number of atoms, got {head.strip()[:60]!r}")
            lines.skip_to_count()
            continue
        frame, complaint = _frame(lines, head)
        again: set[str] = set()
        values, unreadable = comment_line.parse(frame[1].strip(), again) if len(frame) > 1 else ({}, "")
        row_id, id_name = _id_of(values, id_key)
        try:
            if complaint or unreadable:
                raise FrameError(complaint or unreadable)
            fields = {key: value for key, value in values.items() if key != id_name}
            found = _crystal(fields, frame[2:], start + 2, options, dropped, id_key=id_key)
        except ValueError as error:
            yield Broken(row_id, f"frame at line {start}: {error}")
            continue
        for key in sorted(again):
            dropped.note(f"{key!r} occurs more than once in a comment line; the last value was used")
        found.id = row_id if found.id is None else found.id
        yield found


def _count(line: str) -> int | None:
    text = line.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _frame(lines: _Lines, head: str) -> tuple[list[str], str]:
    """Return the lines of a frame and, if they are too few, a complaint; the next frame is not touched."""
    wanted = int(head)
    frame = [head]
    while len(frame) < wanted + 2:
        line = lines.next()
        if line is None:
            return frame, f"expected {wanted} atoms, got {max(len(frame) - 2, 0)} before the end of the file"
        if len(frame) >= 2 and _count(line) is not None:
            lines.push_back(line)
            return frame, f"expected {wanted} atoms, got {len(frame) - 2} before the next frame"
        frame.append(line)
    return frame, ""


def _id_of(values: dict[str, Value], id_key: str | None) -> tuple[str | None, str | None]:
    texts = {key: comment_line.text_of(value) for key, value in values.items()}
    return id_of(texts, id_key)


def _crystal(
    values: dict[str, Value],
    rows: list[str],
    first_line: int,
    options: ResultOptions,
    left_out: LeftOut,
    *,
    id_key: str | None,
) -> Crystal:
    """Return the crystal of a frame; its id is left to the caller, unless this program wrote it elsewhere.

    :raises ValueError: naming the value that is wrong and what was expected.
    """
    cell = _cell(values)
    pbc = _pbc(values, cell is not None)
    properties = _take(values, ("properties",))
    if properties is None and values and all(value.flag for value in values.values()):
        left_out.add("text of the comment line")
        values.clear()
    arrays = _arrays(_PLAIN if properties is None else properties.text, rows, first_line, left_out)
    numbers, positions = _species(arrays, first_line, left_out), _positions(arrays)
    atoms = checked(Atoms(numbers=numbers, positions=positions, cell=cell, pbc=pbc))
    held = _held(arrays, len(atoms))
    if held is not None:
        arrays[CARTESIAN] = held
    fields = {key: comment_line.typed(value) for key, value in values.items()}
    own = parsed(fields.pop(OWN_KEY, None))
    if own is not None:
        results: dict[str, Any] = {name: fields.pop(name) for name in RESULTS if name in fields}
        results |= {name: arrays.pop(name) for name in ATOM_RESULTS if name in arrays}
        return own_crystal(own, atoms, Plain(fields, arrays, results), id_key, left_out)
    geometry = (len(atoms), atoms.cell.array)
    arrays = with_velocities(arrays, atoms.numbers, left_out)
    return Crystal(None, atoms, *take_fields(fields, arrays, geometry, options, left_out))


def _take(values: dict[str, Value], names: tuple[str, ...]) -> Value | None:
    """Take the value whose key is one of ``names``, in any case, out of ``values``.

    :raises FrameError: if several say different things.
    """
    keys = [key for key in values if key.lower() in names]
    found = {key: values.pop(key) for key in keys}
    if len({" ".join(value.text.split()) for value in found.values()}) > 1:
        raise FrameError(f"{' and '.join(found)} contradict each other: expected only one of them")
    return next(iter(found.values()), None)


def _cell(values: dict[str, Value]) -> Array | None:
    value = _take(values, _CELL_KEYS)
    if value is None:
        _refuse_other_cells(values)
        return None
    numbers = comment_line.numbers(value.text)
    if numbers is None or numbers.shape != (9,):
        raise FrameError(
            f"the cell is {value.text[:60]!r}: expected nine numbers, the lattice vectors a, b and c in A"
        )
    cell = numbers.reshape(3, 3)
    if "[" in value.text and not np.array_equal(cell, cell.T):
        raise FrameError(
            f"the cell {value.text[:60]!r} is a nested list, and programs disagree whether its rows are the lattice "
            "vectors: expected nine numbers in quotes, the vectors a, b and c one after the other"
        )
    return cell


def _refuse_other_cells(values: dict[str, Value]) -> None:
    """:raises FrameError: if a frame without ``Lattice`` has lattice vectors under another name."""
    for key, value in values.items():
        found = comment_line.numbers(value.text)
        if found is None or found.size < 3 or key in GIVEN_COLUMNS:
            continue
        vectors = all(name in values for name in "abc") and key == "a"
        if vectors or _CELL_LIKE.search(key.lower()):
            raise FrameError(
                f"it has no Lattice, but {key}={value.text[:60]!r}: expected the cell as "
                'Lattice="ax ay az bx by bz cx cy cz" in A; rename the key, or remove it if the frame has no cell'
            )


def _pbc(values: dict[str, Value], has_cell: bool) -> list[bool]:
    value = _take(values, ("pbc",))
    if value is None:
        return [has_cell] * 3
    found = comment_line.flags(value.text)
    if found is None and re.fullmatch("[TF]{3}", value.text.upper()):
        found = [letter == "T" for letter in value.text.upper()]
    if found is None or len(found) not in (1, 3):
        raise FrameError(f"pbc is {value.text[:40]!r}: expected three of T and F")
    return found * 3 if len(found) == 1 else found


@lru_cache(maxsize=256)
def _properties(text: str) -> tuple[tuple[str, str, int], ...]:
    """Return (name, kind, number of columns) of each property; names may hold colons, ``mtt::aux::q``.

    :raises FrameError: if it is no such list.
    """
    found, place = [], 0
    while place < len(text):
        match = _PROPERTY.match(text, place)
        if match is None:
            raise FrameError(
                f"Properties is {text[:80]!r}: expected NAME:KIND:COLUMNS one after the other, KIND one of R I S L"
            )
        found.append((match[1], match[2].upper(), int(match[3])))
        place = match.end()
    return tuple(found)


def _arrays(properties: str, rows: list[str], first_line: int, left_out: LeftOut) -> dict[str, Any]:
    """Return name -> (n,) or (n, columns) array of each property, lists of texts for those of kind S."""
    layout = _properties(properties)
    width = sum(columns for _, _, columns in layout)
    parts = [row.split() for row in rows]
    for number, row in enumerate(parts):
        if len(row) < width:
            raise FrameError(f"line {first_line + number} has {len(row)} values: expected {width}")
    if any(len(row) > width for row in parts):
        left_out.add("further values after the values of Properties")
    arrays: dict[str, Any] = {}
    start = 0
    for name, kind, columns in layout:
        if kind == "S":
            arrays[name] = [" ".join(row[start : start + columns]) for row in parts]
        else:
            flat = [row[start + column] for row in parts for column in range(columns)]
            shape = (len(rows),) if columns == 1 else (len(rows), columns)
            arrays[name] = _converted(flat, kind, name, columns, first_line).reshape(shape)
        start += columns
    return arrays


def _converted(flat: list[str], kind: str, name: str, columns: int, first_line: int) -> Array:
    try:
        if kind == "L":
            found = comment_line.flags(" ".join(flat))
            if found is None or len(found) != len(flat):
                raise ValueError
            return np.array(found, dtype=bool)
        return np.array([*map(float, flat)], dtype=np.float64) if kind == "R" else np.array([*map(int, flat)])
    except (ValueError, OverflowError):
        for place, text in enumerate(flat):
            if not _converts(text, kind):
                line = first_line + place // columns
                raise FrameError(
                    f"line {line}: {name} is {text[:40]!r}: expected {_CONVERTERS[kind]}"
                ) from None
        raise FrameError(f"{name} has numbers that are too large") from None


def _converts(text: str, kind: str) -> bool:
    if kind == "L":
        return len(comment_line.flags(text) or ()) == 1
    try:
        (float if kind == "R" else int)(text)
    except ValueError:
        return False
    return True


def _named(arrays: dict[str, Any], names: tuple[str, ...]) -> Any:
    key = next((key for key in arrays if key.lower() in names), None)
    return None if key is None else arrays.pop(key)


def _species(arrays: dict[str, Any], first_line: int, left_out: LeftOut) -> Array:
    symbols = _named(arrays, _SPECIES)
    if symbols is None:
        numbers = _named(arrays, _NUMBERS)
        if numbers is None or np.shape(numbers) != (len(numbers),):
            raise FrameError("Properties has no species: expected species:S:1 or Z:I:1")
        return np.asarray(numbers)
    known: dict[str, int] = {}
    for number, symbol in enumerate(map(str, symbols)):
        if symbol not in known:
            try:
                known[symbol] = atomic_number(symbol)
            except ValueError as error:
                raise FrameError(f"line {first_line + number}: species: {error}") from error
    if any(symbol.capitalize() in ISOTOPES for symbol in known):
        left_out.note(ISOTOPE_NOTE)
    return np.array([known[str(symbol)] for symbol in symbols], dtype=np.int64)


def _positions(arrays: dict[str, Any]) -> Array:
    positions = _named(arrays, _POSITIONS)
    if positions is None or np.shape(positions)[1:] != (3,):
        raise FrameError("Properties has no positions: expected pos:R:3")
    return np.asarray(positions, dtype=np.float64)


def _held(arrays: dict[str, Any], n_atoms: int) -> Array | None:
    """(n, 3) bool, True = held, of ``move_mask``, in which True moves; None where nothing is held."""
    mask = _named(arrays, ("move_mask",))
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.dtype.kind == "i" and np.isin(mask, (0, 1)).all():
        mask = mask.astype(bool)
    if mask.dtype.kind != "b" or mask.shape not in ((n_atoms,), (n_atoms, 3)):
        raise FrameError("move_mask: expected flags, as move_mask:L:1 or move_mask:L:3")
    held = ~(mask[:, None].repeat(3, axis=1) if mask.ndim == 1 else mask)
    return held if held.any() else None


class _Lines:
    """Lines with their number, one of which can be put back."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._back: str | None = None
        self.number = 0

    def next(self) -> str | None:
        if self._back is not None:
            line, self._back = self._back, None
        else:
            line = self._text.readline()
        if not line:
            return None
        self.number += 1
        return line

    def push_back(self, line: str) -> None:
        self._back = line
        self.number -= 1

    def next_non_blank(self) -> str | None:
        while (line := self.next()) is not None:
            if line.strip():
                return line
        return None

    def skip_to_count(self) -> None:
        while (line := self.next()) is not None:
            if _count(line) is not None:
                self.push_back(line)
                return
