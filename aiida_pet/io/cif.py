"""Reads CIF: each data block with atoms is a crystal, its symmetry applied. No AiiDA.

Images of a site that lie within :data:`MERGED` A of each other are one atom, in their middle, which is on the symmetry
element: coordinates such as 0.333 for 1/3 give no atoms twice. Sites must be ordered; an occupancy that is not said is
1.

The id is what this program wrote (``_pet_id``); in a file of several crystals the name of the data block, if no other
block has it and it is no word that programs put there; else the file's name gives it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import cellpar_to_cell
from scipy.spatial import cKDTree

from aiida_pet.io.cif_symmetry import Symmetry, symmetry_of
from aiida_pet.io.cif_text import Block, CifError, Token, blocks_of
from aiida_pet.io.cif_writer import ID_ITEM
from aiida_pet.io.crystal import Broken, Crystal, Item, checked
from aiida_pet.io.ids import is_row_number
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.symbols import ISOTOPE_NOTE, ISOTOPES, atomic_number
from aiida_pet.tables.table import Array

MERGED = 0.1
"""Images of one site nearer than this are one atom, A: no two atoms are so near, and coordinates of two digits are."""

_TOLD = 1e-3  # A: what was merged over a longer distance is told
_SAME_SITE = 0.01  # A: sites of one element nearer than this are one that is listed twice
_CELL = (
    "_cell_length_a",
    "_cell_length_b",
    "_cell_length_c",
    "_cell_angle_alpha",
    "_cell_angle_beta",
    "_cell_angle_gamma",
)
_FRACTIONAL = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")
_CARTESIAN = tuple(f"_atom_site_cartn_{axis}" for axis in "xyz")
_SYMBOL, _LABEL, _OCCUPANCY = "_atom_site_type_symbol", "_atom_site_label", "_atom_site_occupancy"
_CALCULATED = "_atom_site_calc_flag"
_ASSEMBLY = "_atom_site_disorder_assembly"
_GROUP = "_atom_site_disorder_group"
_OF_SITES = (_SYMBOL, _LABEL, _OCCUPANCY, _CALCULATED, _ASSEMBLY, _GROUP)
_MULTIPLICITY = "_atom_site_symmetry_multiplicity"
_FORMULA = "_chemical_formula_sum"
_UNCERTAINTY = re.compile(r"\([0-9]*\)?\Z")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")
_CHARGE = re.compile(r"(?:[0-9.]*[+-]|[+-][0-9.]+|[0-9]+)\Z")
_GENERIC = re.compile(
    r"(|global|image[0-9]*|vesta_phase_[0-9]+|x|i|structure|crystal|untitled|unnamed)\Z", re.I
)
_MAX_ATOMS = 1_000_000


def read_cif(text: TextIO, id_key: str | None, dropped: LeftOut) -> Iterator[Item]:
    """Yield the crystal of each data block that has atoms.

    :param id_key: item that holds the id, with or without the underscore; None for the rules above.
    :raises ValueError: if no block has atoms.
    """
    blocks = blocks_of(text.read())
    with_atoms = [block for block in blocks if _has_atoms(block)]
    if not with_atoms:
        problem = next(
            (f": data block {block.name!r}: {block.problem}" for block in blocks if block.problem), ""
        )
        raise ValueError("expected a CIF data block with a cell and atom sites, got none" + problem)
    for block in blocks:
        if block not in with_atoms and block.name.lower() != "global":
            dropped.note("a data block of a CIF has no atoms and was skipped")
    names = Counter(block.name for block in with_atoms)
    if any(count > 1 and not _is_generic(name, len(blocks)) for name, count in names.items()):
        dropped.note("several data blocks of a CIF have the same name, so their ids are file name and number")
    for block in with_atoms:
        usable = len(with_atoms) > 1 and names[block.name] == 1 and not _is_generic(block.name, len(blocks))
        row_id = _id_of(block, id_key, usable)
        try:
            yield Crystal(row_id, _atoms(block, dropped))
        except ValueError as error:
            yield Broken(row_id, f"data block {block.name!r}: {error}")


def _is_generic(name: str, n_blocks: int) -> bool:
    """Return whether a program puts ``name`` there, as a word or to count the blocks; ``1000017`` is an id, of COD."""
    counts = is_row_number(name) and len(name) < 7 and int(name) <= n_blocks
    return counts or _GENERIC.match(name) is not None


def _has_atoms(block: Block) -> bool:
    return any(all(name in block.values for name in names) for names in (_FRACTIONAL, _CARTESIAN))


def _id_of(block: Block, id_key: str | None, named: bool) -> str | None:
    if id_key == "":
        return None
    item = ID_ITEM if id_key is None else f"_{id_key.lstrip('_').lower().replace('.', '_')}"
    return block.first(item) or (block.name if named and id_key is None else None)


def _atoms(block: Block, left_out: LeftOut) -> Atoms:
    """Return the atoms of a block.

    :raises ValueError: naming site, value and what was expected.
    """
    if block.problem:
        raise CifError(block.problem)
    cell = _cell(block)
    sites = _sites(block, cell, left_out)
    if cell is None:
        return checked(Atoms(sites.numbers, sites.coordinates))
    symmetry = symmetry_of(block, cell)
    for note in symmetry.notes:
        left_out.note(note)
    n_sites, n_operations = len(sites.numbers), len(symmetry.rotations)
    if n_sites * n_operations > _MAX_ATOMS:
        raise CifError(
            f"{n_sites} sites under {n_operations} operations: expected at most {_MAX_ATOMS} atoms"
        )
    where, owners = _images(sites, symmetry, cell, left_out)
    atoms = checked(Atoms(sites.numbers[owners], where @ cell, cell=cell, pbc=True))
    _compare_multiplicities(block, sites, owners, left_out)
    _compare_formula(block, atoms, left_out)
    return atoms


def _cell(block: Block) -> Array | None:
    """(3, 3) A in ASE's orientation: a along x, b in the plane xy; None where a block has Cartesian sites only."""
    if not any(name in block.values for name in _CELL):
        if all(name in block.values for name in _FRACTIONAL):
            raise CifError("it has no cell: expected _cell_length_a and the other lengths and angles")
        return None
    values = []
    for name in _CELL:
        token = next(iter(block.values.get(name, [])), None)
        values.append(_number(token, f"{name}"))
    cell = np.asarray(cellpar_to_cell(values)) if _is_cell(values) else np.zeros((3, 3))
    if not (np.isfinite(cell).all() and abs(np.linalg.det(cell)) > 1e-6):
        raise CifError(
            f"lengths and angles of its cell, {' '.join(f'{v:g}' for v in values)}, do not give a cell with a volume"
        )
    return cell


def _is_cell(values: list[float]) -> bool:
    """Return whether lengths and angles in degrees are those of a cell."""
    cosines = np.cos(np.radians(values[3:]))
    volume = 1 - (cosines**2).sum() + 2 * cosines.prod()
    return (
        all(0 < length < 1e5 for length in values[:3])
        and all(0 < a < 180 for a in values[3:])
        and volume > 1e-9
    )


def _number(token: Token | None, name: str) -> float:
    if token is None:
        raise CifError(f"{name} is missing: expected a number")
    text = _UNCERTAINTY.sub("", token.text.strip())
    if _NUMBER.match(text):
        return float(text)
    parts = text.split("/")
    if len(parts) == 2 and all(map(_NUMBER.match, parts)) and float(parts[1]):
        return float(parts[0]) / float(parts[1])
    raise CifError(f"{name} is {token.text[:40]!r}: expected a number")


@dataclass(frozen=True)
class _Sites:
    """Sites of a block.

    :ivar labels: for messages.
    :ivar numbers: (n,) atomic numbers.
    :ivar coordinates: (n, 3) fractional, or Cartesian in A where there is no cell.
    """

    labels: list[str]
    numbers: Array
    coordinates: Array


def _sites(block: Block, cell: Array | None, left_out: LeftOut) -> _Sites:
    """Return the sites of a block.

    :raises CifError: naming the site and the value that is wrong.
    """
    fractional = all(name in block.values for name in _FRACTIONAL)
    columns = _FRACTIONAL if fractional else _CARTESIAN
    names = [*columns, *(name for name in _OF_SITES if name in block.values)]
    n_sites = len(block.values[columns[0]])
    if any(len(block.values[name]) != n_sites for name in names):
        raise CifError("its items _atom_site have different numbers of values: expected one for each site")
    labels, numbers, coordinates = [], [], []
    unknown, isotopes = 0, False
    groups: dict[str, dict[str, str]] = {}
    for site in range(n_sites):
        row = {name: block.values[name][site] for name in names}
        if _CALCULATED in row and row[_CALCULATED].text.lower() == "dum":
            left_out.note("a dummy site of a CIF was left out")
            continue
        named = [row[name].text for name in (_LABEL, _SYMBOL) if name in row and not row[name].missing]
        label = named[0] if named else f"{site + 1}"
        symbol = _symbol(row, label)
        isotopes |= symbol.capitalize() in ISOTOPES
        try:
            numbers.append(atomic_number(symbol))
        except ValueError as error:
            raise CifError(f"site {label}: {error}") from error
        coordinates.append([_number(row[name], f"site {label}: {name}") for name in columns])
        unknown += _check_occupancy(row.get(_OCCUPANCY), label, symbol)
        labels.append(label)
        groups.setdefault(_text(row.get(_ASSEMBLY)), {}).setdefault(_text(row.get(_GROUP)), label)
    _refuse_alternatives(groups)
    if unknown:
        left_out.note("a CIF gives no occupancy, so an occupancy of 1 was assumed")
    if isotopes:
        left_out.note(ISOTOPE_NOTE)
    where = np.array(coordinates, dtype=np.float64).reshape(-1, 3)
    if not fractional and cell is not None:
        where = np.linalg.solve(cell.T, where.T).T
    return _Sites(labels, np.array(numbers, dtype=np.int64), where)


def _text(token: Token | None) -> str:
    return "" if token is None or token.missing else token.text


def _refuse_alternatives(groups: dict[str, dict[str, str]]) -> None:
    """:raises CifError: if sites are alternatives of each other: several groups of one assembly."""
    for assembly, found in groups.items():
        several = {group: label for group, label in found.items() if group not in ("", "0")}
        if len(several) > 1:
            shown = ", ".join(f"{label} of group {group}" for group, label in list(several.items())[:3])
            raise CifError(
                f"some of its sites are alternatives to each other (_atom_site_disorder_group {shown}"
                f"{f', assembly {assembly}' if assembly else ''}): expected an ordered crystal; "
                "leave one group in the file"
            )


def _symbol(row: dict[str, Token], label: str) -> str:
    """Return the element symbol of a site, without its charge; from its label where it has no symbol.

    :raises CifError: if a label in capitals may be one element or another: ``SI1``, ``HO1``.
    """
    token = row.get(_SYMBOL)
    if token is not None and not token.missing:
        return _CHARGE.sub("", token.text.strip()) or token.text
    capitals = re.match(r"[A-Z][A-Z]", label)
    if capitals and {capitals[0].capitalize(), label[0]} <= set(chemical_symbols[1:]):
        raise CifError(
            f"site {label} has no _atom_site_type_symbol, and its label may mean {label[0]} or "
            f"{capitals[0].capitalize()}: expected the element symbol"
        )
    match = re.match(r"([A-Z][a-z]?)(?![a-z])", label)
    return match[1] if match else label


def _check_occupancy(token: Token | None, label: str, symbol: str) -> bool:
    """Return whether an occupancy is not said.

    :raises CifError: if it is another than 1.
    """
    if token is None:
        return False
    if token.missing:
        return True
    share = _number(token, f"site {label}: {_OCCUPANCY}")
    if abs(share - 1) > 1e-6:
        raise CifError(
            f"site {label} is disordered ({symbol} with occupancy {share:g}): expected one species of occupancy 1"
        )
    return False


# -- images of sites ---------------------------------------------------------------------------------------------------


def _images(sites: _Sites, symmetry: Symmetry, cell: Array, left_out: LeftOut) -> tuple[Array, Array]:
    """Return (A, 3) fractional coordinates of all atoms, and (A,) the site that each is an image of."""
    orbits = [_orbit(coordinate, symmetry, cell) for coordinate in sites.coordinates]
    if any(spread > _TOLD for _, spread in orbits):
        left_out.note(
            f"atoms of one site of a CIF were merged, since they are within {MERGED} A of each other (coordinates in "
            "the file are rounded)"
        )
    if not orbits:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    where = np.vstack([images for images, _ in orbits])
    owners = np.repeat(np.arange(len(orbits)), [len(images) for images, _ in orbits])
    again = _listed_again(sites, where, owners, cell)
    if again:
        left_out.note("a site of a CIF is an image of another site and was left out")
    kept = ~np.isin(owners, list(again))
    return where[kept], owners[kept]


def _listed_again(sites: _Sites, where: Array, owners: Array, cell: Array) -> set[int]:
    """Return the sites that are images of sites before them.

    :raises CifError: if sites of two elements lie on each other.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    tree = cKDTree(_wrapped(where), boxsize=1.0)
    pairs = tree.query_pairs(min(_SAME_SITE / heights.min(), 0.4), output_type="ndarray")
    pairs = pairs[owners[pairs[:, 0]] != owners[pairs[:, 1]]]
    apart = where[pairs[:, 0]] - where[pairs[:, 1]]
    near = np.linalg.norm((apart - np.rint(apart)) @ cell, axis=1) < _SAME_SITE
    again = set()
    for first, second in np.unique(np.sort(owners[pairs[near]], axis=1), axis=0).tolist():
        if sites.numbers[first] != sites.numbers[second]:
            raise CifError(
                f"sites {sites.labels[first]} and {sites.labels[second]} are at the same place: expected one species"
            )
        again.add(second)
    return again


def _orbit(coordinate: Array, symmetry: Symmetry, cell: Array) -> tuple[Array, float]:
    """Return (m, 3) images, each in the middle of what it was merged from, and how far these lay apart in A."""
    images = symmetry.rotations @ coordinate + symmetry.translations
    apart = images[None] - images[:, None]
    apart -= np.rint(apart)
    lengths = np.linalg.norm(apart @ cell, axis=2)
    near = lengths < MERGED
    first = np.flatnonzero(near.argmax(axis=1) == np.arange(len(images)))
    middle = (apart * near[:, :, None]).sum(axis=1) / near.sum(axis=1)[:, None]
    found = (images + middle)[first]
    spread = float(np.where(near, lengths, 0)[first].max())
    return (_wrapped(found) if len(images) > 1 else found), spread


def _wrapped(fractional: Array) -> Array:
    wrapped = fractional - np.floor(fractional)
    wrapped[wrapped > 1 - 1e-10] = 0
    return wrapped


def _compare_multiplicities(block: Block, sites: _Sites, owners: Array, left_out: LeftOut) -> None:
    """Note stated multiplicities of sites that are not the numbers of their atoms."""
    stated = block.values.get(_MULTIPLICITY, [])
    if len(stated) != len(sites.labels):
        return
    counts = np.bincount(owners, minlength=len(stated)).tolist()
    texts = [token.text.strip() for token in stated]
    if any(
        text.isdecimal() and count not in (0, int(text)) for text, count in zip(texts, counts, strict=True)
    ):
        left_out.note(
            "the multiplicity of a site in a CIF differs from the number of its atoms, so the coordinates or the "
            "origin may be wrong"
        )


def _compare_formula(block: Block, atoms: Atoms, left_out: LeftOut) -> None:
    """Note a stated formula whose ratios are not those of the atoms."""
    text = block.first(_FORMULA)
    if text is None:
        return
    stated: Counter[int] = Counter()
    for symbol, count in re.findall(r"([A-Z][a-z]?)\s*([0-9.]*)", text):
        try:
            stated[atomic_number(symbol)] += float(count or 1)  # type: ignore[assignment]
        except ValueError:
            return
    found = Counter(atoms.numbers.tolist())
    scale = sum(found.values()) / (sum(stated.values()) or 1)
    elements = {*stated, *found}
    if any(abs(stated[element] * scale - found[element]) > 0.02 * len(atoms) for element in elements):
        left_out.note("the formula in a CIF does not match its atoms")
