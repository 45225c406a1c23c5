"""Which rows of a batch go through the model in one piece.

PET lays edges out as atoms x (largest neighbour count + 1) tokens, so rows of a piece should have like counts: they are
sorted by it and cut where the cost reaches a limit. The cost is that of the tokens, plus a little for each pair that is
listed: a model with adaptive cutoffs looks at them all before it keeps a part. On a CPU a piece should stay in the
cache, and pieces run side by side on the cores; on a GPU a piece is as large as memory allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.frames import Frame
from aiida_pet.engine.batch.neighbors import Pairs
from aiida_pet.engine.symmetry.averaging import Rotations, Turn

MIN_TOKENS = 300.0  # of a piece that is worth a core of its own
MAX_ATOMS = 65_535  # launch limits of the CUDA kernels under attention


@dataclass(frozen=True)
class Cost:
    """What rows cost a model, in tokens.

    :ivar widest: most neighbours that an atom keeps of those within the cutoff.
    :ivar per_pair: cost of a listed pair.
    """

    widest: float = np.inf
    per_pair: float = 0.0

    def widths(self, neighbors: NDArray[Any]) -> NDArray[np.float64]:
        """Return the (N,) neighbours for which room is made, given those within the cutoff."""
        return np.minimum(neighbors, self.widest)

    def per_atom(self, neighbors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the (N,) costs of an atom with so many ``neighbors`` within the cutoff, less 1 for itself."""
        return self.widths(neighbors) + self.per_pair * neighbors


@dataclass(frozen=True)
class Chunk:
    """Some rows of a batch.

    :ivar rows: their places in the batch.
    :ivar atoms: places of their atoms in the batch.
    :ivar like: these rows as they were at planning: only positions and cells may have changed since.
    :ivar pairs: their neighbour pairs, in ``frame``.
    :ivar frame: how they are written for the model; None for as they are.
    :ivar turns: the rotations over which they are averaged, see :mod:`aiida_pet.engine.symmetry.averaging`; empty for
        none.
    :ivar averaged: (rows,) bool, which of them are averaged; None where the whole batch is taken as it is.
    :ivar tokens: what it costs: atoms x (largest neighbour count + 1), and its pairs.
    """

    rows: Tensor
    atoms: Tensor
    like: Batch
    pairs: Pairs
    turns: list[Turn]
    averaged: Tensor | None
    tokens: float
    frame: Frame | None = None

    def of(self, batch: Batch) -> Batch:
        """Return these rows of ``batch`` where they are now, in the frame."""
        now = self.like.moved(batch.positions[self.atoms], batch.cells[self.rows])
        return now if self.frame is None else self.frame.batch(now)


def cut(
    n_atoms: NDArray[np.int64],
    widths: NDArray[np.float64],
    pair_costs: NDArray[np.float64],
    limit: float,
) -> list[list[int]]:
    """Return rows in pieces that cost at most ``limit`` tokens, or of one row; the widest rows first.

    :param n_atoms: (N,) atoms of each row.
    :param widths: (N,) largest neighbour count of an atom in each row.
    :param pair_costs: (N,) tokens that the pairs of each row cost.
    """
    pieces: list[list[int]] = []
    atoms, width, extra = 0, 0.0, 0.0
    for row in np.lexsort((-n_atoms, -widths)).tolist():
        size, more = int(n_atoms[row]), float(pair_costs[row])
        fits = (atoms + size) * (width + 1.0) + extra + more <= limit
        if pieces and fits and atoms + size <= MAX_ATOMS:
            pieces[-1].append(row)
            atoms, extra = atoms + size, extra + more
        else:
            pieces.append([row])
            atoms, width, extra = size, float(widths[row]), more
    return pieces


def shared_out(work: NDArray[np.float64], n_shares: int) -> list[NDArray[np.int64]]:
    """Return the places of ``work`` in at most ``n_shares`` runs of about equal sums."""
    middle = np.cumsum(work) - work / 2.0
    share = np.floor(n_shares * middle / work.sum()).astype(np.int64)
    return [np.flatnonzero(share == number) for number in np.unique(share)]


def plan(
    batch: Batch,
    pairs: Pairs,
    rows: Sequence[int],
    limit: float,
    rotations: Rotations | None = None,
    *,
    cost: Cost,
    n_side_by_side: int = 1,
) -> list[Chunk]:
    """Return the pieces in which ``rows`` of ``batch`` are evaluated.

    :param limit: tokens of a piece; infinite for one piece of all rows.
    :param rotations: rotations of each row of the batch, over which it is averaged.
    :param cost: what rows cost the model.
    :param n_side_by_side: pieces that run at the same time; all get about the same work, so that none waits.
    """
    n_atoms, widths = batch.n_atoms.cpu().numpy(), cost.widths(pairs.widths.cpu().numpy())
    pair_costs = cost.per_pair * pairs.counts.cpu().numpy()
    selected = np.asarray(rows, dtype=np.int64)
    selected = selected[np.lexsort((-n_atoms[selected], -widths[selected]))]
    tokens = (n_atoms * (widths + 1.0) + pair_costs)[selected]
    work = tokens if rotations is None else tokens * rotations.counts[selected]
    # runs are equal to within a row, and padded to the widest
    room = 0.95 * max(limit - tokens.max(initial=0.0), limit / 2.0)
    rounds = np.ceil(tokens.sum() / (room * n_side_by_side))
    worthwhile = rounds > 0 and n_side_by_side > 1 and work.sum() > n_side_by_side * MIN_TOKENS
    shares = shared_out(work, int(rounds * n_side_by_side)) if worthwhile else [np.arange(len(selected))]
    pieces = [
        selected[share[piece]]
        for share in shares
        for piece in cut(
            n_atoms[selected[share]], widths[selected[share]], pair_costs[selected[share]], limit
        )
    ]
    chunks, frame_of_all = [], Frame.of(batch)
    for piece in pieces:
        own, turns, averaged = piece, [], None
        if rotations is not None:
            own = piece[np.argsort(-rotations.counts[piece], kind="stable")]
            averaged = torch.as_tensor(rotations.averaged[own], device=batch.device)
            turns = rotations.turns(own.tolist(), n_atoms[own].tolist(), batch.device)
        places = torch.as_tensor(own, device=batch.device)
        atoms, like, listed = batch.atoms_of(places), batch.take(places), pairs.take(places, batch)
        frame = None if frame_of_all is None else frame_of_all.take(places, atoms)
        if frame is not None:
            shifts = frame.shifts(like, listed.centers, listed.neighbors, listed.shifts)
            listed = replace(listed, shifts=shifts)
        chunks.append(
            Chunk(
                rows=places,
                atoms=atoms,
                like=like,
                pairs=listed,
                frame=frame,
                turns=turns,
                averaged=averaged,
                tokens=float(n_atoms[own].sum() * (widths[own].max() + 1.0) + pair_costs[own].sum()),
            )
        )
    return chunks
