"""Projection of forces, stress and strain onto the space groups of a batch, without a loop over systems.

The projection of a vector field averages it over the group of n operations: f'_t = 1/n sum_k R_k f_s, where
operation k takes site s to site t. A batch is a flat table (block, source site, target site) of the crystals'
:class:`~aiida_pet.crystals.symmetry.operations.PairTables`; applying it is one gather, one product and one
``index_add``. Where a cell holds m primitive cells, forces are first averaged over the m copies of a site and
handed back to all of them. A tensor's projection s' = 1/n sum_k R_k s R_k^T is one precomputed 9x9 matrix per
crystal.

Why the Cartesian rotations of the start stay valid while the cell deforms: with projected gradients every
strain e obeys R_k e R_k^T = e for all k, and so does the deformation F that strains add up to (sums, products
and matrix exponentials of such e), hence R_k F = F R_k. The deformed cell L F^T then has operations of the
same integers W, whose Cartesian form F R_k F^-1 = R_k is the old one. The tables stand for a whole
relaxation.

Layout: A atoms and N crystals of the batch, concatenated. float64 unless asked otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_pet.crystals.symmetry.operations import (
    Operations,
    PairTables,
    identity_operations,
    symmetrize_structure,
)
from aiida_pet.tables.arrays import Integers

__all__ = ["SymmetryProjector", "symmetrize_structure"]


class SiteOperations(Protocol):
    """What is averaged over for one crystal: a space group, or a weighted part of one.

    :ivar sites: (A,) site of each atom.
    :ivar n_sites: P, sites of the primitive cell.
    :ivar pairs: the tables of the operations on sites.
    :ivar is_trivial: whether it changes nothing.
    """

    @property
    def sites(self) -> Integers: ...
    @property
    def n_sites(self) -> int: ...
    @property
    def pairs(self) -> PairTables: ...
    @property
    def is_trivial(self) -> bool: ...


class SymmetryProjector:
    """Projects fields of a batch of N crystals with A atoms onto their space groups.

    Made by :meth:`build`, anew whenever crystals enter or leave the batch. All tables are tensors of
    ``device``; applying it neither loops nor synchronises. A crystal's result does not depend on its batch,
    NaN included.
    """

    def __init__(self, tables: dict[str, torch.Tensor], n_sites: int, *, trivial: bool) -> None:
        self._tables = tables
        self._n_sites = n_sites
        self._primitive = n_sites == len(tables["sites"])
        self.is_trivial = trivial  #: whether no crystal is held, so that everything passes unchanged

    @classmethod
    def build(
        cls,
        operations: Sequence[SiteOperations | None],
        n_atoms: Sequence[int] | Integers,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> SymmetryProjector:
        """Return the projector of a batch.

        :param operations: N groups in the order of the batch; None for a crystal that is not held.
        :param n_atoms: (N,) atoms of each crystal.
        :raises ValueError: if the operations of a crystal are of another number of atoms.
        """
        sizes = np.asarray(n_atoms, dtype=np.int64)
        if len(operations) != len(sizes):
            raise ValueError(f"got the operations of {len(operations)} crystals for a batch of {len(sizes)}")
        groups: list[SiteOperations] = [
            _not_held(int(size)) if group is None else group
            for group, size in zip(operations, sizes, strict=True)
        ]
        for index, (group, size) in enumerate(zip(groups, sizes, strict=True)):
            if len(group.sites) != size:
                raise ValueError(
                    f"crystal {index} of the batch has {size} atoms, but its operations are for {len(group.sites)} "
                    "atoms"
                )
        tables = {
            name: torch.as_tensor(array, device=device, dtype=dtype if array.dtype.kind == "f" else None)
            for name, array in _flat_tables(groups, sizes).items()
        }
        n_sites = sum(group.n_sites for group in groups)
        return cls(tables, n_sites, trivial=all(group.is_trivial for group in groups))

    @classmethod
    def identity(
        cls,
        n_atoms: Sequence[int] | Integers,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> SymmetryProjector:
        """Return a projector that changes nothing, for crystals of (N,) ``n_atoms`` atoms."""
        return cls.build([None] * len(n_atoms), n_atoms, device, dtype)

    def forces(self, forces: torch.Tensor) -> torch.Tensor:
        """Return ``forces`` (A, 3), or displacements or velocities, projected; itself if nothing is held."""
        if self.is_trivial:
            return forces
        tables, field = self._tables, forces
        if not self._primitive:
            field = forces.new_zeros(self._n_sites, 3).index_add_(0, tables["sites"], forces)
            field = field * tables["share"]
        moved = (tables["blocks"] * field[tables["source"]][:, None, :]).sum(dim=-1)
        projected = torch.zeros_like(field).index_add_(0, tables["target"], moved)
        return projected if self._primitive else projected[tables["sites"]]

    def scalars(self, scalars: torch.Tensor) -> torch.Tensor:
        """Return ``scalars`` (A,) of the atoms projected: atoms that the group makes equal get their mean."""
        if self.is_trivial:
            return scalars
        tables, field = self._tables, scalars
        if not self._primitive:
            field = scalars.new_zeros(self._n_sites).index_add_(0, tables["sites"], scalars)
            field = field * tables["share"][:, 0]
        moved = tables["shares"] * field[tables["source"]]
        projected = torch.zeros_like(field).index_add_(0, tables["target"], moved)
        return projected if self._primitive else projected[tables["sites"]]

    def stress(self, stress: torch.Tensor) -> torch.Tensor:
        """Return ``stress`` (N, 3, 3), of any unit, projected; the tensor itself if nothing is held."""
        if self.is_trivial:
            return stress
        return torch.bmm(self._tables["tensor"], stress.reshape(-1, 9, 1)).reshape(-1, 3, 3)

    def strain(self, strain: torch.Tensor) -> torch.Tensor:
        """Return ``strain`` (N, 3, 3), or any gradient with respect to it, projected as a stress is."""
        return self.stress(strain)


def _not_held(n_atoms: int) -> Operations:
    return identity_operations(np.eye(3), np.zeros((n_atoms, 3)))


def _flat_tables(groups: Sequence[SiteOperations], sizes: Integers) -> dict[str, NDArray[Any]]:
    """Return the tables of all crystals end to end, sites counted through the batch."""
    pairs = [group.pairs for group in groups]
    n_sites = np.array([group.n_sites for group in groups], dtype=np.int64)
    n_blocks = np.array([len(pair.source) for pair in pairs], dtype=np.int64)
    start = np.cumsum(n_sites) - n_sites
    none = np.zeros(0, dtype=np.int64)
    return {
        "sites": np.concatenate([none, *(group.sites for group in groups)]) + np.repeat(start, sizes),
        "source": np.concatenate([none, *(pair.source for pair in pairs)]) + np.repeat(start, n_blocks),
        "target": np.concatenate([none, *(pair.target for pair in pairs)]) + np.repeat(start, n_blocks),
        "blocks": np.concatenate([np.zeros((0, 3, 3)), *(pair.blocks for pair in pairs)]),
        "shares": np.concatenate([np.zeros(0), *(pair.shares for pair in pairs)]),
        "tensor": np.concatenate([np.zeros((0, 9, 9)), *(pair.tensor[None] for pair in pairs)]),
        "share": np.repeat(n_sites / np.maximum(sizes, 1), n_sites)[:, None],
    }
