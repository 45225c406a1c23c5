"""How long the transport of a launch of conductivities takes on one core, known before anything runs.

For each q-point that symmetry leaves, phono3py sums over all points of the mesh, so its time grows with the square of
their number and falls with the order of the point group. It is a rough guess: take the order of magnitude.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aiida_pet.crystals.phonons.harmonic import mesh_numbers
from aiida_pet.job.conductivity_parameters import ConductivityParameters
from aiida_pet.job.given_columns import MESH
from aiida_pet.job.given_rows import given_of_row
from aiida_pet.tables.crystals import StructureTable

# Rocksalt, two atoms and 48 operations, takes two to three minutes on a mesh of 19 x 19 x 19 on a core of an AMD EPYC.
_SECONDS, _POINTS, _ATOMS, _OPERATIONS = 150.0, 19**3, 2, 48
_BY_ATOMS = 2.0
_START_S = 2.0


def transport_seconds(
    phono3py: Any, table: StructureTable, row: int, parameters: ConductivityParameters
) -> float:
    """Return how many seconds the transport of a row takes on one core.

    :param phono3py: of the row, with its primitive cell.
    """
    points = float(np.prod(_mesh(phono3py, table, row, parameters), dtype=np.float64))
    operations = phono3py.primitive_symmetry.pointgroup_operations
    order = len(operations) * (1 if any((one == -np.eye(3)).all() for one in operations) else 2)
    work = (points / _POINTS) ** 2 * (len(phono3py.primitive) / _ATOMS) ** _BY_ATOMS * _OPERATIONS / order
    return _START_S + _SECONDS * work


def _mesh(phono3py: Any, table: StructureTable, row: int, parameters: ConductivityParameters) -> Any:
    given = given_of_row(table, row, MESH) if parameters.given_cells else None
    if given is not None:
        return given
    if isinstance(parameters.mesh, tuple):
        return parameters.mesh
    return mesh_numbers(phono3py, parameters.mesh)
