"""The pairs of atoms closer than a distance, of all rows of a batch."""

from __future__ import annotations

import numpy as np
import torch
import vesin

from aiida_pet.engine.batch import Batch, Tensor


def find_pairs(batch: Batch, cutoff: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the directed pairs of ``batch`` closer than ``cutoff``, A: centers (P,), neighbors (P,), shifts (P, 3).

    All int64; atoms are counted in the batch; pairs are sorted by row. A row whose positions or cell are not finite has
    none.
    """
    search = vesin.NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    ends = torch.cumsum(batch.n_atoms, 0).tolist()
    sizes = batch.n_atoms.tolist()
    positions = batch.positions.detach().cpu().numpy()
    cells = batch.cells.detach().cpu().numpy()
    pbc = batch.pbc.cpu().numpy()
    finite = np.isfinite(cells).all(axis=(1, 2))
    found = [np.empty((0, 5), dtype=np.int64)]
    for row in range(len(batch)):
        first = ends[row] - sizes[row]
        part = positions[first : ends[row]]
        if not (finite[row] and np.isfinite(part).all()):
            continue
        box = cells[row] * pbc[row][:, None]
        pairs, shifts = search.compute(part, box, pbc[row], quantities="PS", copy=False)
        packed = np.empty((len(pairs), 5), dtype=np.int64)
        packed[:, :2], packed[:, 2:] = pairs, shifts
        packed[:, :2] += first
        found.append(packed)
    packed = torch.from_numpy(np.concatenate(found)).to(batch.device)
    return packed[:, 0].contiguous(), packed[:, 1].contiguous(), packed[:, 2:].contiguous()
