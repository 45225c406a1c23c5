"""Results as the engine would leave them, without a model: every column that the catalogue says, with plain values.

Energies are -8 eV per atom, and 0.5 eV more for crystals called ``high*``; phonons are stable, but not of those called
``soft*``. Crystals called ``saddle*`` leave their cell, stretched along c, for an energy 0.1 eV per atom lower, if they
are relaxed with ``symmetry: none`` said; their phonons are unstable as long as they have not. The highest frequency is
that of the geometry: 10 THz per 30 A^3. A row called ``max_steps*`` ends so. ``has_nac`` tells of Born charges that
came along. What has no rule here is 0, False or empty; ragged columns (force constants) are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.columns import PER_ATOM, RAGGED, Column, Kind, columns_of, unit_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.units import GPA

NEUTRAL: dict[Kind, Any] = {Kind.NUMBER: 0.0, Kind.COUNT: 0, Kind.FLAG: False, Kind.TEXT: ""}
SIZE = 2  # of a dimension that parameters or the model decide on: temperatures, grid points, features


def finish_rows(
    rows: StructureTable, task: Task = Task.RELAX, parameters: Mapping[str, Any] | None = None
) -> StructureTable:
    """Turn ``rows``, as given to a job, into its results, in place.

    :param parameters: parameters of the task, as the job has them; what is not said has its default.
    :return: ``rows``.
    """
    given = dict(parameters or {})
    parsed = parse_parameters(task, given)
    has_nac = "born_charges" in rows.atom_columns and "dielectric_tensor" in rows.columns
    gained = np.zeros(len(rows))
    if task is Task.RELAX and given.get("symmetry") == "none":
        gained = _leave_saddles(rows)
    rows.columns, rows.atom_columns, rows.units, rows.ragged = {}, {}, {}, {}
    said = _said(rows, gained, parsed)
    has_slabs = bool((rows.pbc.sum(axis=1) == 2).any())
    for column in columns_of(task.value, parsed):
        if column.shape[:1] == (RAGGED,) or ("layergroup" in column.name and not has_slabs):
            continue
        for name in column.names(parsed.symprecs):
            values = said.get(column.name, _neutral(rows, column))
            if column.shape[:1] == (PER_ATOM,):
                rows.atom_columns[name] = values
                if column.unit:
                    rows.units[name] = column.unit
            else:
                rows.set_column(name, values, column.unit or None)
    if task is Task.PHONONS and has_nac:
        rows.set_column("has_nac", np.ones(len(rows), bool), unit_of("has_nac") or None)
    return rows


def _said(rows: StructureTable, gained: NDArray[np.float64], parameters: Any) -> dict[str, Array]:
    """Return column of the catalogue -> values, of those that have a rule.

    :param gained: by how much each row came down from its saddle, eV.
    """
    n_rows, names = len(rows), rows.ids.tolist()
    volumes = rows.volumes()
    energies = -8.0 * rows.n_atoms + 0.5 * _called(names, "high") - gained
    soft = _called(names, "soft") | (_called(names, "saddle") & ~_is_long(rows))
    ended = np.where(_called(names, "max_steps"), RowStatus.MAX_STEPS.value, RowStatus.CONVERGED.value)
    return {
        "status": ended,
        "heads": np.full(n_rows, "conservative"),
        "n_atoms": rows.n_atoms,
        "energy": energies,
        "enthalpy": energies + getattr(parameters, "pressure", 0.0) / GPA * volumes,
        "initial_energy": -7.9 * rows.n_atoms,
        "volume": volumes,
        "initial_volume": volumes,
        "fmax": np.full(n_rows, 0.01),
        "stress_max": np.full(n_rows, 0.05),
        "n_steps": np.full(n_rows, 7),
        "spacegroup_{symprec}": np.full(n_rows, 229),
        "initial_spacegroup_{symprec}": np.full(n_rows, 229),
        "symmetry_kept_{symprec}": np.ones(n_rows, bool),
        "min_frequency": np.where(soft, -2.0, 0.0),
        "max_frequency": volumes / 3,
        "is_dynamically_stable": ~soft,
        "n_displacements": np.ones(n_rows, np.int64),
        "bulk_modulus": np.full(n_rows, 200.0),
        "is_mechanically_stable": np.ones(n_rows, bool),
        "n_strains": np.full(n_rows, 24),
    }


def _neutral(rows: StructureTable, column: Column) -> Array:
    """Return the values of a column that has no rule."""
    per_atom = column.shape[:1] == (PER_ATOM,)
    sizes = [int(size) if size.isdigit() else SIZE for size in column.shape[per_atom:]]
    return np.full([len(rows.numbers) if per_atom else len(rows), *sizes], NEUTRAL[column.kind])


def _called(names: list[str], beginning: str) -> NDArray[np.bool_]:
    return np.array([name.startswith(beginning) for name in names], bool)


def _is_long(rows: StructureTable) -> NDArray[np.bool_]:
    """Return whether the third lattice vector is longer than the first by far."""
    lengths = np.linalg.norm(rows.cells, axis=2)
    return np.asarray(lengths[:, 2] > 1.1 * lengths[:, 0])


def _leave_saddles(rows: StructureTable) -> NDArray[np.float64]:
    """Stretch the crystals on a saddle, and return by how much that lowers their energies, eV."""
    gained = np.zeros(len(rows))
    for row, name in enumerate(rows.ids.tolist()):
        if name.startswith("saddle"):
            rows.cells[row, 2] *= 1.2
            rows.positions[rows.atoms_of(row), 2] *= 1.2
            gained[row] = 0.1 * rows.n_atoms[row]
    return gained
