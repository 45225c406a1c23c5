"""Writes crystals to an ASE database (SQLite). No AiiDA.

Columns that the database can hold are its key-value pairs, ``energy``, ``forces`` and ``stress`` its results, held
atoms its constraints. The rest, and the id, stand in the row's ``data``, in the object of
:mod:`~aiida_pet.io.own_record`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from ase.db import connect
from ase.db.core import check
from ase.db.row import AtomsRow

from aiida_pet.io.crystal import OWN_KEY
from aiida_pet.io.own_record import HELD, held_in, is_free, is_result, own_object, ragged_parts, results_in
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.known_values import known_in

_ID_KEY = "material_id"
# A key-value pair becomes an attribute of the row, and must not hide another.
_ATTRIBUTES = frozenset(dir(AtomsRow)) | {"key_value_pairs", "mtime", "ctime", "user", "id"}


def write_ase_database(table: StructureTable, path: Path) -> None:
    """Write all rows of ``table`` to a new database at ``path``."""
    writer = _RowWriter(table)
    with (
        warnings.catch_warnings(),
        connect(path, type="db", append=True, use_lock_file=False) as database,
    ):
        warnings.simplefilter("ignore")  # ASE warns of keys that look like formulas
        for index in range(len(table)):
            atoms, pairs, own = writer.row(index)
            database.write(atoms, key_value_pairs=pairs, data={OWN_KEY: own})


class _RowWriter:
    def __init__(self, table: StructureTable) -> None:
        self._table = table
        self._results = results_in(table)
        self._held = held_in(table)
        self._known = known_in(table)
        rest = [name for name in table.columns if not is_result(name, self._results, per_atom=False)]
        self._pairs = [
            name
            for name in rest
            if table.columns[name].ndim == 1
            and table.columns[name].dtype.kind in "fibU"
            and is_free(name)
            and name not in _ATTRIBUTES
            and _is_accepted(name, 0.5)
        ]
        self._hidden = [name for name in rest if name not in self._pairs]
        self._atoms = [n for n in table.atom_columns if not is_result(n, self._results, per_atom=True)]
        if self._held is not None:
            self._atoms.remove(HELD)

    def row(self, index: int) -> tuple[Atoms, dict[str, Any], dict[str, Any]]:
        """Return atoms, key-value pairs and the object of row ``index``."""
        table = self._table
        part = table.atoms_of(index)
        atoms = table.ase_at(index)
        atoms.info.clear()
        if self._held is not None:
            _hold(atoms, self._held[part])
        results = {
            name: table.atom_columns[name][part]
            if is_result(name, self._results, True)
            else table.columns[name][index]
            for name in self._results
        }
        finite = {name: value for name, value in results.items() if np.isfinite(value).all()}
        if finite:
            atoms.calc = SinglePointCalculator(
                atoms, **{name: float(v) if name == "energy" else v for name, v in finite.items()}
            )
        columns = {name: table.columns[name][index] for name in self._hidden}
        unsaid = [name for name in results if name not in finite]
        columns |= {n: results[n] for n in unsaid if is_result(n, self._results, False)}
        atom_columns = {name: table.atom_columns[name][part] for name in self._atoms}
        atom_columns |= {n: results[n] for n in unsaid if is_result(n, self._results, True)}
        pairs: dict[str, Any] = {}
        for name in self._pairs:
            known = self._known.get(name)
            is_there = known is not None and not known.missing[index]
            column = known.values if known is not None and is_there else table.columns[name]
            value = column[index].item()
            usable = bool(np.isfinite(value)) if isinstance(value, float) else _is_accepted(name, value)
            (pairs if usable else columns)[name] = value
        row_id = str(table.ids[index])
        if _is_accepted(_ID_KEY, row_id):
            pairs[_ID_KEY] = row_id
        own = {
            "id": row_id,
            "results": list(finite),
            "units": table.units,
            "numbers": list(self._known),
            "columns": columns,
            "atom_columns": atom_columns,
        } | ragged_parts(table, index)
        return atoms, pairs, own_object(own)


def _is_accepted(name: str, value: Any) -> bool:
    """Return whether ASE takes ``value`` under ``name`` as a key-value pair, and gives it back as it is."""
    if value == "" or (isinstance(value, int) and abs(value) >= 2**63):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check({name: value})
        except ValueError:
            return False
    return True


def _hold(atoms: Atoms, held: Any) -> None:
    """Set ASE's constraints: what is held along x, y and z altogether, and what along some of them."""
    whole = held.all(axis=1)
    constraints: list[Any] = [FixAtoms(mask=whole)] if whole.any() else []
    some = np.flatnonzero(held.any(axis=1) & ~whole)
    constraints += [FixCartesian(int(place), mask=held[place]) for place in some]
    atoms.set_constraint(constraints)
