"""The rows that wait for a place in the batch.

They wait in the order of their neighbour counts, the largest first: those of a batch are alike, which PET's padding
asks for (:mod:`~aiida_pet.engine.chunks`), and one that does not fit into memory is found out at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from aiida_pet.engine.table import StructureTable


def neighbor_estimates(table: StructureTable, cutoff: float) -> NDArray[np.float64]:
    """Return the (N,) neighbour counts within ``cutoff`` (A) that the number density suggests."""
    volumes = table.volumes()
    sphere = 4.0 / 3.0 * np.pi * cutoff**3
    with np.errstate(divide="ignore", invalid="ignore"):
        dense = np.where(volumes > 1e-6, table.n_atoms / volumes * sphere, table.n_atoms - 1.0)
    periodic = table.pbc.any(axis=1)
    estimate = np.where(periodic, dense, np.minimum(dense, table.n_atoms - 1.0))
    return np.nan_to_num(estimate, nan=1.0, posinf=1e6).clip(1.0, 1e6)


class WaitingRows:
    """The rows that wait for a place in the batch, the one with most neighbours first.

    :param n_atoms: (N,) atoms of each row of the job.
    :param neighbors: (N,) estimated neighbour counts.
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

    def put_back(self, rows: Iterable[int]) -> None:
        """Let ``rows`` be the next ones."""
        self._rows.extendleft(reversed(list(rows)))

    def cost(self, rows: Iterable[int]) -> float:
        """Return what ``rows`` cost in one batch: atoms x (largest neighbour count + 1)."""
        rows = list(rows)
        return float(self._n_atoms[rows].sum() * (self._neighbors[rows].max() + 1.0)) if rows else 0.0

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
