"""What this program writes beside a crystal so that it comes back as it was, and how that is read. No AiiDA.

Formats have keys that mean something to them or to readers (``energy``, ``stress``, ``id``), and values that they
cannot hold (an empty text, a text that looks like a number, an array). What does not survive as a plain key stands in
one object under :data:`~aiida_pet.io.crystal.OWN_KEY`:

- ``id``: the id, where the format would change it;
- ``columns``, ``atom_columns``, ``ragged``: name -> value, lists for arrays; ``ragged_shapes``: name -> shape of one
  entry, since an empty list has none;
- ``shapes``, ``atom_shapes``: name -> shape per row or atom of an array that stands as a plain key;
- ``floats``, ``atom_floats``: name -> numbers of which some are not finite, these as texts (JSON has no others);
- ``numbers``: names of flags and counts that the table holds as numbers, since they are missing in some rows; as plain
  keys they are flags and integers;
- ``results``: names of the results of ASE's calculator that are columns under these very names;
- ``units``: name -> unit.

Each column stands in one place only: who edits a plain key need not know of the object.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.stress import full_3x3_to_voigt_6_stress

from aiida_pet.io.comment_line import flags
from aiida_pet.io.crystal import OWN_KEY, Crystal, reason_of, scalar
from aiida_pet.io.ids import EXPORTED_ID_KEY, ID_KEYS, id_text
from aiida_pet.io.input_results import ResultOptions, take_fields
from aiida_pet.io.left_out import LeftOut
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array, Table

HELD = "fixed_cartesian"
"""Column per atom of what is held along x, y and z; ASE has it as a constraint."""
# Columns that are ASE's results, if they have these units and shapes.
_RESULTS = {"energy": ("eV", ()), "stress": ("eV/A^3", (6,))}
_ATOM_RESULTS = {"forces": ("eV/A", (3,))}


# Names that ASE or readers of training sets understand, in small letters.
_RESERVED = frozenset(
    {
        *ID_KEYS, *all_properties, OWN_KEY, "unique_id", "uid", "lattice", "cell", "pbc", "properties", "species",
        "symbols", "pos", "positions", "numbers", "z", "charge", "charges", "force", "virial", "virials", "move_mask",
        "tags", "momenta", "masses", "initial_charges", "initial_magmoms", "constraints", "calculator",
    }
)  # fmt: skip
_PREFIXES = ("ref_", "dft_")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def is_free(name: str) -> bool:
    """Return whether a column can stand under ``name`` as a plain key, since that means nothing to ASE or readers."""
    return (
        bool(_NAME.fullmatch(name))
        and name.lower() not in _RESERVED
        and not name.lower().startswith(_PREFIXES)
    )


def results_in(table: Table) -> list[str]:
    """Return the columns of ``table`` that are what ASE means by ``energy``, ``stress`` and ``forces``."""
    atoms = table.atom_columns if isinstance(table, StructureTable) else {}
    return [
        name
        for known, columns in ((_RESULTS, table.columns), (_ATOM_RESULTS, atoms))
        for name, (unit, shape) in known.items()
        if name in columns
        and table.units.get(name) == unit
        and columns[name].shape[1:] == shape
        and columns[name].dtype == np.float64
    ]


def is_result(name: str, results: list[str], per_atom: bool) -> bool:
    """Return whether column ``name`` of rows, or of atoms, is among ``results``."""
    return name in results and (name in _ATOM_RESULTS) == per_atom


def held_in(table: StructureTable) -> Array | None:
    """Return the column of what is held along x, y and z, (A, 3) bool; None if there is none of this shape."""
    held = table.atom_columns.get(HELD)
    return held if held is not None and held.dtype == bool and held.shape[1:] == (3,) else None


def ragged_parts(table: Table, index: int) -> dict[str, Any]:
    """Return the parts of the object that say what row ``index`` has in columns whose rows differ in length."""
    return {
        "ragged": {name: column[index] for name, column in table.ragged.items()},
        "ragged_shapes": {
            name: list(column.values.shape[1:])
            for name, column in table.ragged.items()
            if column.values.ndim > 1
        },
    }


RESULTS = ("energy", "free_energy", "stress")
"""Plain keys of a crystal that ASE takes for results."""
ATOM_RESULTS = ("forces",)
"""The same per atom."""


def own_object(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object without what is empty, arrays as lists."""
    return {
        key: _listed(value) for key, value in parts.items() if value is not None and value not in ({}, [])
    }


def _listed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def parsed(raw: Any) -> Mapping[str, Any] | None:
    """Return the object that stands somewhere as itself or as JSON, None if there is none.

    :raises ValueError: if it is damaged.
    """
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError as error:
            raise ValueError(
                f"the object {OWN_KEY!r} is damaged: {reason_of(error)}: export the set again, or "
                f"remove {OWN_KEY!r} to read the plain keys"
            ) from error
    return raw if isinstance(raw, Mapping) else None


@dataclass
class Plain:
    """What stands beside a crystal outside of the object.

    :ivar fields: plain keys.
    :ivar arrays: name -> (n_atoms, ...) array; what is held is ``fixed_cartesian``.
    :ivar results: what ASE takes for results of a calculator, in its units; stress of six or nine numbers.
    """

    fields: dict[str, Any]
    arrays: dict[str, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)


def own_crystal(
    raw: Mapping[str, Any], atoms: Atoms, plain: Plain, id_key: str | None, dropped: LeftOut
) -> Crystal:
    """Return the crystal that this program wrote.

    :param raw: the object.
    :param atoms: the geometry.
    :param id_key: key of the id; None takes that which was written, empty none.
    :param dropped: counts what is not a column.
    :raises ValueError: if the object was damaged.
    """
    try:
        return _own_crystal(raw, atoms, plain, id_key, dropped)
    except (TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"the object {OWN_KEY!r} is damaged: {reason_of(error)}") from error


def _own_crystal(
    raw: Mapping[str, Any], atoms: Atoms, plain: Plain, id_key: str | None, dropped: LeftOut
) -> Crystal:
    fields = dict(plain.fields)
    row_id = _take_id(raw, fields, id_key)
    columns: dict[str, Any] = _plain(fields, _mapping(raw, "shapes"), dropped)
    columns |= {name: _value(value) for name, value in _mapping(raw, "columns").items()}
    columns |= {name: _value(_floats(value)) for name, value in _mapping(raw, "floats").items()}
    columns |= {
        name: np.asarray(columns[name], dtype=np.float64)[()]
        for name in raw.get("numbers") or ()
        if columns.get(name) is not None
    }
    if id_key and row_id is None:
        row_id = id_text(columns.pop(id_key, None))
    atom_columns = _atom_columns(raw, plain.arrays, len(atoms), dropped)
    found, found_atoms = _results(raw, dict(plain.results), len(atoms))
    units = {str(name): str(unit) for name, unit in _mapping(raw, "units").items()}
    shapes = _mapping(raw, "ragged_shapes")
    ragged = {
        name: _array(_floats(value)).reshape(len(value), *shapes.get(name, ()))
        for name, value in _mapping(raw, "ragged").items()
    }
    return Crystal(row_id, atoms, found | columns, found_atoms | atom_columns, units, ragged, is_own=True)


def _mapping(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"field {key!r} of {OWN_KEY!r} is {str(value)[:40]!r}: expected an object")
    return value


def _take_id(raw: Mapping[str, Any], fields: dict[str, Any], id_key: str | None) -> str | None:
    """Return the id, and take it out of ``fields``."""
    plain = next((fields.pop(key) for key in ID_KEYS if key in fields), None) if id_key is None else None
    if id_key is None:
        return id_text(raw.get("id", plain))
    fields.pop(EXPORTED_ID_KEY, None)
    return id_text(fields.pop(id_key, None)) if id_key else None


def _plain(fields: Mapping[str, Any], shapes: Mapping[str, Any], dropped: LeftOut) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            if name not in shapes:
                columns[name] = scalar(value)
                continue
            several: Any = flags(value) if isinstance(value, str) else value
            columns[name] = np.asarray(several).reshape(shapes[name])
        except (TypeError, ValueError):
            dropped.add(name)
    return columns


def _value(value: Any) -> Any:
    return _array(value) if isinstance(value, list | np.ndarray) else scalar(value)


def _array(value: Any) -> Array:
    """Return lists as an array of numbers, flags or texts.

    :raises ValueError: if it is none.
    """
    array = np.asarray(value)
    if array.dtype.kind not in "fiubU":
        raise ValueError(f"{str(value)[:40]!r} is no array of numbers, flags or texts")
    return array


def _floats(value: Any) -> Any:
    """Return numbers some of which may be texts, at any depth: ``[1.0, "nan"]``; what is no number stays as it is."""
    if isinstance(value, list):
        return [_floats(one) for one in value]
    return float(value) if isinstance(value, str) and value in ("nan", "inf", "-inf") else value


def _atom_columns(
    raw: Mapping[str, Any], arrays: Mapping[str, Any], n_atoms: int, dropped: LeftOut
) -> dict[str, Array]:
    shapes = _mapping(raw, "atom_shapes")
    columns = {}
    for name, values in arrays.items():
        if name == HELD:
            columns[name] = np.asarray(values)
        elif name in shapes:
            columns[name] = np.asarray(values).reshape(n_atoms, *shapes[name])
        else:
            dropped.add(name)
    columns |= {name: _array(value) for name, value in _mapping(raw, "atom_columns").items()}
    columns |= {name: _array(_floats(value)) for name, value in _mapping(raw, "atom_floats").items()}
    for name, array in columns.items():
        if array.shape[:1] != (n_atoms,):
            raise ValueError(
                f"column {name!r} has shape {array.shape}: expected a value for each of {n_atoms} atoms"
            )
    return columns


def _results(
    raw: Mapping[str, Any], results: dict[str, Any], n_atoms: int
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return ASE's results as columns: under their own names where the object says so, else as ``input_*``."""
    columns: dict[str, Any] = {}
    atom_columns: dict[str, Array] = {}
    for name in raw.get("results") or ():
        value = results.pop(name, None)
        if value is None:
            continue
        if name == "forces":
            atom_columns[name] = np.asarray(value, dtype=np.float64)
        elif name == "stress":
            stress = np.asarray(value, dtype=np.float64)
            columns[name] = full_3x3_to_voigt_6_stress(stress.reshape(3, 3)) if stress.size == 9 else stress
        elif name == "energy":
            columns[name] = float(value)
    forces = {name: np.asarray(results.pop(name)) for name in ATOM_RESULTS if name in results}
    found, found_atoms = take_fields(results, forces, (n_atoms, np.zeros((3, 3))), ResultOptions(), LeftOut())
    return found | columns, found_atoms | atom_columns
