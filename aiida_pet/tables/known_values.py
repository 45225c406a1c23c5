"""Flags and counts that are not known of all rows: NaN among numbers in a table, missing wherever people read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_pet.tables.columns import Kind, kinds_of
from aiida_pet.tables.table import Array, Table

_MOST = 2**53  # beyond, not all whole numbers can be told apart


@dataclass(frozen=True)
class Known:
    """What is known of a column.

    :ivar values: (N, ...) bool or int64; False or 0 where they are missing.
    :ivar missing: (N, ...) bool.
    """

    values: Array
    missing: NDArray[np.bool_]

    def missing_rows(self) -> NDArray[np.bool_]:
        """Return (N,) bool: rows in which a value is missing."""
        return self.missing.reshape(len(self.missing), -1).any(axis=1)


def known_of(name: str, values: Array) -> Known | None:
    """Return the flags or counts that column ``name`` holds as numbers; None if its numbers, or texts, are themselves.

    :param values: (N, ...); what the catalogue calls a flag or a count may be another one's column of numbers.
    """
    kinds = kinds_of(name) if values.dtype.kind == "f" else set()
    if kinds.isdisjoint((Kind.FLAG, Kind.COUNT)):
        return None
    missing = np.isnan(values)
    known = np.where(missing, 0.0, values)
    if Kind.FLAG in kinds and np.isin(known, (0.0, 1.0)).all():
        return Known(known.astype(bool), missing)
    if Kind.COUNT in kinds and (np.abs(known) < _MOST).all() and (known == np.round(known)).all():
        return Known(known.astype(np.int64), missing)
    return None


def known_in(table: Table) -> dict[str, Known]:
    """Return those columns of ``table`` that hold flags or counts as numbers."""
    found = {name: known_of(name, values) for name, values in table.columns.items()}
    return {name: known for name, known in found.items() if known is not None}
