"""Where figures take their values from: a table, or a data frame that has its columns component by component."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.columns import reasons
from aiida_pet.tables.components import TENSORS, component_names, constant_names
from aiida_pet.tables.frame import frame_of
from aiida_pet.tables.table import Table

__all__ = [
    "NoSuchRowError",
    "NotDrawnError",
    "Source",
    "array_of_row",
    "as_frame",
    "framed",
    "missing_columns",
    "row_position",
]

Source = Table | pd.DataFrame


class NotDrawnError(ValueError):
    """Raised if rows do not have what a figure needs. The message says what is missing, and where it comes from."""


class NoSuchRowError(NotDrawnError):
    """Raised if there is no row with an id, which is a slip and not a gap in the results."""


def as_frame(source: Source) -> pd.DataFrame:
    """Return ``source`` as a data frame indexed by id."""
    return source if isinstance(source, pd.DataFrame) else frame_of(source)


def missing_columns(frame: pd.DataFrame, names: Iterable[str], what: str, remedy: str) -> None:
    """Check that all of ``names`` are columns.

    :param what: the figure, for the message.
    :param remedy: what makes the columns.
    :raises NotDrawnError: naming those that are missing.
    """
    lacking = [name for name in names if name not in frame.columns]
    if lacking:
        raise NotDrawnError(f"{what} needs the column {' and '.join(lacking)}, which is not there: {remedy}")


def row_position(source: Source, row_id: str) -> int:
    """Return the position of a row.

    :raises NoSuchRowError: if there is no such row.
    """
    ids = np.asarray(source.index if isinstance(source, pd.DataFrame) else source.ids, dtype=str)
    found = np.flatnonzero(ids == row_id)
    if not len(found):
        raise NoSuchRowError(f"there is no row {row_id!r} among {len(ids)} rows")
    return int(found[0])


def array_of_row(source: Source, name: str, row_id: str, remedy: str, shape: Sequence[int] = (-1,)) -> Floats:
    """Return the value of column ``name`` in a row as an array of ``shape``.

    A data frame has it as ``name_0``, ``name_1``, ..., as :func:`~aiida_pet.tables.frame.frame_of` writes it.

    :param remedy: what makes the column, for the message.
    :raises NotDrawnError: if there is no such row or column, or the row has no value.
    """
    row = row_position(source, row_id)
    if isinstance(source, pd.DataFrame):
        found = _gathered(source, name)
        value = None if found is None else source[found].iloc[row].to_numpy(dtype=np.float64)
    else:
        value = np.asarray(source.columns[name][row], dtype=np.float64) if name in source.columns else None
    if value is None:
        raise NotDrawnError(f"there is no column {name!r}: {remedy}")
    if not np.isfinite(value).any():
        raise NotDrawnError(f"row {row_id!r} has no {name}{_why(source, row, name)}")
    return value.reshape(shape)


def _gathered(frame: pd.DataFrame, name: str) -> list[str] | None:
    """Return the columns that hold the components of ``name``, in order; None if there are none."""
    numbered = [
        other
        for other in frame.columns
        if other.startswith(f"{name}_") and other[len(name) + 1 :].isdecimal()
    ]
    if name in TENSORS and set(constant_names(name)) <= set(frame.columns):
        return constant_names(name)
    if numbered:
        return component_names(name, (0, len(numbered), 1))
    return [name] if name in frame.columns else None


def _why(source: Source, row: int, name: str) -> str:
    """Return why a row has no ``name``, as an ending of a sentence; empty if nothing tells."""
    names = [str(one) for one in source.columns]
    for reason in reasons(names, of=name):
        text = _text(source, row, reason)
        if text:
            return f": {text}"
    if "status" not in names:
        return ""
    message = _text(source, row, "message") if "message" in names else ""
    return f": it ended as {_text(source, row, 'status')}{f': {message}' if message else ''}"


def _text(source: Source, row: int, name: str) -> str:
    value = source[name].iloc[row] if isinstance(source, pd.DataFrame) else source.columns[name][row]
    return "" if pd.isna(value) else str(value)


def framed(columns: dict[str, object], units: dict[str, str] | None = None) -> pd.DataFrame:
    """Return a data frame that says the units of its columns in ``attrs``."""
    frame = pd.DataFrame(columns)
    frame.attrs["units"] = dict(units or {})
    return frame
