"""Reads ASE databases, SQLite and JSON, row by row. No AiiDA.

Key-value pairs are columns; results are taken as :mod:`~aiida_pet.io.input_results` says, velocities as
:mod:`~aiida_pet.io.velocities` does. ``FixAtoms`` and
``FixCartesian`` are the column per atom ``fixed_cartesian``, ``FixScaled`` is ``fixed_scaled``, True = held; names of
other constraints stand in the column ``constraints_not_read``, and no task moves the atoms of such a row. What else a
row holds (``data`` but for settings of the crystal, magnetic moments, tags) is left out and counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.db import connect

from aiida_pet.io.crystal import OWN_KEY, Broken, Crystal, Item, checked, reason_of
from aiida_pet.io.given_values import GIVEN_COLUMNS
from aiida_pet.io.ids import id_of, id_text
from aiida_pet.io.input_results import ResultOptions, take_fields
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.own_record import ATOM_RESULTS, HELD, RESULTS, Plain, own_crystal
from aiida_pet.io.velocities import with_velocities
from aiida_pet.tables.fixed_atoms import CARTESIAN, NOT_READ, SCALED
from aiida_pet.tables.table import Array

_PER_ATOM = ("momenta", "masses", "tags", "initial_magmoms", "initial_charges")


def read_ase_database(
    path: Path, json_form: bool, id_key: str | None, dropped: LeftOut, options: ResultOptions | None = None
) -> Iterator[Item]:
    """Yield each row; key-value pairs are columns, and where none of them is an id, ASE's ``unique_id`` is.

    :param path: path of the database, never written to.
    :param json_form: whether it is ASE's JSON form, rather than SQLite.
    :raises ValueError: if it is not a database.
    """
    options = options or ResultOptions()
    try:
        database = connect(path, type="json" if json_form else "db", use_lock_file=False)
        rows = database.select() if json_form else (None for _ in ())
        row_ids = [] if json_form else [row.id for row in database.select(columns=["id"], include_data=False)]
        for row in rows:
            yield _item_of_row(row, id_key, dropped, options)
    except Exception as error:  # the drivers raise whatever theirs raise
        raise ValueError(f"not an ASE database: {reason_of(error)}") from error
    for row_id in row_ids:
        try:
            row = database.get(id=row_id)
        except Exception as error:  # a damaged row costs no other
            yield Broken(None, f"row {row_id} cannot be read: {reason_of(error)}")
            continue
        yield _item_of_row(row, id_key, dropped, options)


def _item_of_row(row: Any, id_key: str | None, dropped: LeftOut, options: ResultOptions) -> Item:
    own = row.data.get(OWN_KEY) if row.data else None
    if isinstance(own, Mapping):
        try:
            return _own(row, own, id_key, dropped)
        except Exception as error:  # a damaged row costs no other
            return Broken(id_text(own.get("id")), f"row {row.id}: {reason_of(error)}")
    fields = {"unique_id": row.unique_id} | dict(row.key_value_pairs)
    row_id, key = id_of(fields, id_key)
    if row_id is None and id_key is None:
        row_id, key = row.unique_id, "unique_id"
    fields.pop(key or "", None)
    fields.pop("unique_id", None)
    counted = LeftOut()
    try:
        atoms = checked(Atoms(row.numbers, row.positions, cell=row.cell, pbc=row.pbc))
        held, others = _held(row, len(atoms))
        results = {name: row[name] for name in all_properties if name in row}
        per_atom = {name: value for name, value in results.items() if np.shape(value)[:1] == (len(atoms),)}
        per_atom = {name: value for name, value in per_atom.items() if name not in ("stress", "dipole")}
        whole = {name: value for name, value in results.items() if name not in per_atom}
        atom_fields: dict[str, Any] = {name: row[name] for name in _PER_ATOM if name in row} | per_atom | held
        atom_fields = with_velocities(atom_fields, atoms.numbers, counted)
        geometry = (len(atoms), atoms.cell.array)
        data = dict(row.data or {})
        given = {name: data.pop(name) for name in GIVEN_COLUMNS if name in data}
        columns, atom_columns = take_fields(given | fields | whole, atom_fields, geometry, options, counted)
    except Exception as error:  # a damaged row costs no other
        return Broken(row_id, f"row {row.id}: {reason_of(error)}")
    if data:
        counted.add("data")
    if others:
        columns[NOT_READ] = others
        counted.note(f"some constraints are not read; they are named in the column {NOT_READ}")
    dropped.merge(counted)
    return Crystal(row_id, atoms, columns, atom_columns)


def _own(row: Any, own: Mapping[str, Any], id_key: str | None, dropped: LeftOut) -> Crystal:
    """Return the crystal of a row that this program wrote."""
    atoms = checked(Atoms(row.numbers, row.positions, cell=row.cell, pbc=row.pbc))
    held = {name: flags for name, flags in _held(row, len(atoms))[0].items() if name == HELD}
    results = {name: row[name] for name in (*RESULTS, *ATOM_RESULTS) if name in row}
    return own_crystal(own, atoms, Plain(dict(row.key_value_pairs), held, results), id_key, dropped)


def _held(row: Any, n_atoms: int) -> tuple[dict[str, Array], str]:
    """Return the columns of held atoms, (n, 3) bool, and the names of constraints that are none of these."""
    cartesian, scaled = np.zeros((n_atoms, 3), dtype=bool), np.zeros((n_atoms, 3), dtype=bool)
    others = set()
    for constraint in row.get("constraints") or []:
        content = constraint if isinstance(constraint, Mapping) else constraint.todict()
        name, kwargs = str(content.get("name")), content.get("kwargs", {})
        where = kwargs.get("indices", kwargs.get("a", kwargs.get("index")))
        if name == "FixAtoms" and where is not None:
            cartesian[np.asarray(where)] = True
        elif name in ("FixCartesian", "FixScaled") and where is not None:
            mask = np.asarray(kwargs.get("mask", (True, True, True)), dtype=bool)
            (cartesian if name == "FixCartesian" else scaled)[np.atleast_1d(where)] |= mask
        else:
            others.add(name)
    found = {CARTESIAN: cartesian, SCALED: scaled}
    return {name: held for name, held in found.items() if held.any()}, " ".join(sorted(others))
