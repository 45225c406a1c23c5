"""A table in segments: what is merged of many tables keeps their files, and says in which order their rows stand.

AiiDA's repository stores files of equal content once. Arrays of a merged table would be other files than the arrays of
its parts, and would be stored a second time. So the files of the parts are kept as they are, each part in a folder of
its own, beside ``order``: the places of the merged rows in the parts' rows end to end. No pandas and no AiiDA in here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_pet.data.description import COLUMN
from aiida_pet.tables.filling import concatenate_column, concatenate_filled
from aiida_pet.tables.ragged import offsets_of, within
from aiida_pet.tables.table import Array

"""Prefix of the arrays that have a value for each row."""
FOLDER = "segments"
ORDER = "order"
ORDER_FILE = f"{ORDER}.npy"
# A segment costs about 160 bytes of the database per array, and a file to open when it is read.
MOST_SEGMENTS = 128
LEAST_ROWS = 64  # of a segment on average


def segment_folder(number: int) -> str:
    """Return where a node has the arrays of segment ``number``."""
    return f"{FOLDER}/{number:03d}"


def segment_file(number: int, name: str) -> str:
    """Return where a node has the array ``name`` of segment ``number``."""
    return f"{segment_folder(number)}/{name}.npy"


def is_worth_while(n_segments: int, n_rows: int) -> bool:
    """Return whether ``n_rows`` rows in ``n_segments`` segments cost less than all of them stored again."""
    return 1 < n_segments <= MOST_SEGMENTS and n_rows >= LEAST_ROWS * n_segments


@dataclass(frozen=True)
class Segments:
    """Reads the arrays of a table in segments, one at a time.

    :ivar sizes: rows of each segment.
    :ivar order: (N,) places of the rows of the table among the rows of all segments, end to end.
    :ivar read: function of the name of an array that returns this array for each segment, None for a segment that lacks
        it.
    """

    sizes: Sequence[int]
    order: NDArray[np.int64]
    read: Callable[[str], Sequence[Array | None]]

    def per_row(self, name: str) -> Array:
        """Return (N, ...) of an array whose first dimension are rows; filled where a segment has none."""
        prefix = COLUMN if name.startswith(COLUMN) else ""
        column = name.removeprefix(prefix)
        joined = concatenate_column(column, self.sizes, lambda other: self.read(f"{prefix}{other}"))
        chosen: Array = joined[self.order]
        return chosen

    def offsets(self, name: str) -> NDArray[np.int64]:
        """Return (N + 1,) offsets; rows of a segment without them own nothing."""
        return offsets_of(np.concatenate(self._lengths(name))[self.order])

    def values(self, name: str, offsets: str) -> Array:
        """Return the values of ``name``, (M, ...), of which each row owns those that ``offsets`` says."""
        lengths = self._lengths(offsets)
        counts = [int(one.sum()) for one in lengths]
        flat = concatenate_filled(list(zip(counts, self.read(name), strict=True)))
        chosen: Array = flat[within(offsets_of(np.concatenate(lengths)), self.order)]
        return chosen

    def _lengths(self, name: str) -> list[NDArray[np.int64]]:
        return [
            np.zeros(size, np.int64) if found is None else np.diff(found)
            for size, found in zip(self.sizes, self.read(name), strict=True)
        ]
