"""Classical models with known answers, for the dynamics of the engine: atoms on springs, and Lennard-Jones."""

from __future__ import annotations

from typing import Any

import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList, Pairs
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.job.parameters import Derivation


class Springs:
    """Each atom bound to a place by a spring: an Einstein crystal. Its stress is zero.

    :param constant: eV/A^2.
    """

    def __init__(self, constant: float, places: torch.Tensor) -> None:
        self._constant = constant
        self._places = places

    def evaluate(self, batch: Batch) -> Evaluation:
        apart = batch.positions - self._places
        energy = batch.row_sum(0.5 * self._constant * (apart * apart).sum(dim=1))
        return Evaluation(energy, -self._constant * apart, torch.zeros_like(batch.cells))


class ElasticBox:
    """Atoms without forces in a cell that is a spring: C / 4 |H H^T / a^2 - 1|^2 of lattice vectors H in rows.

    What its cell does at constant pressure follows from sums over cells alone.

    :param stiffness: C, eV.
    :param length: a, A.
    """

    def __init__(self, stiffness: float, length: float) -> None:
        self._stiffness, self._length = stiffness, length

    def energy(self, cells: torch.Tensor) -> torch.Tensor:
        """Return the (N,) energies of ``cells``, eV."""
        strain = cells @ cells.mT / self._length**2 - torch.eye(3, dtype=torch.float64)
        return 0.25 * self._stiffness * (strain**2).sum(dim=(1, 2))

    def evaluate(self, batch: Batch) -> Evaluation:
        strain = batch.cells @ batch.cells.mT / self._length**2 - torch.eye(3, dtype=torch.float64)
        virial = batch.cells.mT @ (self._stiffness / self._length**2 * strain @ batch.cells)
        stress = virial / batch.volumes()[:, None, None]
        return Evaluation(self.energy(batch.cells), torch.zeros_like(batch.positions), stress)


class LennardJones(BatchModel):
    """Truncated Lennard-Jones, shifted in energy as ASE's, or smooth; forces by formula.

    :param direct_error: of the forces where they are direct: they are scaled by 1 + this, which is no derivative.
    """

    def __init__(
        self,
        *,
        epsilon: float = 0.0104,
        sigma: float = 3.4,
        cutoff: float = 8.5,
        direct_error: float = 0.0,
        forces: Derivation = Derivation.CONSERVATIVE,
        **further: Any,
    ) -> None:
        super().__init__(
            cutoff=cutoff, atomic_numbers=[1, 18, 36], n_features=1, forces=forces, threads=1, **further
        )
        self._given = {"epsilon": epsilon, "sigma": sigma, "cutoff": cutoff, "direct_error": direct_error}
        self._epsilon, self._sigma = epsilon, sigma
        self._kept: tuple[torch.Tensor, NeighborList] | None = None
        self._error = direct_error if forces is Derivation.DIRECT else 0.0

    def with_direct_forces(self) -> LennardJones:
        return LennardJones(**self._given, forces=Derivation.DIRECT)

    def of(self, batch: Batch) -> Evaluation:
        """Return the evaluation of ``batch``; a list of neighbours is kept as long as atoms are the same."""
        kept = self._kept
        if kept is None or not torch.equal(kept[0], batch.numbers):
            kept = self._kept = (batch.numbers, NeighborList(self.cutoff))
        return self.evaluate(batch, kept[1].update(batch))

    def _prepared(self, batch: Batch, pairs: Pairs) -> Any:
        return batch, pairs

    def _answer(self, prepared: Any, turn: Any) -> Evaluation:
        batch, pairs = prepared
        row = batch.row_of_atom[pairs.centers]
        apart = batch.positions[pairs.neighbors] - batch.positions[pairs.centers]
        apart = apart + torch.einsum("pi,pij->pj", pairs.shifts.double(), batch.cells[row])
        squared = (apart * apart).sum(dim=1)
        inside = squared < self.cutoff**2
        sixth = (self._sigma**2 / squared) ** 3
        at_cutoff = (self._sigma / self.cutoff) ** 6
        pair = 4 * self._epsilon * (sixth**2 - sixth - at_cutoff**2 + at_cutoff) * inside
        slope = 24 * self._epsilon * (2 * sixth**2 - sixth) / squared * inside
        atoms = torch.zeros_like(batch.positions[:, 0])
        energy = batch.row_sum(0.5 * atoms.index_add(0, pairs.centers, pair))
        forces = torch.zeros_like(batch.positions).index_add(0, pairs.centers, -slope[:, None] * apart)
        virial = torch.zeros_like(batch.cells).index_add(
            0, row, -0.5 * slope[:, None, None] * apart[:, :, None] * apart[:, None, :]
        )
        stress = virial / batch.volumes()[:, None, None]
        rows = {"net_force": torch.zeros_like(energy)} if self.forces is Derivation.DIRECT else {}
        return Evaluation(energy, forces * (1 + self._error), stress, rows)
