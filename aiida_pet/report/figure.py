"""A figure of the page: a table of numbers, and what is said of how to draw it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

DIGITS = 7
"""Significant digits of numbers in the page."""


class Kind(StrEnum):
    """How a figure is drawn; each has a function of this name in ``assets/figures.js``."""

    BARS = "bars"
    BINARY = "binary"
    TERNARY = "ternary"
    HISTOGRAM = "histogram"
    PARITY = "parity"
    STEPS = "steps"
    LINES = "lines"
    BANDS = "bands"
    PERIODIC = "periodic"
    TABLE = "table"
    TENSOR = "tensor"
    YOUNG = "young"


@dataclass(frozen=True)
class Figure:
    """A figure, as plain values.

    :ivar name: name of it in the page, and of its csv.
    :ivar kind: how it is drawn.
    :ivar title: a few words.
    :ivar alt: what it shows, for those who cannot see it.
    :ivar columns: name -> values, all equally many: the numbers, as the csv has them.
    :ivar options: what the function that draws needs beside them.
    :ivar caption: what else there is to say.
    :ivar wide: whether it takes the whole width of the page.
    """

    name: str
    kind: Kind
    title: str
    alt: str
    columns: Mapping[str, list[Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    caption: str = ""
    wide: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "title": self.title,
            "alt": self.alt,
            "caption": self.caption,
            "columns": dict(self.columns),
            "options": dict(self.options),
        }


def panels_over(x: str, title: str, panels: Sequence[tuple[str, Sequence[str]]]) -> dict[str, Any]:
    """Return the options of :attr:`Kind.LINES`: panels below each other over one column.

    :param x: the column along.
    :param title: of it, with its unit.
    :param panels: title of each, with its columns.
    """
    return {
        "x": x,
        "x_title": title,
        "panels": [{"title": name, "columns": list(columns)} for name, columns in panels],
    }


def columns_of(frame: pd.DataFrame, digits: int = DIGITS) -> dict[str, list[Any]]:
    """Return the columns of a data frame as lists of plain values."""
    return {str(name): plain_list(frame[name], digits) for name in frame.columns}


def plain_list(values: Any, digits: int = DIGITS) -> list[Any]:
    """Return (N,) values as a list that JSON can hold: numbers to ``digits`` significant digits, None for missing ones.

    Flags that are stored as numbers stay numbers; texts are texts.
    """
    series = values if isinstance(values, pd.Series) else pd.Series(values)
    if pd.api.types.is_bool_dtype(series.dtype):
        return [None if value is pd.NA else bool(value) for value in series.tolist()]
    if pd.api.types.is_integer_dtype(series.dtype):
        return [None if value is pd.NA else int(value) for value in series.tolist()]
    if pd.api.types.is_float_dtype(series.dtype):
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return _rounded(numbers.tolist(), digits)
    return [None if value is None or value is pd.NA else str(value) for value in series.tolist()]


def _rounded(values: Iterable[float], digits: int) -> list[float | int | None]:
    form = f"%.{digits}g"
    found: list[float | int | None] = []
    for value in values:
        if not math.isfinite(value):
            found.append(None)
        else:
            short = float(form % value)
            found.append(int(short) if short.is_integer() and abs(short) < 1e15 else short)
    return found
