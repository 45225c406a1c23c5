"""Tables end to end: what rows have in a column that their table lacks.

Texts are empty and numbers NaN. Flags and counts that the catalogue knows are missing, NaN, and the whole column holds
numbers then; but a count is 0 where the catalogue says that tables lack it because it is 0. Other flags are False and
other integers 0, as are all that stand per atom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from aiida_pet.tables.arrays import Array
from aiida_pet.tables.columns import Kind, kinds_of, zero_with

_KINDS = {"b": {Kind.FLAG}, "i": {Kind.COUNT}, "u": {Kind.COUNT}, "f": {Kind.FLAG, Kind.COUNT}}


def concatenate_filled(parts: Sequence[tuple[int, Array | None]]) -> Array:
    """Return the arrays of ``parts`` end to end, filled (NaN, "", 0, False) where there is none.

    :param parts: (length, the array or None), one array at least.
    """
    like = next(array for _, array in parts if array is not None)
    return np.concatenate(
        [_full(size, like, _fill_value(like.dtype)) if array is None else array for size, array in parts]
    )


def concatenate_columns(parts: Sequence[tuple[int, Mapping[str, Array]]]) -> dict[str, Array]:
    """Return name -> the columns of ``parts``, (number of rows, columns), end to end."""
    names = dict.fromkeys(name for _, columns in parts for name in columns)
    sizes = [size for size, _ in parts]

    def read(name: str) -> list[Array | None]:
        return [columns.get(name) for _, columns in parts]

    return {name: concatenate_column(name, sizes, read) for name in names}


def concatenate_column(
    name: str, sizes: Sequence[int], read: Callable[[str], Sequence[Array | None]]
) -> Array:
    """Return column ``name`` of tables end to end.

    :param sizes: number of rows of each table.
    :param read: returns the column of a name of each table, None of one that lacks it; one at least has ``name``.
    """
    found = read(name)
    like = next(array for array in found if array is not None)
    if kinds_of(name).isdisjoint(_KINDS.get(like.dtype.kind, ())):
        return concatenate_filled(list(zip(sizes, found, strict=True)))
    beside = zero_with(name)
    answered: Sequence[Array | None] = [None] * len(sizes)
    if beside == "id":
        answered = [np.zeros(size) for size in sizes]
    elif beside and any(array is None for array in found):
        answered = read(beside)
    return np.concatenate(
        [
            _absent(size, like, answers) if array is None and size else array
            for size, array, answers in zip(sizes, found, answered, strict=True)
            if array is not None or size
        ]
    )


def _absent(size: int, like: Array, answers: Array | None) -> Array:
    """Return (size, ...) of nothing but NaN, and of 0 in the rows in which ``answers`` are not NaN."""
    known = np.zeros(size, dtype=bool) if answers is None else ~np.isnan(answers)
    if known.all():
        return _full(size, like, 0)
    filled = np.full((size, *like.shape[1:]), np.nan)
    filled[known] = 0.0
    return filled


def _full(size: int, like: Array, value: Any) -> Array:
    return np.full((size, *like.shape[1:]), value, dtype=like.dtype)


def _fill_value(dtype: np.dtype[Any]) -> Any:
    return {"f": np.nan, "U": "", "S": b"", "b": False}.get(dtype.kind, 0)
