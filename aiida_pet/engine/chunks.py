"""Which rows of a batch go through the model in one piece.

PET lays edges out as atoms x (largest neighbour count + 1) tokens, so rows of a piece should have like counts: they are
sorted by it and cut where the tokens reach a limit. On a CPU a piece should stay in the cache, and pieces run side by
side on the cores; on a GPU a piece is as large as memory allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_pet.engine.averaging import Rotations, Turn
from aiida_pet.engine.batch import Batch, Tensor
from aiida_pet.engine.neighbors import Pairs

MAX_ATOMS = 65_535  # launch limits of the CUDA kernels under attention


@dataclass(frozen=True)
class Chunk:
    """Some rows of a batch.

    :ivar rows: their places in the batch.
    :ivar atoms: places of their atoms in the batch.
    :ivar like: these rows as they were at planning: only positions and cells may have changed since.
    :ivar pairs: their neighbour pairs.
    :ivar turns: the rotations over which they are averaged, see :mod:`aiida_pet.engine.averaging`; empty for none.
    :ivar averaged: (rows,) bool, which of them are averaged; None where the whole batch is taken as it is.
    :ivar tokens: atoms x (largest neighbour count + 1).
    """

    rows: Tensor
    atoms: Tensor
    like: Batch
    pairs: Pairs
    turns: list[Turn]
    averaged: Tensor | None
    tokens: float

    def of(self, batch: Batch) -> Batch:
        """Return these rows of ``batch`` where they are now."""
        return self.like.moved(batch.positions[self.atoms], batch.cells[self.rows])


def cut(n_atoms: NDArray[np.int64], widths: NDArray[np.float64], limit: float) -> list[list[int]]:
    """Return rows in pieces of at most ``limit`` tokens, or of one row; the costliest rows first.

    :param n_atoms: (N,) atoms of each row.
    :param widths: (N,) largest neighbour count of an atom in each row.
    """
    pieces: list[list[int]] = []
    atoms, width = 0, 0.0
    for row in np.lexsort((-n_atoms, -widths)).tolist():
        size = int(n_atoms[row])
        if pieces and (atoms + size) * (width + 1.0) <= limit and atoms + size <= MAX_ATOMS:
            pieces[-1].append(row)
            atoms += size
        else:
            pieces.append([row])
            atoms, width = size, float(widths[row])
    return pieces


def plan(
    batch: Batch, pairs: Pairs, rows: Sequence[int], limit: float, rotations: Rotations | None = None
) -> list[Chunk]:
    """Return the pieces in which ``rows`` of ``batch`` are evaluated.

    :param limit: tokens of a piece.
    :param rotations: of each row of the batch, over which it is averaged.
    """
    n_atoms, widths = batch.n_atoms.cpu().numpy(), pairs.widths.cpu().numpy().astype(float)
    selected = np.asarray(rows, dtype=np.int64)
    chunks = []
    for piece in cut(n_atoms[selected], widths[selected], limit):
        own = selected[piece]
        turns, averaged = [], None
        if rotations is not None:
            own = own[np.argsort(-rotations.counts[own], kind="stable")]
            averaged = torch.as_tensor(rotations.averaged[own], device=batch.device)
            turns = rotations.turns(own.tolist(), n_atoms[own].tolist(), batch.device)
        places = torch.as_tensor(own, device=batch.device)
        chunks.append(
            Chunk(
                rows=places,
                atoms=batch.atoms_of(places),
                like=batch.take(places),
                pairs=pairs.take(places, batch),
                turns=turns,
                averaged=averaged,
                tokens=float(n_atoms[own].sum() * (widths[own].max() + 1.0)),
            )
        )
    return chunks
