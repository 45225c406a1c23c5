"""Skewed cells and atoms far from their cell, brought near for as long as the model looks at them.

The same crystal may be written with c + 3000 a for c, or with its atoms a thousand cells away. In the precision of a
model, float32 as a rule, the long numbers would swallow the short distances. A frame is the other way of writing a
row: its cell is ``basis @ cell``, Minkowski-reduced, and atom i stands at ``position - wraps[i] @ (basis @ cell)``.
Energies, forces, stresses and volumes are the same in both; shifts of pairs are not, and are turned by whoever needs
it. Nearly all rows are written well already, and are left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.crystals.lattice_reduction import LARGEST_COORDINATE, LatticeReductionError, reduced_basis
from aiida_pet.engine.batch.batch import Batch, Tensor

#: A cell is skewed whose volume is more than this times the product of its heights. Reduced ones are below 2.
SKEWED = 4.0
#: An atom is far that is more than this many cells away from its own.
FAR = 3.0


@dataclass(frozen=True)
class ShortCells:
    """Cells of a batch in short bases, without the vectors of directions that are not periodic.

    :ivar cells: (N, 3, 3) A.
    :ivar basis: (N, 3, 3) int64, what the cells of the batch were multiplied with; None if none was skewed.
    :ivar known: (N,) bool, False where there is no short basis.
    """

    cells: Tensor
    basis: Tensor | None
    known: Tensor

    @classmethod
    def of(cls, batch: Batch) -> ShortCells:
        """Return the cells of ``batch``; skewed ones are reduced, one by one on the host."""
        cells = batch.cells * batch.pbc[:, :, None]
        known = cells.isfinite().all(dim=2).all(dim=1)
        skewed = (~(skewness(cells, batch.pbc) <= SKEWED) & known).nonzero().flatten().tolist()
        if not skewed:
            return cls(cells, None, known)
        basis = torch.eye(3, dtype=torch.int64).repeat(len(batch), 1, 1)
        on_host, pbc, is_known = cells.cpu().numpy(), batch.pbc.cpu().numpy(), known.cpu()
        for row in skewed:
            try:
                basis[row] = torch.from_numpy(reduced_basis(on_host[row], pbc[row]))
            except LatticeReductionError:
                is_known[row] = False
        basis = basis.to(batch.device)
        return cls(basis.double() @ cells, basis, is_known.to(batch.device))

    def duals(self, pbc: Tensor) -> tuple[Tensor, Tensor]:
        """Return the dual vectors (N, 3, 3), 1/A, in columns, and the (N,) rows that have some, bool.

        They are zero for directions that are not periodic.
        """
        gram = self.cells @ self.cells.mT + torch.diag_embed((~pbc).double())
        inverse, singular = torch.linalg.inv_ex(gram)
        return self.cells.mT @ inverse, singular == 0


@dataclass(frozen=True)
class Frame:
    """Another way of writing the rows of a batch.

    :ivar basis: (N, 3, 3) int64.
    :ivar wraps: (A, 3) int64.
    """

    basis: Tensor
    wraps: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Frame | None:
        """Return the frame in which ``batch`` is to be looked at; None if it may stay as it is."""
        short = ShortCells.of(batch)
        dual, has_dual = short.duals(batch.pbc)
        fractional = torch.einsum("ai,aij->aj", batch.positions, dual[batch.row_of_atom])
        far = batch.row_max(fractional.abs().amax(dim=1)) > FAR
        if short.basis is None:
            if not bool(far.any()):
                return None
            basis = torch.eye(3, dtype=torch.int64, device=batch.device).repeat(len(batch), 1, 1)
        else:
            basis = short.basis
            far = far | (basis != torch.eye(3, dtype=torch.int64, device=batch.device)).any(dim=2).any(dim=1)
        moves = (far & has_dual & short.known)[batch.row_of_atom, None] & fractional.isfinite()
        wraps = torch.where(moves, fractional.floor().clamp(-LARGEST_COORDINATE, LARGEST_COORDINATE), 0.0)
        return cls(basis, wraps.long())

    def take(self, rows: Tensor, atoms: Tensor) -> Frame | None:
        """Return the frame of ``rows``, whose atoms are ``atoms``; None if these rows may stay as they are."""
        basis, wraps = self.basis[rows], self.wraps[atoms]
        plain = torch.eye(3, dtype=torch.int64, device=basis.device)
        return Frame(basis, wraps) if bool((basis != plain).any() | (wraps != 0).any()) else None

    def batch(self, batch: Batch) -> Batch:
        """Return ``batch`` written in the frame."""
        cells = self.basis.double() @ batch.cells
        moved = torch.einsum("ai,aij->aj", self.wraps.double(), cells[batch.row_of_atom])
        return batch.moved(batch.positions - moved, cells)

    def shifts(self, batch: Batch, centers: Tensor, neighbors: Tensor, shifts: Tensor) -> Tensor:
        """Return the (P, 3) int64 shifts, in the frame, of pairs of ``batch``."""
        inverse = torch.linalg.inv(self.basis.double()).round().long()
        turned = turned_shifts(shifts, inverse[batch.row_of_atom[centers]])
        return turned + self.wraps[neighbors] - self.wraps[centers]


def skewness(cells: Tensor, pbc: Tensor) -> Tensor:
    """Return the (N,) volumes over the products of heights, or areas if two directions are periodic; 1 for others.

    :param cells: (N, 3, 3) A, zero vectors where a direction is not periodic.
    :param pbc: (N, 3) bool.
    """
    a, b, c = cells.unbind(dim=1)
    cross = torch.linalg.cross
    areas = torch.linalg.vector_norm(torch.stack([cross(b, c), cross(c, a), cross(a, b)], dim=1), dim=2)
    volumes = (a * cross(b, c)).sum(dim=1)
    lengths = torch.where(pbc, torch.linalg.vector_norm(cells, dim=2), 1.0)
    dimensions = pbc.sum(dim=1)
    flat = lengths.prod(dim=1) / areas.sum(dim=1)  # two of the three areas are zero
    solid = areas.prod(dim=1) / volumes.square()
    return torch.where(dimensions == 3, solid, torch.where(dimensions == 2, flat, 1.0))


def turned_shifts(shifts: Tensor, basis: Tensor) -> Tensor:
    """Return the (P, 3) int64 ``shifts`` times ``basis`` (P, 3, 3) int64, exactly and on any device."""
    return (shifts[:, :, None] * basis).sum(dim=1)
