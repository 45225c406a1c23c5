"""The rows that wait for a place in the batch.

They wait in the order of their neighbour counts, the largest first: those of a batch are alike, which PET's padding
asks for (:mod:`~aiida_pet.engine.model.chunks`), and one that does not fit into memory is found out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import largest_neighbor_counts
from aiida_pet.tables.crystals import StructureTable

_BLOCK = 1_024  # rows whose pairs are in memory at once while neighbours are counted


def neighbor_counts(
    table: StructureTable, cutoff: float, rows: Sequence[int], device: torch.device
) -> NDArray[np.float64]:
    """Return the (N,) largest neighbour count within ``cutoff`` (A) of an atom of each of ``rows``; 0 for others."""
    counts = np.zeros(len(table))
    for first in range(0, len(rows), _BLOCK):
        block = list(rows[first : first + _BLOCK])
        batch = Batch.from_table(table.take(block), device)
        counts[block] = largest_neighbor_counts(batch, cutoff).cpu().numpy()
    return counts


class WaitingRows:
    """The rows that wait for a place in the batch, the row with most neighbours first.

    :param n_atoms: (N,) atoms of each row of the job.
    :param neighbors: (N,) neighbour counts.
    :param rows: which of them wait.
    """

    def __init__(
        self, n_atoms: NDArray[np.int64], neighbors: NDArray[np.float64], rows: Iterable[int]
    ) -> None:
        self._n_atoms = n_atoms
        self._neighbors = neighbors
        self._rows = deque(sorted(rows, key=lambda row: (-neighbors[row], -n_atoms[row])))

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def n_atoms(self) -> int:
        """Atoms of the rows that wait."""
        return int(self._n_atoms[list(self._rows)].sum())

    def admit(self, in_flight: list[int], budget: float) -> list[int]:
        """Take from the queue what fits beside the rows ``in_flight``; at least one row if there are none.

        :param budget: largest cost of the batch.
        """
        admitted: list[int] = []
        atoms = int(self._n_atoms[in_flight].sum()) if in_flight else 0
        widest = float(self._neighbors[in_flight].max()) if in_flight else 0.0
        while self._rows:
            row = self._rows[0]
            more, wider = atoms + int(self._n_atoms[row]), max(widest, float(self._neighbors[row]))
            fits = more * (wider + 1.0) <= budget
            if not fits and (admitted or in_flight):
                break
            admitted.append(self._rows.popleft())
            atoms, widest = more, wider
        return admitted
