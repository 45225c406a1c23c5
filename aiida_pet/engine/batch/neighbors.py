"""Neighbour lists of a ragged batch with a skin, rebuilt row by row and only where needed.

The pairs of a row are those within ``cutoff + skin`` at the geometry of its last build. With F the deformation of the
cell since then and u the largest displacement beyond it, a pair outside the list was farther than ``cutoff + skin`` and
cannot be closer than ``s_min(F) (cutoff + skin) - 2 u`` now; the row is rebuilt when that bound reaches the cutoff.
``s_min(F) >= 1 - |F - 1|`` (Frobenius) keeps the test free of decompositions. Pairs beyond the cutoff are left in:
PET's preprocessing masks them.

Pairs lie in flat tensors, sorted by row, so that rows that stay, leave, enter or are rebuilt are gathers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor, flat_indices
from aiida_pet.engine.batch.pair_search import find_pairs


@dataclass(frozen=True)
class Pairs:
    """Directed pairs of a batch, sorted by row.

    :ivar centers: (P,) int64, atom index in the batch.
    :ivar neighbors: (P,) int64, atom index in the batch.
    :ivar shifts: (P, 3) int64, cell shift of the neighbour.
    :ivar counts: (N,) int64, pairs of each row.
    :ivar widths: (N,) int64, largest number of neighbours within the cutoff, without the skin, that an atom of the row
        had when its pairs were last found.
    :ivar searched: (N,) bool, False for rows whose pairs were not looked for, see
        :mod:`~aiida_pet.engine.batch.pair_search`.
    """

    centers: Tensor
    neighbors: Tensor
    shifts: Tensor
    counts: Tensor
    widths: Tensor
    searched: Tensor

    def take(self, rows: Tensor, batch: Batch) -> Pairs:
        """Return the pairs of ``rows`` of ``batch``, with atoms counted in ``batch.take(rows)``."""
        chosen = flat_indices(self.counts, rows)
        counts, sizes = self.counts[rows], batch.n_atoms[rows]
        starts = torch.cumsum(batch.n_atoms, 0) - batch.n_atoms
        moved = torch.cumsum(sizes, 0) - sizes - starts[rows]
        offset = torch.repeat_interleave(moved, counts, output_size=len(chosen))
        return Pairs(
            self.centers[chosen] + offset,
            self.neighbors[chosen] + offset,
            self.shifts[chosen],
            counts,
            self.widths[rows],
            self.searched[rows],
        )


@dataclass(frozen=True)
class _Built:
    """Rows as they were when their pairs were found.

    :ivar closest: (N,) A, distance of the closest pair of each row, infinite where it has none.
    """

    batch: Batch
    pairs: Pairs
    closest: Tensor

    @classmethod
    def of(cls, batch: Batch, cutoff: float, skin: float) -> _Built:
        found = find_pairs(batch, cutoff + skin)
        counts = torch.bincount(batch.row_of_atom[found.centers], minlength=len(batch))
        widths = _largest_counts(batch, found.centers[found.distances <= cutoff])
        pairs = Pairs(found.centers, found.neighbors, found.shifts, counts, widths, found.searched)
        nothing = batch.positions.new_full((len(batch),), torch.inf)
        rows = batch.row_of_atom[found.centers]
        return cls(batch, pairs, nothing.scatter_reduce_(0, rows, found.distances.double(), reduce="amin"))

    def take(self, rows: Tensor) -> _Built:
        return _Built(self.batch.take(rows), self.pairs.take(rows, self.batch), self.closest[rows])

    def followed_by(self, other: _Built) -> _Built:
        first = len(self.batch.numbers)
        mine, its = self.pairs, other.pairs
        pairs = Pairs(
            torch.cat([mine.centers, its.centers + first]),
            torch.cat([mine.neighbors, its.neighbors + first]),
            torch.cat([mine.shifts, its.shifts]),
            torch.cat([mine.counts, its.counts]),
            torch.cat([mine.widths, its.widths]),
            torch.cat([mine.searched, its.searched]),
        )
        closest = torch.cat([self.closest, other.closest])
        return _Built(Batch.cat([self.batch, other.batch]), pairs, closest)


def largest_neighbor_counts(batch: Batch, cutoff: float) -> Tensor:
    """Return the (N,) int64 largest number of neighbours within ``cutoff``, A, of an atom of each row."""
    return _largest_counts(batch, find_pairs(batch, cutoff).centers)


def _largest_counts(batch: Batch, centers: Tensor) -> Tensor:
    of_atom = torch.bincount(centers, minlength=len(batch.numbers))
    return torch.zeros_like(batch.n_atoms).scatter_reduce_(0, batch.row_of_atom, of_atom, reduce="amax")


class NeighborList:
    """The neighbour lists of the rows of a batch, kept while rows move, leave and enter.

    :param cutoff: A.
    :param skin: A; larger means fewer rebuilds and more pairs to mask.
    """

    def __init__(self, cutoff: float, skin: float = 0.5) -> None:
        if cutoff <= 0 or skin < 0:
            raise ValueError(f"cutoff must be positive and skin not negative, got {cutoff} and {skin} A")
        self.cutoff = cutoff
        self.skin = skin
        self.builds = 0
        self._built: _Built | None = None

    def update(self, batch: Batch) -> Pairs:
        """Return the pairs of ``batch``: the rows of the last call, moved.

        A row that cannot be searched has no pairs, and ``searched`` says so.
        """
        if self._built is None:
            self._built = self._build(batch)
            return self._built.pairs
        stale = self._stale(self._built.batch, batch).nonzero().flatten()
        if len(stale):
            order = torch.arange(len(batch), device=batch.device)
            order[stale] = torch.arange(len(batch), len(batch) + len(stale), device=batch.device)
            self._built = self._built.followed_by(self._build(batch.take(stale))).take(order)
        return self._built.pairs

    @property
    def pairs(self) -> Pairs:
        """Pairs of the last update, of the rows that stayed or entered since."""
        if self._built is None:
            raise RuntimeError("no pairs were looked for yet: call update() first")
        return self._built.pairs

    def keep(self, batch: Batch, rows: Tensor) -> None:
        """Forget all rows of ``batch`` but ``rows``, in that order."""
        if self._built is not None:
            self._built = self._built.take(rows)

    def append(self, batch: Batch) -> None:
        """Add the rows of ``batch`` behind those there are; they may have moved when their pairs are asked for."""
        built = self._build(batch)
        self._built = built if self._built is None else self._built.followed_by(built)

    def anchor(self, batch: Batch) -> Batch:
        """Return the rows of ``batch`` (the rows of the last update) where their pairs were looked for."""
        return batch if self._built is None else self._built.batch

    def _build(self, batch: Batch) -> _Built:
        self.builds += len(batch)
        still = batch.moved(batch.positions.detach().clone(), batch.cells.detach().clone())
        return _Built.of(still, self.cutoff, self.skin)

    def distances_at_least(self, batch: Batch) -> Tensor:
        """Return (N,) lower bounds of the shortest distance in each row of ``batch``, A.

        They cost a pass over the atoms instead of one over the pairs. Where the bound is minus infinity or no number,
        nothing is known.

        :param batch: the rows that stayed or entered since the last update, moved.
        """
        if self._built is None:
            return torch.full_like(batch.cells[:, 0, 0], -torch.inf)
        shrink, displaced = _changes(self._built.batch, batch)
        return shrink * self._built.closest - 2.0 * displaced

    def _stale(self, then: Batch, now: Batch) -> Tensor:
        shrink, displaced = _changes(then, now)
        # so that NaN is stale
        return ~(shrink * (self.cutoff + self.skin) - 2.0 * displaced > self.cutoff)


def _changes(then: Batch, now: Batch) -> tuple[Tensor, Tensor]:
    """Return (N,) lower bounds of ``s_min(F)``, and the (N,) largest displacements ``u``, A."""
    identity = torch.eye(3, dtype=torch.float64, device=now.device)
    volumes = then.volumes()
    solid = (volumes > 1e-12) & volumes.isfinite()
    deformation, _ = torch.linalg.solve_ex(
        torch.where(solid[:, None, None], then.cells, identity),
        torch.where(solid[:, None, None], now.cells, identity),
    )
    affine = torch.einsum("ai,aij->aj", then.positions, deformation[now.row_of_atom])
    displaced = now.row_max(torch.linalg.vector_norm(now.positions - affine, dim=1))
    shrink = 1.0 - torch.linalg.matrix_norm(deformation - identity)
    # a cell without volume (molecules, slabs given without one) has no deformation: it is the same or it is not
    same = (then.cells == now.cells).all(dim=(1, 2))
    return torch.where(solid | same, shrink, torch.nan), displaced
