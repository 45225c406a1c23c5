"""Which rows a task does not take although nothing is wrong with their geometry, and why: known before anything runs.

Free of torch, so that a launch can tell beforehand.
"""

from __future__ import annotations

import numpy as np

from aiida_pet.job.conductivity_parameters import ConductivityParameters
from aiida_pet.job.dynamics_columns import RowParameters, faults_of_velocities
from aiida_pet.job.dynamics_parameters import DynamicsParameters, Ensemble
from aiida_pet.job.given_charges import charges_of_row, has_charges
from aiida_pet.job.given_columns import OF_CONDUCTIVITY, OF_PHONONS
from aiida_pet.job.given_rows import given_of_row
from aiida_pet.job.parameters import CellFilter, RelaxParameters, StaticParameters, TightRelaxParameters
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import COLUMNS, NOT_READ, rows_with_fixed_atoms, unread_constraints

GIVEN_OF = {PhononParameters: OF_PHONONS, ConductivityParameters: OF_CONDUCTIVITY}
"""Parameters of a task -> the columns of the set that it reads as settings of rows."""
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


def why_not_moved(table: StructureTable, parameters: DynamicsParameters) -> dict[int, str]:
    """Return row -> why dynamics does not move it."""
    refused = {
        row: f"{why}: dynamics would move these atoms" for row, why in unread_constraints(table).items()
    }
    refused |= faults_of_velocities(table) | RowParameters.of(table).faults
    if parameters.ensemble is Ensemble.NPT:
        for row in np.flatnonzero(~table.pbc.all(axis=1)).tolist():
            refused[row] = "ensemble=npt needs a crystal that is periodic in three directions: use nvt"
        for row in np.flatnonzero(rows_with_fixed_atoms(table)).tolist():
            refused[row] = "ensemble=npt cannot be used with held atoms: use nvt"
    return refused


def why_settings_do_not_fit(table: StructureTable, parameters: TightRelaxParameters) -> dict[int, str]:
    """Return row -> what is wrong with the settings that it brings, if the task uses such settings."""
    names = GIVEN_OF.get(type(parameters), ())
    if not getattr(parameters, "given_cells", False) or not any(name in table.columns for name in names):
        return {}
    refused = {}
    for row in range(len(table)):
        try:
            for name in names:
                given_of_row(table, row, name)
        except ValueError as error:
            refused[row] = str(error)
    return refused


def why_charges_do_not_fit(table: StructureTable, parameters: TightRelaxParameters) -> dict[int, str]:
    """Return row -> what is wrong with its Born charges or dielectric tensor, if the task uses them."""
    if not getattr(parameters, "nac", False) or not has_charges(table):
        return {}
    refused = {}
    for row in range(len(table)):
        try:
            charges_of_row(table, row)
        except ValueError as error:
            refused[row] = str(error)
    return refused


def foreseen(task: Task, table: StructureTable, parameters: StaticParameters) -> dict[int, str]:
    """Return row -> why ``task`` will not take it, as far as its periodic directions, constraints and columns tell."""
    refused: dict[int, str] = {}
    if isinstance(parameters, TightRelaxParameters):
        for row in np.flatnonzero(~table.pbc.all(axis=1)).tolist():
            refused[row] = (
                f"{task.value} need a crystal periodic in all directions, but pbc is {_flags(table, row)}"
            )
        settings = why_settings_do_not_fit(table, parameters)
        charges = why_charges_do_not_fit(table, parameters)
        return charges | settings | why_not_derived(table, task.value) | refused
    if isinstance(parameters, DynamicsParameters):
        return why_not_moved(table, parameters)
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
