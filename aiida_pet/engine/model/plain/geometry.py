"""From pairs of atoms to what PET's layers take: neighbours of each atom side by side, padded to the most there are.

As metatrain's ``pet.modules.structures`` and ``pet.modules.nef`` have it, without what only its diagnostics need.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.plain.cutoffs import FUNCTIONS, METHODS, Aim

TINY = 1e-15  # A and A^2: keeps the derivative of the distance of an atom from itself finite


@dataclass(frozen=True)
class Cutoffs:
    """Where a model's sight ends, by the names of metatrain's hyperparameters, A."""

    cutoff: float
    cutoff_function: str
    cutoff_width: float
    num_neighbors_adaptive: float | None
    adaptive_cutoff_method: str
    cutoff_width_adaptive: float


@dataclass(frozen=True)
class _Pairs:
    """P directed pairs: atoms, shifts of the cell, vector, distance from it and cutoff, A."""

    centers: Tensor
    neighbors: Tensor
    shifts: Tensor
    vectors: Tensor
    distances: Tensor
    cutoffs: Tensor

    def within(self) -> _Pairs:
        """Return those that are not longer than their cutoff."""
        keep = torch.nonzero(self.distances <= self.cutoffs).squeeze(-1)
        return _Pairs(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def side_by_side(
    limits: Cutoffs,
    positions: Tensor,
    centers: Tensor,
    neighbors: Tensor,
    *,
    elements: Tensor,
    cells: Tensor,
    shifts: Tensor,
    rows: Tensor,
    width_adaptive: float,
) -> dict[str, Tensor]:
    """Return the neighbours of A atoms, M at most.

    :param positions: (A, 3) A.
    :param centers: (P,) atom of each directed pair.
    :param neighbors: (P,) its neighbour.
    :param elements: (A,) index of the element.
    :param cells: (N, 3, 3) A.
    :param shifts: (P, 3) of the neighbour, in cells.
    :param rows: (A,) row of each atom.
    :param width_adaptive: width of the step of the adaptive cutoff, A.
    :return: by metatrain's names: ``element_indices_nodes`` (A,), ``element_indices_neighbors`` (A, M),
        ``edge_vectors`` (A, M, 3) A, ``edge_distances`` (A, M) A, ``padding_mask`` (A, M), true where there is a
        neighbour, ``reverse_neighbor_index`` (A, M), the place of the opposite pair in the (A M) flat one,
        ``cutoff_factors`` (A, M).
    """
    if len(cells) == 1:  # the way back of the other is slow for one cell
        moved = shifts.to(cells.dtype) @ cells[0]
    else:
        moved = torch.einsum("ab,abc->ac", shifts.to(cells.dtype), cells[rows[centers]])
    vectors = positions[neighbors] - positions[centers] + moved
    distances = torch.linalg.vector_norm(vectors, dim=-1) + TINY
    if limits.num_neighbors_adaptive is None:
        cutoffs = torch.full_like(distances, limits.cutoff)
    else:
        method = METHODS[limits.adaptive_cutoff_method.lower()]
        aim = Aim(limits.num_neighbors_adaptive, limits.cutoff, width_adaptive)
        of_atoms = method(distances, centers, len(positions), aim)
        cutoffs = (of_atoms[centers] + of_atoms[neighbors]) / 2.0
    pairs = _Pairs(centers, neighbors, shifts, vectors, distances, cutoffs).within()
    factors = FUNCTIONS[limits.cutoff_function.lower()](pairs.distances, pairs.cutoffs, limits.cutoff_width)
    return _padded(pairs, factors, elements)


def _padded(pairs: _Pairs, factors: Tensor, elements: Tensor) -> dict[str, Tensor]:
    """Return what :func:`side_by_side` does of ``pairs`` with cutoff factors ``factors`` (P,)."""
    counts = torch.bincount(pairs.centers, minlength=len(elements))
    most = int(counts.max()) if len(counts) else 0
    mask = torch.arange(most, device=counts.device) < counts[:, None]
    order = torch.argsort(pairs.centers, stable=True)
    # which pair stands where, and the other way round
    pair_at = torch.zeros(mask.shape, dtype=torch.long, device=counts.device)
    pair_at[mask] = order
    column = torch.empty_like(pairs.centers)
    column[order] = mask.nonzero()[:, 1]
    opposite = _opposite(pairs)
    reverse = (pairs.neighbors * most + column[opposite])[pair_at]
    # places that are not taken get others each: one place read many times makes the way back slow (pytorch#41162)
    unused = (torch.cumsum(~mask.reshape(-1), dim=0) - 1).reshape(mask.shape)
    vectors = pairs.vectors[pair_at]
    return {
        "element_indices_nodes": elements,
        "element_indices_neighbors": elements[pairs.neighbors][pair_at],
        "edge_vectors": vectors,
        "edge_distances": torch.sqrt(torch.sum(vectors**2, dim=2) + TINY),
        "padding_mask": mask,
        "reverse_neighbor_index": torch.where(mask, reverse, unused),
        "cutoff_factors": torch.where(mask, factors[pair_at], 0.0),
    }


def _opposite(pairs: _Pairs) -> Tensor:
    """Return the (P,) place of the pair that goes from the neighbour back to the atom."""
    if not len(pairs.centers):
        return pairs.centers
    shifts = pairs.shifts.to(torch.int64)
    most = shifts.abs().amax(dim=0)
    sizes = 2 * most + 1
    n_atoms = torch.maximum(pairs.centers.amax(), pairs.neighbors.amax()) + 1

    def key(first: Tensor, second: Tensor, shift: Tensor) -> Tensor:
        place = shift + most
        within = (place[:, 0] * sizes[1] + place[:, 1]) * sizes[2] + place[:, 2]
        return (first * n_atoms + second) * sizes.prod() + within

    forth = key(pairs.centers, pairs.neighbors, shifts).argsort()
    back = key(pairs.neighbors, pairs.centers, -shifts).argsort()
    opposite = torch.empty_like(pairs.centers)
    opposite[forth] = back
    return opposite
