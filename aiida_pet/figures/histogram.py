"""How the values of a column are distributed: bins that a few wild values cannot spoil, and counts of words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiida_pet.figures.source import NotDrawnError, Source, as_frame, framed
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.columns import unit_of
from aiida_pet.words import did_you_mean

MOST_BINS = 60
FEWEST_BINS = 8
FENCE = 3.0
"""Values further than so many interquartile ranges outside the quartiles are outliers (Tukey's outer fences)."""


@dataclass(frozen=True)
class Histogram:
    """Numbers in B bins.

    :ivar column: name of it.
    :ivar unit: unit of the values; empty for none.
    :ivar edges: (B + 1,).
    :ivar counts: (B,) rows in each bin.
    :ivar below: rows under the first edge.
    :ivar above: rows over the last edge.
    :ivar missing: rows without a value.
    :ivar median: median of all values; NaN without any.
    """

    column: str
    unit: str
    edges: Floats
    counts: NDArray[np.int64]
    below: int
    above: int
    missing: int
    median: float

    @property
    def n_values(self) -> int:
        """Rows with a value, outliers among them."""
        return int(self.counts.sum()) + self.below + self.above

    def to_frame(self) -> pd.DataFrame:
        """Return a row per bin: ``from``, ``to``, ``rows``; outliers are in bins that reach to infinity."""
        edges, counts = self.edges.tolist(), self.counts.tolist()
        if self.below:
            edges, counts = [-np.inf, *edges], [self.below, *counts]
        if self.above:
            edges, counts = [*edges, np.inf], [*counts, self.above]
        units = {"from": self.unit, "to": self.unit} if self.unit else {}
        return framed({"from": edges[:-1], "to": edges[1:], "rows": counts}, units)


@dataclass(frozen=True)
class Counts:
    """How often each word or flag occurs.

    :ivar column: name of it.
    :ivar values: the most frequent first.
    :ivar counts: rows of each.
    :ivar missing: rows without a value.
    """

    column: str
    values: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int

    def to_frame(self) -> pd.DataFrame:
        """Return a row per value: the column and ``rows``."""
        return framed({self.column: self.values, "rows": self.counts})


def distribution_of(source: Source, column: str, *, bins: int | None = None) -> Histogram | Counts:
    """Return a histogram of ``column``; for texts and flags, return the number of rows of each value.

    :param bins: number of bins; None chooses them by the rule of Freedman and Diaconis (doi:10.1007/BF01025868).
    :raises NotDrawnError: if there is no such column, or no row has a value.

    >>> frame = pd.DataFrame({"status": ["converged", "converged", "max_steps"]})
    >>> distribution_of(frame, "status").to_frame()
          status  rows
    0  converged     2
    1  max_steps     1
    """
    frame = as_frame(source)
    if column not in frame.columns:
        raise NotDrawnError(
            f"there is no column {column!r}{did_you_mean(column, map(str, frame.columns))}: `aiida-pet columns` lists "
            "what each task writes"
        )
    series = frame[column]
    unit = frame.attrs.get("units", {}).get(column) or unit_of(column)
    if series.isna().all():
        raise NotDrawnError(f"no row has a value of {column!r}")
    if pd.api.types.is_bool_dtype(series.dtype) or not pd.api.types.is_numeric_dtype(series.dtype):
        found = series.dropna().astype(str).value_counts()
        return Counts(column, tuple(map(str, found.index)), tuple(map(int, found)), int(series.isna().sum()))
    values = series.to_numpy(dtype=np.float64, na_value=np.nan)
    return histogram(values, column, unit, bins=bins)


def histogram(values: Any, column: str = "", unit: str = "", *, bins: int | None = None) -> Histogram:
    """Return the histogram of numbers; NaN and infinities count as missing.

    Bins span all values, unless some are beyond :data:`FENCE` interquartile ranges: these are counted beside.

    :param values: (N,).
    :param bins: number of bins; None chooses.
    """
    given = np.asarray(values, dtype=np.float64)
    known = given[np.isfinite(given)]
    if not len(known):
        return Histogram(column, unit, np.array([0.0, 1.0]), np.zeros(1, np.int64), 0, 0, len(given), np.nan)
    first, third = np.quantile(known, [0.25, 0.75])
    reach = FENCE * (third - first)
    inside = known[(known >= first - reach) & (known <= third + reach)] if reach > 0 else known
    edges = _edges(inside, bins)
    counts, _ = np.histogram(known, edges)
    return Histogram(
        column,
        unit,
        edges,
        counts.astype(np.int64),
        below=int((known < edges[0]).sum()),
        above=int((known > edges[-1]).sum()),
        missing=len(given) - len(known),
        median=float(np.median(known)),
    )


def _edges(values: Floats, bins: int | None) -> Floats:
    low, high = float(values.min()), float(values.max())
    whole = bool((values == np.round(values)).all())
    if bins is None and whole and high - low < MOST_BINS:  # a bar for each number
        return np.arange(low - 0.5, high + 1.0)
    if low == high:
        half = 0.5 * (abs(low) or 1.0)
        return (
            np.array([low - half, low + half])
            if bins is None
            else np.linspace(low - half, low + half, bins + 1)
        )
    if bins is None:
        first, third = np.quantile(values, [0.25, 0.75])
        width = 2.0 * (third - first) / len(values) ** (1 / 3)
        bins = int(np.ceil((high - low) / width)) if width > 0 else FEWEST_BINS
        bins = min(max(bins, FEWEST_BINS), MOST_BINS)
    return np.linspace(low, high, bins + 1)
