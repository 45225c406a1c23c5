"""Writes tables as JSON that pymatgen and pandas read, and reads what it wrote back as it was. No AiiDA.

A record per row and line: the id, a pymatgen ``structure``, the columns under their names, null for what is not finite,
and the object of :mod:`~aiida_pet.io.own_record` for what JSON cannot say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from aiida_pet.io.crystal import OWN_KEY, Broken, Item, checked, reason_of
from aiida_pet.io.ids import EXPORTED_ID_KEY
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.own_record import Plain, held_in, own_crystal, own_object, ragged_parts
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.known_values import known_in
from aiida_pet.tables.table import Array, Table

_ID_KEY = "material_id"
# Names that would be taken for something else in a record.
_RESERVED = frozenset(
    {
        "structure",
        "data",
        "entry",
        "entries",
        "atoms",
        "attributes",
        "lattice",
        "sites",
        EXPORTED_ID_KEY,
        OWN_KEY,
    }
)


def write_json(table: Table, handle: TextIO) -> None:
    """Write a list of records, one per line.

    The id stands under ``material_id``, or ``id`` where that is a column.
    """
    writer = _RecordWriter(table)
    for index in range(len(table)):
        handle.write("[" if index == 0 else ",\n")
        json.dump(writer.record(index), handle, allow_nan=False)
    handle.write("]\n" if len(table) else "[]\n")


class _RecordWriter:
    """Decides once for a table where each of its columns stands."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known = known_in(table)
        self._atoms = table.atom_columns if isinstance(table, StructureTable) else {}
        names = {*table.columns, *self._atoms}
        self._id_key = EXPORTED_ID_KEY if _ID_KEY in names else _ID_KEY
        self._shown = [name for name in table.columns if _is_free(name)]
        self._hidden = [name for name in table.columns if not _is_free(name)]
        both = set(table.columns)
        self._shown_atoms = [name for name in self._atoms if _is_free(name) and name not in both]
        self._hidden_atoms = [name for name in self._atoms if name not in self._shown_atoms]

    def record(self, index: int) -> dict[str, Any]:
        table = self._table
        record: dict[str, Any] = {self._id_key: str(table.ids[index])}
        values = {name: column[index] for name, column in table.columns.items()}
        own: dict[str, Any] = {
            "units": table.units,
            "numbers": list(self._known),
            "columns": {name: plain(values[name]) for name in self._hidden},
            "floats": {name: _texts(value) for name, value in values.items() if not _is_finite(value)},
            "shapes": {name: list(values[name].shape) for name in self._shown if values[name].ndim},
        }
        own |= ragged_parts(table, index)
        own["ragged"] = {name: _texts(values) for name, values in own["ragged"].items()}
        if isinstance(table, StructureTable):
            part = table.atoms_of(index)
            atoms = {name: column[part] for name, column in self._atoms.items()}
            record["structure"] = structure_dict(table, index)
            own |= {
                "atom_columns": {name: plain(atoms[name]) for name in self._hidden_atoms},
                "atom_floats": {
                    name: _texts(value) for name, value in atoms.items() if not _is_finite(value)
                },
                "atom_shapes": {name: list(atoms[name].shape[1:]) for name in self._shown_atoms},
            }
            record |= {name: plain(atoms[name]) for name in self._shown_atoms}
        record |= {name: self._plain(name, index) for name in self._shown}
        # an empty object still says that this program wrote the record; without crystals nobody reads it back
        return record | {OWN_KEY: own_object(own)} if isinstance(table, StructureTable) else record

    def _plain(self, name: str, index: int) -> Any:
        """Return Python values, None for what is missing or not finite; flags and counts as such."""
        known = self._known.get(name)
        if known is None:
            return plain(self._table.columns[name][index])
        values = np.asarray(known.values[index]).astype(object)
        values[known.missing[index]] = None
        return values.tolist()


def _is_free(name: str) -> bool:
    return name not in _RESERVED and not name.startswith("@")


def structure_dict(table: StructureTable, index: int) -> dict[str, Any]:
    """Return row ``index`` as the dictionary of a pymatgen Structure, null for what is not finite.

    Fractional coordinates of a cell without volume are null. What is held along all lattice vectors or some of them
    stands in ``selective_dynamics``, as pymatgen has it.
    """
    part = table.atoms_of(index)
    cell, positions = table.cells[index], table.positions[part]
    try:
        fractional = np.linalg.solve(cell.T, positions.T).T
    except np.linalg.LinAlgError:
        fractional = np.full_like(positions, np.nan)
    symbols = [chemical_symbols[number] for number in table.numbers[part].tolist()]
    moving = selective_dynamics(table, index)
    properties = (
        [{} for _ in symbols] if moving is None else [{"selective_dynamics": m} for m in moving.tolist()]
    )
    sites = [
        {
            "species": [{"element": symbol, "occu": 1}],
            "abc": abc,
            "xyz": xyz,
            "properties": beside,
            "label": symbol,
        }
        for symbol, abc, xyz, beside in zip(
            symbols, plain(fractional), plain(positions), properties, strict=True
        )
    ]
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": plain(cell), "pbc": table.pbc[index].tolist()},
        "properties": {},
        "sites": sites,
    }


def selective_dynamics(table: StructureTable, index: int) -> Array | None:
    """Return (n, 3) bool, True for what may move along a lattice vector; None if all may.

    An atom that is held along x, y and z is held along all lattice vectors; held along some of x, y and z only, it
    cannot be said so.
    """
    part = table.atoms_of(index)
    held = np.zeros((part.stop - part.start, 3), dtype=bool)
    scaled = table.atom_columns.get("fixed_scaled")
    if scaled is not None and scaled.dtype == bool and scaled.shape[1:] == (3,):
        held |= scaled[part]
    cartesian = held_in(table)
    if cartesian is not None:
        held |= cartesian[part].all(axis=1, keepdims=True)
    return ~held if held.any() else None


def plain(values: Array) -> Any:
    """Return Python values, None for what is not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        objects = values.astype(object)
        return np.where(np.isfinite(values), objects, np.array(None, dtype=object)).tolist()
    return values.tolist()


def _is_finite(values: Array) -> bool:
    return values.dtype.kind != "f" or bool(np.isfinite(values).all())


def _texts(values: Array) -> Any:
    """Return Python values, texts for what is not finite."""
    return values.tolist() if _is_finite(values) else _text(values.tolist())


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(one) for one in value]
    return value if math.isfinite(value) else str(value)


# -- back ----------------------------------------------------------------------------------------------------


def own_item(raw: Mapping[str, Any], id_key: str | None, dropped: LeftOut) -> Item | None:
    """Return the crystal of a record that this program wrote; None if it did not write it, or no crystal."""
    own = raw.get(OWN_KEY)
    if not isinstance(own, Mapping) or not isinstance(raw.get("structure"), Mapping):
        return None
    fields = {name: value for name, value in raw.items() if name not in ("structure", OWN_KEY)}
    try:
        atoms = _atoms(raw["structure"])
        shapes = own.get("atom_shapes") or {}
        shown = {
            name: np.asarray(fields.pop(name)).reshape(len(atoms), *shape)
            for name, shape in shapes.items()
            if name in fields
        }
        return own_crystal(own, atoms, Plain(fields, shown), id_key, dropped)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        row_id = next((raw[key] for key in (EXPORTED_ID_KEY, _ID_KEY) if isinstance(raw.get(key), str)), None)
        return Broken(row_id, f"aiida-pet wrote it, but it was changed afterwards: {reason_of(error)}")


def _atoms(structure: Mapping[str, Any]) -> Atoms:
    sites = structure["sites"]
    numbers = [atomic_numbers[site["species"][0]["element"]] for site in sites]
    positions = np.array([site["xyz"] for site in sites], dtype=np.float64).reshape(-1, 3)
    cell = np.array(structure["lattice"]["matrix"], dtype=np.float64)
    return checked(Atoms(numbers=numbers, positions=positions, cell=cell, pbc=structure["lattice"]["pbc"]))
