"""Writes crystals as POSCAR: the id in the comment line, species in the order of the atoms. No AiiDA.

The comment is ``id=`` and the id, to the end of the line; an id that does not stand so is written as JSON. Positions
are Cartesian. What is held along lattice vectors is written as selective dynamics.
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import TextIO

import numpy as np
from ase.data import chemical_symbols

from aiida_pet.io.own_json import selective_dynamics
from aiida_pet.io.own_record import held_in
from aiida_pet.tables.crystals import StructureTable

ID_MARK = "id="


def comment_of(row_id: str) -> str:
    """Return the comment line of the crystal ``row_id``."""
    plain = row_id.isprintable() and row_id == row_id.strip() and not row_id.startswith('"') and row_id
    return ID_MARK + (row_id if plain else json.dumps(row_id))


def reason_against(table: StructureTable, index: int) -> str:
    """Return why row ``index`` cannot be a POSCAR, empty if it can."""
    part = table.atoms_of(index)
    cell, positions = table.cells[index], table.positions[part]
    if not (np.isfinite(cell).all() and np.isfinite(positions).all() and abs(np.linalg.det(cell)) > 1e-3):
        return "its cell is not finite or has no volume"
    if part.stop == part.start:
        return "it has no atoms"
    held = held_in(table)
    if held is not None and (held[part].any(axis=1) & ~held[part].all(axis=1)).any():
        return (
            "atoms are fixed along some of x, y and z, but a POSCAR can fix atoms only along lattice vectors"
        )
    return ""


def write_poscar(table: StructureTable, index: int, handle: TextIO) -> None:
    """Write row ``index``."""
    part = table.atoms_of(index)
    runs = [(number, len(list(run))) for number, run in groupby(table.numbers[part].tolist())]
    handle.write(f"{comment_of(str(table.ids[index]))}\n1.0\n")
    for vector in table.cells[index].tolist():
        handle.write("  ".join(f"{value!r}" for value in vector) + "\n")
    handle.write(" ".join(chemical_symbols[number] for number, _ in runs) + "\n")
    handle.write(" ".join(str(count) for _, count in runs) + "\n")
    moving = selective_dynamics(table, index)
    if moving is not None:
        handle.write("Selective dynamics\n")
    handle.write("Cartesian\n")
    for place, position in enumerate(table.positions[part].tolist()):
        flags = [] if moving is None else ["T" if free else "F" for free in moving[place].tolist()]
        handle.write(" ".join([*(f"{value!r}" for value in position), *flags]) + "\n")
