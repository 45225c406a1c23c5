"""A ragged batch of crystals as flat tensors on one device, and sums over its rows.

Layout: N rows, A atoms; ``row_of_atom`` maps an atom to its row, rows are contiguous and in order. Positions and cells
are float64 whatever the model's precision. Rows leave and enter through :meth:`Batch.take` and :meth:`Batch.cat`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from aiida_pet.tables.crystals import StructureTable

Tensor = torch.Tensor


@dataclass(frozen=True)
class Batch:
    """N crystals in flat tensors.

    :ivar numbers: (A,) int64, atomic numbers.
    :ivar positions: (A, 3) float64, A.
    :ivar cells: (N, 3, 3) float64, A, lattice vectors in rows.
    :ivar pbc: (N, 3) bool.
    :ivar n_atoms: (N,) int64.
    :ivar row_of_atom: (A,) int64.
    """

    numbers: Tensor
    positions: Tensor
    cells: Tensor
    pbc: Tensor
    n_atoms: Tensor
    row_of_atom: Tensor

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.positions.device

    @classmethod
    def from_table(cls, table: StructureTable, device: torch.device | str = "cpu") -> Batch:
        """Return all rows of ``table`` on ``device``."""
        n_atoms = torch.from_numpy(np.ascontiguousarray(table.n_atoms)).to(device)
        return cls(
            numbers=torch.from_numpy(table.numbers.astype(np.int64)).to(device),
            positions=torch.from_numpy(table.positions.copy()).to(device),
            cells=torch.from_numpy(table.cells.copy()).to(device),
            pbc=torch.from_numpy(table.pbc.copy()).to(device),
            n_atoms=n_atoms,
            row_of_atom=rows_of_atoms(n_atoms),
        )

    def moved(self, positions: Tensor, cells: Tensor) -> Batch:
        """Return the same crystals with other ``positions`` (A, 3) and ``cells`` (N, 3, 3)."""
        return Batch(self.numbers, positions, cells, self.pbc, self.n_atoms, self.row_of_atom)

    def atoms_of(self, rows: Tensor) -> Tensor:
        """Return the indices of the atoms of ``rows``, in the order of ``rows``."""
        return flat_indices(self.n_atoms, rows)

    def take(self, rows: Tensor) -> Batch:
        """Return the rows at positions ``rows``, in that order."""
        atoms = self.atoms_of(rows)
        n_atoms = self.n_atoms[rows]
        return Batch(
            numbers=self.numbers[atoms],
            positions=self.positions[atoms],
            cells=self.cells[rows],
            pbc=self.pbc[rows],
            n_atoms=n_atoms,
            row_of_atom=rows_of_atoms(n_atoms),
        )

    @staticmethod
    def cat(batches: Sequence[Batch]) -> Batch:
        """Return the rows of ``batches``, in order."""
        n_atoms = torch.cat([batch.n_atoms for batch in batches])
        return Batch(
            numbers=torch.cat([batch.numbers for batch in batches]),
            positions=torch.cat([batch.positions for batch in batches]),
            cells=torch.cat([batch.cells for batch in batches]),
            pbc=torch.cat([batch.pbc for batch in batches]),
            n_atoms=n_atoms,
            row_of_atom=rows_of_atoms(n_atoms),
        )

    def row_sum(self, values: Tensor) -> Tensor:
        """Return the sums over the atoms of each row: (A, ...) -> (N, ...)."""
        out = torch.zeros((len(self), *values.shape[1:]), dtype=values.dtype, device=values.device)
        return out.index_add_(0, self.row_of_atom, values)

    def row_max(self, values: Tensor) -> Tensor:
        """Return the largest value of each row: (A,) -> (N,); NaN where a row has a NaN."""
        out = torch.full((len(self),), -torch.inf, dtype=values.dtype, device=values.device)
        return out.scatter_reduce_(0, self.row_of_atom, values, reduce="amax")

    def volumes(self) -> Tensor:
        """Return the (N,) cell volumes, A^3."""
        return torch.linalg.det(self.cells).abs()


def flat_indices(sizes: Tensor, chosen: Tensor) -> Tensor:
    """Return the indices of the elements of the segments ``chosen``, in that order.

    :param sizes: (N,) int64, lengths of all segments of a flat tensor.
    :param chosen: (M,) int64, segments.
    """
    lengths = sizes[chosen]
    starts = torch.cumsum(sizes, 0) - sizes
    first = torch.cumsum(lengths, 0) - lengths
    total = int(lengths.sum())
    return torch.arange(total, device=sizes.device) + torch.repeat_interleave(
        starts[chosen] - first, lengths, output_size=total
    )


def rows_of_atoms(n_atoms: Tensor) -> Tensor:
    """Return the (A,) row of each atom, given the (N,) sizes."""
    return torch.repeat_interleave(torch.arange(len(n_atoms), device=n_atoms.device), n_atoms)
