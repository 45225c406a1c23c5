"""Where rows are, how they move, and what they move in.

Units are A, eV and u; time is in A sqrt(u/eV) (:data:`aiida_pet.units.FEMTOSECOND`), as in ASE. Positions are never
wrapped into the cell, so that a path can be followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.tasks.row_state import PER_ATOM


@dataclass
class Motion:
    """What moves; a state as :mod:`aiida_pet.engine.tasks.row_state` understands it.

    :ivar positions: (A, 3) A.
    :ivar velocities: (A, 3) A / (A sqrt(u/eV)).
    :ivar cells: (N, 3, 3) A.
    :ivar steps: (N,) int64, the step that the positions belong to.
    :ivar exchanged: (N,) eV, energy that random thermostats and barostats have given to the row so far.
    """

    positions: Tensor = field(metadata=PER_ATOM)
    velocities: Tensor = field(metadata=PER_ATOM)
    cells: Tensor
    steps: Tensor
    exchanged: Tensor


@dataclass
class Conditions:
    """What rows move in; a state too, since it leaves and enters with the rows.

    :ivar masses: (A,) u.
    :ivar keys: (N, 2) int64, of the random numbers.
    :ivar dof: (N,) float64, degrees of freedom that hold kinetic energy.
    :ivar centred: (N,) bool, whether the centre of mass is to stay at rest.
    :ivar timestep: (N,) of the evaluations of the inner forces, in the unit of time.
    :ivar kt: (N,) eV, now.
    :ivar pressure: (N,) eV/A^3.
    """

    masses: Tensor = field(metadata=PER_ATOM)
    keys: Tensor
    dof: Tensor
    centred: Tensor
    timestep: Tensor
    kt: Tensor
    pressure: Tensor


@dataclass(frozen=True)
class Scene:
    """A batch with its conditions, as an integrator sees it at one step.

    :ivar batch: the rows; its positions and cells are not looked at.
    :ivar conditions: conditions of the rows.
    :ivar allowed: (A, 3, 3) projectors on the directions in which atoms may move; None where all may.
    :ivar moving: (N,) bool, rows that are between two evaluations; the others have just entered.
    """

    batch: Batch
    conditions: Conditions
    allowed: Tensor | None
    moving: Tensor

    @property
    def masses(self) -> Tensor:
        """(A, 1) u."""
        return self.conditions.masses[:, None]

    def of_atoms(self, values: Tensor) -> Tensor:
        """Return the (N,) ``values`` of the rows as (A, 1) of their atoms."""
        return values[self.batch.row_of_atom, None]

    def kinetic(self, velocities: Tensor) -> Tensor:
        """Return the (N,) kinetic energies, eV."""
        return 0.5 * self.batch.row_sum((self.masses * velocities * velocities).sum(dim=1))

    def kinetic_tensor(self, velocities: Tensor) -> Tensor:
        """Return the (N, 3, 3) sums of m v v, eV: the kinetic part of pressure times volume."""
        return self.batch.row_sum(self.masses[:, :, None] * velocities[:, :, None] * velocities[:, None, :])

    def held(self, velocities: Tensor) -> Tensor:
        """Return ``velocities`` without what atoms that are held, or a centre of mass at rest, do not have."""
        if self.allowed is not None:
            velocities = torch.einsum("aij,aj->ai", self.allowed, velocities)
        return velocities - self._drift(velocities)

    def accelerations(self, forces: Tensor) -> Tensor:
        """Return the (A, 3) accelerations by ``forces``, without held components."""
        if self.allowed is not None:
            forces = torch.einsum("aij,aj->ai", self.allowed, forces)
        return forces / self.masses

    def _drift(self, velocities: Tensor) -> Tensor:
        """Return the (A, 3) velocities of the centres of mass that are to be at rest."""
        momenta = self.batch.row_sum(self.masses * velocities)
        total = self.batch.row_sum(self.conditions.masses)
        return torch.where(self.conditions.centred[:, None], momenta / total[:, None], 0.0)[
            self.batch.row_of_atom
        ]


def degrees_of_freedom(
    batch: Batch, allowed: Tensor | None, centred: Tensor, without_rotation: Tensor
) -> Tensor:
    """Return the (N,) degrees of freedom that hold kinetic energy; at least 1.

    Three per atom, less the components that are held, three for a centre of mass at rest, and as many as there are
    rotations of a molecule that does not rotate.

    :param allowed: (A, 3, 3) projectors; None where nothing is held.
    :param centred: (N,) bool.
    :param without_rotation: (N,) bool, rows whose angular momentum is zero and stays so.
    """
    free = torch.full((len(batch.numbers),), 3.0, dtype=torch.float64, device=batch.device)
    if allowed is not None:
        free = torch.diagonal(allowed, dim1=1, dim2=2).sum(dim=1)
    dof = batch.row_sum(free) - 3.0 * centred
    return (dof - without_rotation * _rotations(batch)).clamp(min=1.0)


def _rotations(batch: Batch) -> Tensor:
    """Return the (N,) number of axes about which atoms can rotate: 0 of one atom, 2 on a line, else 3."""
    centre = batch.row_sum(batch.positions) / batch.n_atoms[:, None]
    apart = batch.positions - centre[batch.row_of_atom]
    spread = torch.linalg.eigvalsh(batch.row_sum(apart[:, :, None] * apart[:, None, :]))
    wide = (spread > 1e-8).sum(dim=1)
    return torch.where(wide == 0, 0.0, torch.where(wide == 1, 2.0, 3.0)).double()
