"""Neighbour lists of a ragged batch with a skin, rebuilt row by row and only where needed.

The pairs of a row are found by vesin within ``cutoff + skin`` of a reference geometry. With F the deformation of the
cell since then and u the largest displacement beyond it, a pair outside the list was farther than ``cutoff + skin`` and
cannot be closer than ``s_min(F) (cutoff + skin) - 2 u`` now; the row is rebuilt when that bound reaches the cutoff.
``s_min(F) >= 1 - |F - 1|`` (Frobenius) keeps the test free of decompositions. Pairs beyond the cutoff are left in:
PET's preprocessing masks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import vesin

from aiida_pet.engine.batch import Batch, Tensor


@dataclass(frozen=True)
class Pairs:
    """Directed pairs of a batch.

    :ivar centers: (P,) int64, atom index in the batch.
    :ivar neighbors: (P,) int64, atom index in the batch.
    :ivar shifts: (P, 3) int64, cell shift of the neighbour.
    """

    centers: Tensor
    neighbors: Tensor
    shifts: Tensor


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
        self._vesin = vesin.NeighborList(cutoff=cutoff + skin, full_list=True, n_threads=1)
        # of each row: (P, 5) center and neighbour, counted from the row's first atom, and cell shift
        self._rows: list[Tensor] = []
        self._positions: Tensor | None = None  # reference geometry of each row
        self._cells: Tensor | None = None
        self._pairs: Pairs | None = None

    def update(self, batch: Batch) -> Pairs:
        """Return the pairs of ``batch``: the rows of the last call, moved."""
        if self._positions is None or self._cells is None:
            self._positions, self._cells = batch.positions.clone(), batch.cells.clone()
            self._rows = self._build(batch, range(len(batch)))
            self._pairs = None
        else:
            stale = self._stale(batch).nonzero().flatten()
            if len(stale):
                for row, built in zip(stale.tolist(), self._build(batch, stale.tolist()), strict=True):
                    self._rows[row] = built
                atoms = batch.atoms_of(stale)
                self._positions[atoms] = batch.positions[atoms]
                self._cells[stale] = batch.cells[stale]
                self._pairs = None
        if self._pairs is None:
            self._pairs = self._concatenated(batch)
        return self._pairs

    def keep(self, batch: Batch, rows: Tensor) -> None:
        """Forget all rows of ``batch`` but ``rows``, in that order."""
        if self._positions is None or self._cells is None:
            return
        self._positions = self._positions[batch.atoms_of(rows)]
        self._cells = self._cells[rows]
        self._rows = [self._rows[row] for row in rows.tolist()]
        self._pairs = None

    def append(self, batch: Batch) -> None:
        """Add the rows of ``batch`` behind those there are."""
        if self._positions is None or self._cells is None:
            return
        self._positions = torch.cat([self._positions, batch.positions])
        self._cells = torch.cat([self._cells, batch.cells])
        self._rows += self._build(batch, range(len(batch)))
        self._pairs = None

    def _stale(self, batch: Batch) -> Tensor:
        assert self._positions is not None
        assert self._cells is not None
        identity = torch.eye(3, dtype=torch.float64, device=batch.device)
        # a cell without volume (molecules, slabs given without one) does not deform
        solid = torch.linalg.det(self._cells).abs() > 1e-12
        deformation = torch.linalg.solve(
            torch.where(solid[:, None, None], self._cells, identity), batch.cells
        )
        deformation = torch.where(solid[:, None, None], deformation, identity)
        affine = torch.einsum("ai,aij->aj", self._positions, deformation[batch.row_of_atom])
        displaced = batch.row_max(torch.linalg.vector_norm(batch.positions - affine, dim=1))
        shrink = 1.0 - torch.linalg.matrix_norm(deformation - identity)
        return shrink * (self.cutoff + self.skin) - 2.0 * displaced <= self.cutoff

    def _build(self, batch: Batch, rows: Sequence[int]) -> list[Tensor]:
        self.builds += len(rows)
        ends = torch.cumsum(batch.n_atoms, 0).tolist()
        sizes = batch.n_atoms.tolist()
        positions = batch.positions.detach().cpu().numpy()
        cells = batch.cells.detach().cpu().numpy()
        pbc = batch.pbc.cpu().numpy()
        built = []
        for row in rows:
            part = positions[ends[row] - sizes[row] : ends[row]]
            box = cells[row] * pbc[row][:, None]
            centers, neighbors, shifts = self._vesin.compute(part, box, pbc[row], quantities="ijS", copy=True)
            packed = np.empty((len(centers), 5), dtype=np.int64)
            packed[:, 0], packed[:, 1], packed[:, 2:] = centers, neighbors, shifts
            built.append(torch.from_numpy(packed).to(batch.device, non_blocking=True))
        return built

    def _concatenated(self, batch: Batch) -> Pairs:
        packed = torch.cat(self._rows)
        counts = torch.tensor([len(row) for row in self._rows], device=batch.device)
        starts = torch.cumsum(batch.n_atoms, 0) - batch.n_atoms
        first = torch.repeat_interleave(starts, counts, output_size=len(packed))
        return Pairs(packed[:, 0] + first, packed[:, 1] + first, packed[:, 2:].contiguous())
