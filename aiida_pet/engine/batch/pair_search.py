"""The pairs of atoms closer than a cutoff, of all rows of a batch.

Pairs are directed; atoms are counted in the batch; pairs are sorted by row. Images are looked for along the vectors of
a short basis (:mod:`~aiida_pet.engine.batch.frames`), and shifts come back in the basis of the batch.

A row is not searched if its positions or its cell are not finite, if its lattice has no short basis, or if it would
have more than ``MAX_PAIRS`` pairs or ``MAX_NEIGHBORS`` of an atom: it must not cost the others their answer. To have no
neighbours and not to be searched are two things, and the answer says which: a model that is asked about a row that was
not searched would tell the energy of free atoms.

On the CPU vesin searches row by row: 60-70 us for a crystal of 1-8 atoms, half of it in C. The other libraries lose
there: torch-sim's pad all rows to the largest cell and the most images (1.3 ms a row; 28 s for one 128-atom cell among
60 small ones), nvalchemi's compile for 28 s and then take 1.2 ms a call and 50 us a row. On other devices none works
without a loop over rows or a compiler at run time, so :func:`search_images` does it, in tensors of all rows at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import vesin

from aiida_pet.crystals.lattice_reduction import LARGEST_COORDINATE, LatticeReductionError, reduced_basis
from aiida_pet.engine.batch.batch import Batch, Tensor, flat_indices
from aiida_pet.engine.batch.frames import ShortCells, turned_shifts
from aiida_pet.job.folder import RowStatus

FEW_CANDIDATES = (
    100_000.0  # atoms and images to look at for each atom; with fewer, a row needs no further look
)
MAX_PAIRS = 2**25  # of a row: some 100 bytes each here, and ten times that in a model
MAX_NEIGHBORS = 50_000.0  # of an atom; 1 A^3 per atom and a cutoff of 15 A make 14,000
MAX_ATOM_PAIRS = 2**21  # at once, some 200 bytes each


class FoundPairs(NamedTuple):
    """Directed pairs.

    :ivar centers: (P,) int64.
    :ivar neighbors: (P,) int64.
    :ivar shifts: (P, 3) int64, cell shift of the neighbour.
    :ivar distances: (P,) float64, A.
    :ivar searched: (N,) bool, False for rows whose pairs were not looked for.
    """

    centers: Tensor
    neighbors: Tensor
    shifts: Tensor
    distances: Tensor
    searched: Tensor


def find_pairs(batch: Batch, cutoff: float) -> FoundPairs:
    """Return the pairs of ``batch`` closer than ``cutoff``, A."""
    search = search_with_vesin if batch.device.type == "cpu" else search_images
    return search(batch, cutoff)


def why_not_searched(batch: Batch, row: int, cutoff: float) -> tuple[RowStatus, str]:
    """Return the status of ``row`` of ``batch``, whose pairs closer than ``cutoff`` were not looked for, and why."""
    one = batch.take(torch.tensor([row], device=batch.device))
    vectors, pbc = one.cells[0].cpu().numpy(), one.pbc[0].cpu().numpy()
    if not (one.positions.isfinite().all() and one.cells.isfinite().all()):
        return RowStatus.DIVERGED, "positions or cell are not finite numbers"
    largest = float(one.positions.abs().amax())
    if largest >= LARGEST_COORDINATE:
        return RowStatus.INVALID_GEOMETRY, (
            f"an atom has a coordinate of {largest:.3g} A, expected less than {LARGEST_COORDINATE:g} A: move the atom "
            "into its cell"
        )
    try:
        reduced_basis(vectors, pbc)
    except LatticeReductionError as error:
        return RowStatus.INVALID_GEOMETRY, f"the search for neighbours failed: {error}"
    number = _listed_pairs(ShortCells.of(one).cells[0], one, cutoff)
    return RowStatus.TOO_LARGE, (
        f"{len(one.numbers)} atoms have about {number:.2g} pairs within {cutoff:g} A, but at most "
        f"{MAX_PAIRS:.2g} pairs of a crystal and {MAX_NEIGHBORS:g} of an atom are allowed"
    )


def search_with_vesin(batch: Batch, cutoff: float) -> FoundPairs:
    """Return the pairs that vesin finds, row by row on the CPU."""
    search = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    box = _Box(batch, cutoff)
    rows = box.searchable.nonzero().flatten()
    last = torch.cumsum(batch.n_atoms, 0)[rows]
    first = last - batch.n_atoms[rows]
    positions, cells, pbc = batch.positions.numpy(), box.cells.numpy(), batch.pbc.numpy()
    found = [
        search.compute(positions[start:end], cells[row], pbc[row], quantities="PSd")
        for row, start, end in zip(rows.tolist(), first.tolist(), last.tolist(), strict=True)
    ]
    counts = torch.tensor([len(pairs) for pairs, _, _ in found], dtype=torch.int64)
    nothing = (np.empty((0, 2), np.uint64), np.empty((0, 3), np.int32), np.empty(0))
    pairs, shifts, distances = (np.concatenate(part) for part in zip(nothing, *found, strict=True))
    atoms = torch.from_numpy(pairs.astype(np.int64)) + torch.repeat_interleave(first, counts)[:, None]
    return box.answer(
        atoms[:, 0].contiguous(),
        atoms[:, 1].contiguous(),
        torch.from_numpy(shifts.astype(np.int64)),
        torch.from_numpy(distances),
    )


def search_images(batch: Batch, cutoff: float) -> FoundPairs:
    """Return the pairs found by looking at every image within reach of every pair of atoms, all rows at once.

    With g_k the dual vectors of a cell (a_j g_k = 1 if j = k, else 0), a pair v = x_j - x_i + sum_k S_k a_k shorter
    than r has |v g_k| < r |g_k|, so S_k lies within r |g_k| of -(x_j - x_i) g_k: some 3 images to look at for each that
    is close, in a cell that is not skewed. Rows of many atoms cost their square.
    """
    box = _Box(batch, cutoff)
    row = batch.row_of_atom
    fractional = torch.einsum("ai,aij->aj", batch.positions, box.dual[row])
    centers = box.searchable[row].nonzero().flatten()
    blocks = torch.bincount(
        torch.cumsum(batch.n_atoms[row[centers]], 0) // MAX_ATOM_PAIRS, minlength=1
    ).tolist()
    found = [_images_of(block, batch, box, fractional, cutoff) for block in centers.split(blocks)]
    return box.answer(*(torch.cat(tensors) for tensors in zip(*found, strict=True)))


class _Box:
    """Where images of atoms within ``cutoff`` are to be looked for.

    :ivar cells: (N, 3, 3) A, in short bases, without the vectors of directions that are not periodic.
    :ivar dual: (N, 3, 3) 1/A, the dual vectors in columns, zero for directions that are not periodic.
    :ivar reach: (N, 3) in units of the cell's vectors.
    :ivar searchable: (N,) bool.
    """

    def __init__(self, batch: Batch, cutoff: float) -> None:
        short = ShortCells.of(batch)
        self.cells = short.cells
        self.dual, has_dual = short.duals(batch.pbc)
        # a little more, for rounding: what is too far is dropped by its distance
        self.reach = (cutoff + 1e-6) * torch.linalg.vector_norm(self.dual, dim=1)
        near = batch.row_max(batch.positions.abs().amax(dim=1)) < LARGEST_COORDINATE  # so that NaN is not
        possible = short.known & has_dual & near & self.reach.isfinite().all(dim=1)
        few = batch.n_atoms * (2.0 * self.reach).clamp(min=1.0).prod(dim=1) < FEW_CANDIDATES
        self.searchable = possible & few
        for row in (possible & ~few).nonzero().flatten().tolist():
            one = batch.take(torch.tensor([row], device=batch.device))
            number = _listed_pairs(self.cells[row], one, cutoff)
            self.searchable[row] = number <= min(MAX_PAIRS, MAX_NEIGHBORS * len(one.numbers))
        self._rows, self._basis = batch.row_of_atom, short.basis

    def answer(self, centers: Tensor, neighbors: Tensor, shifts: Tensor, distances: Tensor) -> FoundPairs:
        """Return pairs found in the short bases, with shifts in the basis of the batch."""
        if self._basis is not None:
            shifts = turned_shifts(shifts, self._basis[self._rows[centers]])
        return FoundPairs(centers, neighbors, shifts, distances, self.searchable)


def _listed_pairs(cell: Tensor, one: Batch, cutoff: float) -> float:
    """Return about how many pairs the crystal ``one`` has, were its atoms spread evenly; ``cell`` is its short one."""
    _, lengths, axes = np.linalg.svd(cell.cpu().numpy())
    periodic = int(one.pbc.sum())
    extents = np.ptp(one.positions.cpu().numpy() @ axes.T, axis=0)
    sizes = np.concatenate([lengths[:periodic], np.maximum(extents[periodic:], 2.0 * cutoff)])
    n_atoms = float(len(one.numbers))
    return float(n_atoms * n_atoms * 4.0 / 3.0 * np.pi * cutoff**3 / sizes.prod())


def _images_of(
    centers: Tensor, batch: Batch, box: _Box, fractional: Tensor, cutoff: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    row = batch.row_of_atom[centers]
    n_atoms = batch.n_atoms[row]
    i = torch.repeat_interleave(centers, n_atoms)
    j = flat_indices(batch.n_atoms, row)
    difference, reach = fractional[j] - fractional[i], box.reach[batch.row_of_atom[i]]
    lowest = torch.ceil(-difference - reach).long()
    sizes = (torch.floor(reach - difference).long() - lowest + 1).clamp(
        min=0
    )  # images to look at along each vector
    counts = sizes.prod(dim=1)
    pair = torch.repeat_interleave(counts)
    image = torch.arange(len(pair), device=pair.device) - (torch.cumsum(counts, 0) - counts)[pair]
    _, n_b, n_c = sizes[pair].unbind(dim=1)
    shifts = torch.stack([image // (n_b * n_c), image // n_c % n_b, image % n_c], dim=1) + lowest[pair]
    i, j = i[pair], j[pair]
    vectors = torch.einsum("pi,pij->pj", shifts.double(), box.cells[batch.row_of_atom[i]])
    distances = torch.linalg.vector_norm(vectors + batch.positions[j] - batch.positions[i], dim=1)
    itself = (i == j) & (shifts == 0).all(dim=1)
    near = ((distances < cutoff) & ~itself).nonzero().flatten()
    return i[near], j[near], shifts[near], distances[near]
