"""Reads crystals from JSON as pymatgen, matcalc and matbench-discovery write it, as a stream. No AiiDA.

Understood are a list of crystals, one crystal, an object ``id -> crystal``, a data frame by columns
(``{column: {row: value}}``, what ``pandas.DataFrame.to_json`` writes) and JSON lines. A crystal is the
dictionary of a Structure, of a ComputedStructureEntry, or a record with one field that holds either; the
other scalars of record, entry, entry's ``data`` and structure's ``properties`` are its columns. Properties
and charges of sites are left out.

What a file calls a class (``@module``, ``@class``) is never looked up: pymatgen's ``from_dict`` would import the
module, and so run it. Where pymatgen's objects are needed, they are made of the numbers and names in the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from aiida_pet.data.crystal import Broken, Crystal, Item, checked, id_of, reason_of, split_fields
from aiida_pet.data.json_stream import JsonStream, JsonStreamError
from aiida_pet.data.left_out import LeftOut
from aiida_pet.engine.table import Array, StructureTableBuilder

if TYPE_CHECKING:
    from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

_ISOTOPES = {"D": 1, "T": 1}
_OCCUPANCY_TOLERANCE = 1e-6
# So many entries of an object's first object are read to tell what it is.
_HEAD = 256
_STRUCTURE_FIELDS = frozenset(
    {
        "structure", "initial_structure", "relaxed_structure", "final_structure", "entry",
        "computed_structure_entry",
    }
)  # fmt: skip
_OBJECT_FIELDS = frozenset(
    {"lattice", "properties", "data", "parameters", "composition", "energy_adjustments"}
)


class AseDatabaseFoundError(Exception):
    """Raised when the JSON is an ASE database, which ASE itself reads."""


class AmbiguousStructureError(ValueError):
    """Raised when a row holds several structures and nobody said which one to take."""

    def __init__(self, names: Iterable[str]) -> None:
        found = sorted(names)
        self.remedy = f"structure_key={found[0]!r} chooses one"
        super().__init__(f"several fields hold a structure: {', '.join(found)}")


@dataclass
class JsonOptions:
    """What to take of a row.

    :ivar id_key: field of the id; None tries the usual ones, empty takes none.
    :ivar structure_key: field of the structure; None where there is only one.
    :ivar dropped: counts of fields that were left out, filled while reading.
    """

    id_key: str | None = None
    structure_key: str | None = None
    dropped: LeftOut = field(default_factory=LeftOut)


def atoms_from_structure(raw: Mapping[str, Any]) -> Atoms:
    """Return the crystal of a pymatgen Structure's dictionary, without pymatgen's objects where possible.

    :raises ValueError: if it is not one, or a site is disordered.
    """
    if "lattice" not in raw or "sites" not in raw:
        raise ValueError(f"expected a Structure with 'lattice' and 'sites', got fields {sorted(raw)[:10]}")
    try:
        atoms = _atoms_directly(raw)
    except (KeyError, TypeError, IndexError):
        atoms = None
    return checked(_atoms_by_pymatgen(raw) if atoms is None else atoms)


def _atoms_directly(raw: Mapping[str, Any]) -> Atoms | None:
    """Return the atoms, or None for a form that only pymatgen knows."""
    lattice, sites = raw["lattice"], raw["sites"]
    cell = np.array(lattice["matrix"], dtype=np.float64)
    numbers = []
    for index, site in enumerate(sites):
        species = site["species"]
        if len(species) != 1 or abs(species[0]["occu"] - 1) > _OCCUPANCY_TOLERANCE:
            raise _disorder(index, species)
        symbol = species[0]["element"]
        number = _ISOTOPES.get(symbol) or atomic_numbers.get(symbol)
        if not number:
            return None
        numbers.append(number)
    if cell.shape != (3, 3):
        return None
    positions = _positions(sites, cell)
    return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=lattice.get("pbc", True))


def _positions(sites: list[Mapping[str, Any]], cell: Array) -> Array:
    """(n, 3) A: from fractional coordinates as in pymatgen, from Cartesian ones where these are missing."""
    if not sites:
        return np.zeros((0, 3))
    if "abc" not in sites[0]:
        return np.array([site["xyz"] for site in sites], dtype=np.float64)
    fractional = np.array([site["abc"] for site in sites], dtype=np.float64)
    if "xyz" in sites[0] and not np.isfinite(fractional).all():
        return np.array([site["xyz"] for site in sites], dtype=np.float64)
    return fractional @ cell


def _disorder(index: int, species: Any) -> ValueError:
    return ValueError(f"site {index} is disordered ({species}): expected one species of occupancy 1")


def structure_of(raw: Mapping[str, Any]) -> Structure:
    """Return pymatgen's Structure of its dictionary; lattice, species and coordinates only.

    Not ``Structure.from_dict``, which hands properties of sites to monty's decoder, and that imports any module which
    the file names.

    :raises Exception: whatever pymatgen and its parts raise if it is none.
    """
    from pymatgen.core import Structure  # noqa: PLC0415 - seconds to import, hardly ever needed

    sites = raw["sites"]
    if not sites:
        raise ValueError("it has no sites")
    coordinates = np.array([site["abc"] for site in sites], dtype=np.float64)
    if coordinates.shape != (len(sites), 3):
        raise ValueError(f"coordinates 'abc' have shape {coordinates.shape}, expected {(len(sites), 3)}")
    species = [{_specie_of(part): float(part["occu"]) for part in site["species"]} for site in sites]
    return Structure(_lattice_of(raw["lattice"]), species, coordinates)


def _lattice_of(raw: Mapping[str, Any]) -> Lattice:
    """Return the lattice of a matrix in A or of lengths in A and angles in degrees."""
    from pymatgen.core import Lattice  # noqa: PLC0415

    pbc = raw.get("pbc", (True, True, True))
    if "matrix" in raw:
        return Lattice(raw["matrix"], pbc=pbc)
    return Lattice.from_parameters(
        *(float(raw[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma")), pbc=pbc
    )


def _specie_of(raw: Mapping[str, Any]) -> Element | Species | DummySpecies:
    from pymatgen.core import DummySpecies, Element, Species  # noqa: PLC0415

    symbol = raw["element"]
    if "oxidation_state" not in raw:
        return Element(symbol)
    kind = Species if Element.is_valid_symbol(symbol) else DummySpecies
    return kind(symbol, raw["oxidation_state"], spin=raw.get("spin"))


def _atoms_by_pymatgen(raw: Mapping[str, Any]) -> Atoms:
    try:
        structure = structure_of(raw)
    except Exception as error:  # pymatgen raises whatever its parts raise
        raise ValueError(f"pymatgen cannot build the structure: {reason_of(error)}") from error
    numbers = []
    for index, site in enumerate(structure):
        if not site.is_ordered:
            raise _disorder(index, site.species_string)
        symbol = getattr(site.specie, "symbol", str(site.specie))
        number = _ISOTOPES.get(symbol) or atomic_numbers.get(symbol)
        if not number:
            raise ValueError(f"site {index} holds {symbol!r}: expected a chemical element")
        numbers.append(number)
    lattice = structure.lattice
    return Atoms(numbers=numbers, positions=structure.cart_coords, cell=lattice.matrix, pbc=lattice.pbc)


def _is_structure(value: Any) -> bool:
    return isinstance(value, dict) and "lattice" in value and "sites" in value


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and _is_structure(value.get("structure"))


def _holds_structure(value: Any) -> bool:
    return _is_structure(value) or _is_entry(value)


def _open_structure(value: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Return the Structure in a Structure or entry, and the fields that stand beside it."""
    fields: dict[str, Any] = {}
    structure = value
    if not _is_structure(value) and isinstance(value.get("structure"), dict):
        structure = value["structure"]
        fields = {name: item for name, item in value.items() if name not in ("structure", "data")}
        fields = (value["data"] if isinstance(value.get("data"), dict) else {}) | fields
    properties = structure.get("properties")
    return structure, (properties if isinstance(properties, dict) else {}) | fields


def item_of_record(raw: Any, options: JsonOptions, label: str | None = None) -> Item:
    """Return the crystal of a Structure, entry or record.

    :param label: what names it from outside; counts before fields of the record, unless ``id_key`` says otherwise.

    :raises AmbiguousStructureError: if the record holds several structures and ``structure_key`` is None.
    """
    if not isinstance(raw, dict):
        return Broken(
            label, f"expected an object with a structure, got {type(raw).__name__} {str(raw)[:40]!r}"
        )
    name, fields = None, {}
    if not _is_structure(raw):
        name = options.structure_key
        if name is None:
            candidates = [key for key, value in raw.items() if _holds_structure(value)]
            if len(candidates) > 1:
                raise AmbiguousStructureError(candidates)
            name = candidates[0] if candidates else None
        data = raw.get("data")
        fields = (data if isinstance(data, dict) else {}) | {
            k: v for k, v in raw.items() if k not in (name, "data")
        }
    value = raw if name is None else raw.get(name)
    if not isinstance(value, dict) or (value is raw and not _is_structure(raw)):
        row_id, _ = _id_of(fields, options, label)
        expected = f"in field {name!r}" if name else "in one of its fields"
        return Broken(
            row_id, f"expected a Structure or ComputedStructureEntry {expected}, got {sorted(raw)[:12]}"
        )
    structure, inner = _open_structure(value)
    return _crystal(structure, inner | fields, options, label)


def _id_of(
    fields: Mapping[str, Any], options: JsonOptions, label: str | None
) -> tuple[str | None, str | None]:
    """Return the id and the field it stood in; a label counts first, but a row's number is no id."""
    if label is not None and options.id_key is None and not label.isdigit():
        return label, None
    return id_of(fields, options.id_key)


def _crystal(
    structure: Mapping[str, Any], fields: dict[str, Any], options: JsonOptions, label: str | None
) -> Item:
    fields = {key: item for key, item in fields.items() if not key.startswith("@")}
    row_id, key = _id_of(fields, options, label)
    fields.pop(key or "", None)
    try:
        atoms = atoms_from_structure(structure)
    except ValueError as error:
        return Broken(row_id, reason_of(error))
    columns, atom_columns = split_fields(fields, len(atoms), options.dropped)
    return Crystal(row_id, atoms, columns, atom_columns)


def read_json_lines(text: TextIO, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystal of each line; a damaged line costs no other."""
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Broken(None, f"line {number} is not valid JSON: {reason_of(error)}")
            continue
        yield item_of_record(raw, options)


def read_json(text: TextIO, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of ``text``, of any of the forms above.

    :raises JsonStreamError: where it is not valid JSON.
    :raises AseDatabaseFoundError: if it is an ASE database.
    :raises AmbiguousStructureError: if rows hold several structures and ``structure_key`` is None.
    """
    stream = JsonStream(text)
    opening = stream.peek()
    if opening == "[":
        for _ in stream.array():
            yield item_of_record(stream.value(), options)
    elif opening == "{":
        yield from _read_object(stream, options)
    else:
        raise JsonStreamError(f"expected a JSON list or object of structures, got {opening!r}")
    while stream.peek() == "{":  # JSON lines under the name .json
        yield item_of_record(stream.value(), options)
    stream.end()


def _read_object(stream: JsonStream, options: JsonOptions) -> Iterator[Item]:
    """Tell by its first value what an object is: one crystal, ``id -> crystal`` or a data frame."""
    names = stream.object()
    name = next(names, None)
    if name is None:
        raise JsonStreamError("expected structures, got an empty object")
    if stream.peek() != "{":
        first = stream.value()
        yield item_of_record({name: first} | {key: stream.value() for key in names}, options)
        return
    inner = stream.object()
    head = {key: stream.value() for key in islice(inner, _HEAD)}
    whole = len(head) < _HEAD
    single = name in _OBJECT_FIELDS or name == options.structure_key or name in _STRUCTURE_FIELDS
    crystal = _holds_structure(head) or any(
        _holds_structure(value) for key, value in head.items() if not _row(key)
    )
    if whole and name.isdigit() and "unique_id" in head:
        raise AseDatabaseFoundError
    if whole and (name in _OBJECT_FIELDS or (crystal and single and _holds_structure(head))):
        yield item_of_record({name: head} | {key: stream.value() for key in names}, options)
    elif whole and crystal and not single:
        for key, value in chain([(name, head)], ((key, stream.value()) for key in names)):
            yield item_of_record(value, options, label=key)
    else:
        frame = _Frame(options)
        frame.add_column(name, chain(head.items(), ((key, stream.value()) for key in inner)))
        for key in names:
            frame.add_column(key, ((row, stream.value()) for row in stream.object()))
        yield from frame.items()


def _row(key: str) -> bool:
    """Whether ``key`` looks like a row of a data frame (a number, mp-149) rather than a field of a record."""
    return any(character.isdigit() for character in key) and key not in _STRUCTURE_FIELDS


class _Frame:
    """A data frame by columns. The structures may come before the ids, so they wait in flat arrays."""

    def __init__(self, options: JsonOptions) -> None:
        self._options = options
        self._column = options.structure_key
        self._labels: dict[str, None] = {}
        self._structures = StructureTableBuilder()
        self._place: dict[str, int] = {}
        self._inner: list[dict[str, Any]] = []
        self._reasons: dict[str, str] = {}
        self._fields: dict[str, dict[str, Any]] = {}

    def add_column(self, name: str, entries: Iterable[tuple[str, Any]]) -> None:
        """Take in column ``name``: (row label, value) pairs."""
        for label, value in entries:
            self._labels.setdefault(label)
            if _holds_structure(value) and self._column is None:
                self._column = name
            if name == self._column and isinstance(value, dict):
                self._add_structure(label, value)
            elif _holds_structure(value) and self._options.structure_key is None:
                raise AmbiguousStructureError([name, str(self._column)])
            elif isinstance(value, dict):
                self._options.dropped.add(name)
            else:
                self._fields.setdefault(name, {})[label] = value

    def _add_structure(self, label: str, value: dict[str, Any]) -> None:
        structure, inner = _open_structure(value)
        try:
            atoms = atoms_from_structure(structure)
        except ValueError as error:
            self._reasons[label] = reason_of(error)
            return
        self._place[label] = len(self._structures)
        self._structures.add(label, atoms)
        self._inner.append({key: item for key, item in inner.items() if not isinstance(item, dict | list)})

    def items(self) -> Iterator[Item]:
        """Yield the rows, in the order of their labels in the file."""
        if self._column is None:
            raise ValueError(
                f"no column of the data frame holds structures, columns are {', '.join(sorted(self._fields))}"
            )
        table = self._structures.build()
        for label in self._labels:
            place = self._place.get(label)
            fields = {} if place is None else dict(self._inner[place])
            fields |= {name: values[label] for name, values in self._fields.items() if label in values}
            fields = {key: value for key, value in fields.items() if not key.startswith("@")}
            row_id, key = id_of(fields, self._options.id_key)
            fields.pop(key or "", None)
            if row_id is None and self._options.id_key != "" and not label.isdigit():
                row_id = label
            if place is None:
                reason = self._reasons.get(
                    label, f"expected a structure in column {self._column!r}, got none"
                )
                yield Broken(row_id, reason)
                continue
            atoms = table.ase_at(place)
            columns, atom_columns = split_fields(fields, len(atoms), self._options.dropped)
            yield Crystal(row_id, atoms, columns, atom_columns)
