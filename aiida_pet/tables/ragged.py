"""Columns whose length differs from row to row, such as force constants: flat values and offsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aiida_pet.tables.arrays import Array


@dataclass(frozen=True)
class Ragged:
    """N arrays of any length end to end.

    :ivar values: (M, ...).
    :ivar offsets: (N + 1,) int64; row i owns ``values[offsets[i]:offsets[i + 1]]``.
    """

    values: Array
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.offsets.ndim != 1 or not len(self.offsets) or int(self.offsets[-1]) != len(self.values):
            raise ValueError(
                f"offsets must begin with 0 and end with {len(self.values)}, the number of values, got {self.offsets}"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> Array:
        """Return the values of row ``index``."""
        values: Array = self.values[self.offsets[index] : self.offsets[index + 1]]
        return values

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(N,) values of each row."""
        return np.diff(self.offsets)

    @classmethod
    def of(cls, rows: Sequence[ArrayLike | None]) -> Ragged:
        """Return the column of ``rows``, None for a row that has nothing.

        :raises ValueError: if no row has anything, or their values differ in shape.
        """
        arrays = [None if row is None else np.asarray(row) for row in rows]
        like = next((array for array in arrays if array is not None), None)
        if like is None:
            raise ValueError("a ragged column needs a row that has values")
        filled = [np.zeros((0, *like.shape[1:]), like.dtype) if array is None else array for array in arrays]
        offsets = np.concatenate([[0], np.cumsum([len(array) for array in filled])]).astype(np.int64)
        return cls(np.concatenate(filled), offsets)

    def take(self, index: NDArray[np.int64]) -> Ragged:
        """Return the rows at positions ``index``, in that order."""
        sizes = self.sizes[index]
        return Ragged(self.values[within(self.offsets, index)], offsets_of(sizes))

    @staticmethod
    def concatenate(parts: Sequence[tuple[int, Ragged | None]]) -> Ragged:
        """Return the rows of ``parts``, in order.

        :param parts: (number of rows, the column or None where its rows have nothing), one column at least.
        """
        columns = [column for _, column in parts if column is not None]
        sizes = [np.zeros(size, np.int64) if column is None else column.sizes for size, column in parts]
        return Ragged(
            np.concatenate([column.values for column in columns]), offsets_of(np.concatenate(sizes))
        )


def within(offsets: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places in a flat array of what rows ``index`` own, in that order.

    :param offsets: (N + 1,); row i owns ``offsets[i]:offsets[i + 1]``.
    """
    sizes = np.diff(offsets)[index]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(offsets[:-1][index] - (ends - sizes), sizes)


def offsets_of(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (N + 1,) offsets of rows that own ``sizes`` values each, end to end."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
