"""Reads crystals from extxyz, CIF, POSCAR and ASE databases, as streams. No AiiDA.

ASE parses; what stands here splits files into structures, so that a damaged one costs no other, finds the ids
and turns what stands beside a structure into columns. Constraints, velocities, tags, charges and magnetic
moments are left out.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ase import Atoms
from ase.db import connect
from ase.io.cif import parse_cif
from ase.io.vasp import read_vasp

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


def read_cif(text: TextIO, id_key: str | None, dropped: LeftOut) -> Iterator[Item]:
    """Yield the structure of each data block that has one; ids are left to the file's name.

    :raises ValueError: if no block has a structure.
    """
    del id_key, dropped  # a CIF has no fields to take
    found = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ASE warns about each space group setting it completes
        for block in parse_cif(io.BytesIO(text.read().encode())):
            if not block.has_structure():
                continue
            found += 1
            try:
                yield Crystal(None, _ordered(block.get_atoms()))
            except Exception as error:  # ASE's parser raises whatever its parts raise
                yield Broken(None, f"data block {block.name!r}: {reason_of(error)}")
    if not found:
        raise ValueError("expected a CIF data block with a cell and atom sites, got none")


def _ordered(atoms: Atoms) -> Atoms:
    for kind, species in atoms.info.get("occupancy", {}).items():
        if len(species) != 1 or any(abs(share - 1) > 1e-6 for share in species.values()):
            raise ValueError(f"site {kind} is disordered ({species}): expected one species of occupancy 1")
    return checked(Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc))


def read_poscar(text: TextIO, id_key: str | None, dropped: LeftOut) -> Iterator[Item]:
    """Yield the structure of a POSCAR or CONTCAR; its id is left to the file's name."""
    del id_key, dropped  # a POSCAR has no fields to take
    try:
        atoms = read_vasp(io.StringIO(text.read()))
    except Exception as error:  # ASE's parser raises whatever its parts raise
        yield Broken(None, f"not a POSCAR: {reason_of(error)}")
        return
    yield Crystal(None, checked(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)))


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
