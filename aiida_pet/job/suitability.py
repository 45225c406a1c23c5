"""Which rows a task does not take although nothing is wrong with their geometry, and why: known before anything runs.

Free of torch, so that a launch can tell beforehand.
"""

from __future__ import annotations

import numpy as np

from aiida_pet.job.parameters import CellFilter, RelaxParameters, StaticParameters, TightRelaxParameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import COLUMNS, NOT_READ, rows_with_fixed_atoms, unread_constraints

RELAXING = (CellFilter.FULL, CellFilter.SHAPE, CellFilter.VOLUME)  # a cell of three periodic vectors


def why_not_relaxed(table: StructureTable, parameters: RelaxParameters) -> dict[int, str]:
    """Return row -> why it is not relaxed."""
    refused = _why_not_in_plane(table) if parameters.cell is CellFilter.PLANE else {}
    for row, names in unread_constraints(table).items():
        refused.setdefault(
            row,
            f"the crystal has constraints that a relaxation cannot handle: {names} (column {NOT_READ}). Leave them "
            f"out of the set, or hold atoms with {' or '.join(COLUMNS)}",
        )
    return refused


def why_not_derived(table: StructureTable, task: str) -> dict[int, str]:
    """Return row -> why ``task``, which takes derivatives by moves of all atoms, does not take it."""
    remedy = "leave its constraints out of the set, or relax it alone (aiida-pet launch relax)"
    refused = {
        row: f"{task}: every atom must move, but some atoms are held (columns {' and '.join(COLUMNS)}): {remedy}"
        for row in np.flatnonzero(rows_with_fixed_atoms(table)).tolist()
    }
    return refused | {
        row: f"{task}: the crystal has constraints that this task cannot handle: {names} (column {NOT_READ}): {remedy}"
        for row, names in unread_constraints(table).items()
    }


def why_cell_cannot_relax(table: StructureTable) -> dict[int, str]:
    """Return row -> why its cell cannot relax, for rows that are not periodic in all directions."""
    refused = {}
    for row in np.flatnonzero(~table.pbc.all(axis=1)).tolist():
        remedy = "cell=plane or cell=fixed" if table.pbc[row].sum() == 2 else "cell=fixed"
        refused[row] = (
            f"a cell can relax only if the crystal is periodic in all directions, but pbc is {_flags(table, row)}: "
            f"use {remedy}"
        )
    return refused


def foreseen(task: Task, table: StructureTable, parameters: StaticParameters) -> dict[int, str]:
    """Return row -> why ``task`` will not take it, as far as periodic directions and constraints tell."""
    refused: dict[int, str] = {}
    if isinstance(parameters, TightRelaxParameters):
        for row in np.flatnonzero(~table.pbc.all(axis=1)).tolist():
            refused[row] = (
                f"{task.value} need a crystal periodic in all directions, but pbc is {_flags(table, row)}"
            )
        return why_not_derived(table, task.value) | refused
    if isinstance(parameters, RelaxParameters):
        refused = why_not_relaxed(table, parameters)
        if parameters.cell in RELAXING:
            refused |= why_cell_cannot_relax(table)
    return refused


def _why_not_in_plane(table: StructureTable) -> dict[int, str]:
    refused = {}
    for row in np.flatnonzero(table.pbc.sum(axis=1) != 2).tolist():
        remedy = "cell=full" if table.pbc[row].all() else "cell=fixed"
        refused[row] = (
            "cell=plane needs a slab that is periodic in exactly two directions, but pbc is "
            f"{_flags(table, row)}: use {remedy}"
        )
    flat = (table.pbc.sum(axis=1) == 2) & ~(table.volumes() > 0)
    for row in np.flatnonzero(flat).tolist():
        refused[row] = (
            "cell=plane divides the stress by the volume of the cell with its vacuum, but the cell has no volume: "
            f"give it a third lattice vector, got {table.cells[row].tolist()}"
        )
    return refused


def _flags(table: StructureTable, row: int) -> str:
    return "".join("T" if flag else "F" for flag in table.pbc[row])
