"""Reads crystals from extxyz, CIF, POSCAR and ASE databases, as streams. No AiiDA.

ASE parses; what stands here splits files into structures, so that a damaged one costs no other, finds the ids
and turns what stands beside a structure into columns. Constraints, velocities, tags, charges and magnetic
moments are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase.db import connect

from aiida_pet.data.crystal import (
    Broken,
    Crystal,
    Item,
    checked,
    id_of,
    input_results,
    reason_of,
    split_fields,
)
from aiida_pet.data.left_out import LeftOut

_GEOMETRY = frozenset({"numbers", "positions"})


# -- CIF and POSCAR ------------------------------------------------------------------------------------------


# -- ASE databases -------------------------------------------------------------------------------------------


def read_ase_database(path: Path, json_form: bool, id_key: str | None, dropped: LeftOut) -> Iterator[Item]:
    """Yield each row; key-value pairs are columns, and where none of them is an id, ASE's ``unique_id`` is.

    :param path: of the database, never written to.
    :param json_form: whether it is ASE's JSON form, rather than SQLite.
    :raises ValueError: if it is not a database.
    """
    try:
        database = connect(path, type="json" if json_form else "db", use_lock_file=False)
        rows = database.select() if json_form else (None for _ in ())
        row_ids = [] if json_form else [row.id for row in database.select(columns=["id"], include_data=False)]
    except Exception as error:  # the drivers raise whatever theirs raise
        raise ValueError(f"not an ASE database: {reason_of(error)}") from error
    if json_form:
        for row in rows:
            yield _item_of_row(row, id_key, dropped)
    for row_id in row_ids:
        try:
            row = database.get(id=row_id)
        except Exception as error:  # a damaged row costs no other
            yield Broken(None, f"row {row_id} cannot be read: {reason_of(error)}")
            continue
        yield _item_of_row(row, id_key, dropped)


def _item_of_row(row: Any, id_key: str | None, dropped: LeftOut) -> Item:
    fields = {"unique_id": row.unique_id} | dict(row.key_value_pairs)
    row_id, key = id_of(fields, id_key)
    if row_id is None and id_key != "":
        row_id, key = row.unique_id, "unique_id"
    fields.pop(key or "", None)
    fields.pop("unique_id", None)
    try:
        atoms = checked(row.toatoms())
        columns, atom_columns = split_fields(fields, len(atoms), dropped)
        results = dict(atoms.calc.results) if atoms.calc is not None else {}
        found, found_atoms = input_results(results, len(atoms))
    except Exception as error:  # a damaged row costs no other
        return Broken(row_id, f"row {row.id}: {reason_of(error)}")
    dropped.update(set(results) - {"energy", "free_energy", "stress", "forces"})
    return Crystal(row_id, atoms, columns | found, atom_columns | found_atoms)
