"""Averages of an unconstrained model over rotations, row by row, and how much it varies over them.

E_avg = sum_k w_k E(R_k x), and forces and stress are those of E_avg. Rows of a batch may have different rotations, and
as many as they need: a *turn* is one rotation of each row that has as many; rows with most rotations come first in a
chunk, so that a turn concerns its first rows.

Where rotations form classes under the point group of an exactly symmetric crystal
(:mod:`~aiida_pet.crystals.symmetry.cosets`), the model sees one rotation of each class, and its forces and stress are
spread over the class by the operations of the group. Spreading does not change their norms, so that the variance over
all rotations is the mean of the squared norms less the squared norm of the mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from aiida_pet.crystals.symmetry.cosets import CosetTables, reduce_by_point_group
from aiida_pet.crystals.symmetry.operations import Operations, PairTables
from aiida_pet.crystals.symmetry.rotation_sets import RotationSet
from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import VIRIAL, Evaluation
from aiida_pet.engine.symmetry.projection import SiteOperations, SymmetryProjector
from aiida_pet.tables.arrays import Floats, Integers

#: Standard deviations over the rotations, by the names of their columns: eV, eV/A and eV/A^3, the last two as root mean
#: squares over the components. NaN for rows that are not averaged.
DEVIATIONS = ("rotational_energy_std", "rotational_forces_std", "rotational_stress_std")


@dataclass(frozen=True)
class Turn:
    """One rotation of each of the first rows of a chunk.

    :ivar matrices: (n, 3, 3) float64, acting on column vectors.
    :ivar weights: (n,) float64.
    :ivar spread: applies the weighted operations of each row's class; None where no row has any but the identity.
    """

    matrices: Tensor
    weights: Tensor
    spread: SymmetryProjector | None

    def __len__(self) -> int:
        return len(self.weights)

    def spread_vectors(self, vectors: Tensor, row_of_atom: Tensor) -> Tensor:
        """Return the part that (A, 3) ``vectors`` of the rows add to the mean."""
        if self.spread is None:
            return self.weights[row_of_atom, None] * vectors
        return self.spread.forces(vectors)

    def spread_tensors(self, tensors: Tensor) -> Tensor:
        """Return the part that (n, 3, 3) ``tensors`` add to the mean."""
        return self.weights[:, None, None] * tensors if self.spread is None else self.spread.stress(tensors)

    def spread_scalars(self, scalars: Tensor, row_of_atom: Tensor) -> Tensor:
        """Return the part that (A,) ``scalars`` of the atoms add to the mean."""
        return self.weights[row_of_atom] * scalars if self.spread is None else self.spread.scalars(scalars)


@dataclass(frozen=True)
class RowRotations:
    """The rotations over which one row is averaged.

    :ivar matrices: (K, 3, 3), those that are evaluated.
    :ivar weights: (K,), of sum 1.
    :ivar classes: what each stands for under the symmetry of the row, (K,); None where it stands for itself.
    """

    matrices: Floats
    weights: Floats
    classes: tuple[SiteOperations, ...] | None = None

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def is_average(self) -> bool:
        """Whether this is more than one rotation, if only one that stands for a class."""
        return len(self) > 1 or self.classes is not None

    @classmethod
    def of(cls, rotations: RotationSet, operations: Operations | None = None) -> RowRotations:
        """Return ``rotations``, reduced by the group ``operations`` if the crystal has it exactly, and keeps it."""
        if operations is None or len(operations) == 1:
            return cls(rotations.matrices, rotations.weights)
        reduction = reduce_by_point_group(rotations, operations.cartesian)
        tables = CosetTables.of(reduction, operations)
        classes = []
        for m in range(len(reduction)):
            its = tables.representative == m
            pairs = PairTables(
                tables.source[its],
                tables.target[its],
                tables.blocks[its],
                tables.shares[its],
                tables.tensor[m],
            )
            classes.append(_Weighted(operations.sites, operations.n_sites, pairs))
        return cls(reduction.matrices, reduction.weights, tuple(classes))

    def class_of(self, k: int, n_atoms: int) -> SiteOperations:
        """Return what rotation ``k`` stands for, of a row of ``n_atoms`` atoms."""
        if self.classes is not None:
            return self.classes[k]
        weight, atoms = float(self.weights[k]), np.arange(n_atoms)
        blocks = np.broadcast_to(weight * np.eye(3), (n_atoms, 3, 3))
        pairs = PairTables(atoms, atoms, blocks, np.full(n_atoms, weight), weight * np.eye(9))
        return _Weighted(atoms, n_atoms, pairs)


AS_IT_IS = RowRotations(np.eye(3)[None], np.ones(1))


@dataclass(frozen=True)
class _Weighted:
    """Weighted operations on the sites of a crystal."""

    sites: Integers
    n_sites: int
    pairs: PairTables
    is_trivial: bool = False


class Rotations:
    """The rotations of N rows of a batch.

    :param rows: rows of each row; None to leave the row as it is.
    :ivar turned: (N,) bool, rows that are not left as they are.
    :ivar averaged: (N,) bool, rows whose rotations are more than one.
    :ivar counts: (N,) int64, rotations that are evaluated.
    """

    def __init__(self, rows: Sequence[RowRotations | None]) -> None:
        self.rows = [AS_IT_IS if row is None else row for row in rows]
        self.turned = np.array([row is not None for row in rows], dtype=bool)
        self.averaged = np.array([row.is_average for row in self.rows], dtype=bool)
        self.counts = np.array([len(row) for row in self.rows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def turns(self, places: Sequence[int], n_atoms: Sequence[int], device: torch.device) -> list[Turn]:
        """Return the turns of the rows at ``places``, those with most rotations first, of ``n_atoms`` atoms each.

        :return: none if all of the rows are left as they are.
        """
        if not self.turned[list(places)].any():
            return []
        rows = [self.rows[place] for place in places]
        turns = []
        for k in range(len(rows[0])):
            active = [row for row in rows if len(row) > k]
            spread = None
            if any(row.classes is not None for row in active):
                sizes = n_atoms[: len(active)]
                classes = [row.class_of(k, size) for row, size in zip(active, sizes, strict=True)]
                spread = SymmetryProjector.build(classes, sizes, device)
            matrices = np.stack([row.matrices[k] for row in active])
            weights = np.array([row.weights[k] for row in active])
            turns.append(
                Turn(
                    torch.as_tensor(matrices, device=device), torch.as_tensor(weights, device=device), spread
                )
            )
        return turns


class Average:
    """The mean over the turns of a chunk, put together turn by turn.

    :param batch: N rows, those with most rotations first.
    :param averaged: (N,) bool, which of them are averaged at all.
    """

    def __init__(self, batch: Batch, averaged: Tensor) -> None:
        self._batch = batch
        self._averaged = averaged
        # energies are taken relative to the first answer: so variances keep their digits
        self._first: Evaluation | None = None
        self._sum = Evaluation(
            torch.zeros(len(batch), dtype=torch.float64, device=batch.device),
            torch.zeros_like(batch.positions),
            torch.zeros_like(batch.cells),
        )
        self._squares = torch.zeros((3, len(batch)), dtype=torch.float64, device=batch.device)

    def add(self, turn: Turn, answer: Evaluation) -> None:
        """Take the ``answer`` of the first ``len(turn)`` rows, turned back, into the mean."""
        if self._first is None:
            self._first = answer
            for mine, its in ((self._sum.rows, answer.rows), (self._sum.atoms, answer.atoms)):
                mine.update({name: torch.zeros_like(values) for name, values in its.items()})
        n_rows, n_atoms, total = len(turn), len(answer.forces), self._sum
        row = self._batch.row_of_atom[:n_atoms]
        excess = answer.energy - self._first.energy[:n_rows]
        norms = torch.zeros_like(excess).index_add_(0, row, (answer.forces**2).sum(dim=1))
        squares = torch.stack([excess**2, norms, (answer.stress**2).sum(dim=(1, 2))])
        self._squares[:, :n_rows] += turn.weights * squares
        total.energy[:n_rows] += turn.weights * excess
        total.forces[:n_atoms] += turn.spread_vectors(answer.forces, row)
        total.stress[:n_rows] += turn.spread_tensors(answer.stress)
        for name, values in answer.rows.items():
            tensors = turn.spread_tensors(values) if name == VIRIAL else _times(turn.weights, values)
            total.rows[name][:n_rows] += tensors
        for name, values in answer.atoms.items():
            total.atoms[name][:n_atoms] += turn.spread_scalars(values, row)

    def result(self) -> Evaluation:
        """Return the mean of what was added, with the deviations over the rotations."""
        assert self._first is not None
        total, batch = self._sum, self._batch
        squared_means = torch.stack(
            [
                total.energy**2,
                batch.row_sum((total.forces**2).sum(dim=1)),
                (total.stress**2).sum(dim=(1, 2)),
            ]
        )
        ones = torch.ones_like(batch.n_atoms)
        components = torch.stack([ones, 3 * batch.n_atoms, 9 * ones])
        variances = (self._squares - squared_means).clamp(min=0.0) / components
        deviations = torch.where(self._averaged, variances.sqrt(), torch.nan)
        return replace(
            total,
            energy=total.energy + self._first.energy,
            rows=total.rows | dict(zip(DEVIATIONS, deviations, strict=True)),
        )


def _times(weights: Tensor, values: Tensor) -> Tensor:
    return weights.reshape(-1, *([1] * (values.ndim - 1))) * values
