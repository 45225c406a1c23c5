"""What a report shows, as far as users may choose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

MOST_ROWS = 5_000
"""Rows that the table of a page holds; of more, the extremes and a sample."""
BEST = 12
"""Crystals whose bands, thermal curves and elastic tensors are in the page."""


@dataclass(frozen=True)
class Choices:
    """What a report shows.

    :ivar title: title of the page; None makes a title from the labels of the launches.
    :ivar best: crystals that are shown with all their figures.
    :ivar sort: column that decides which crystals are best, smallest values first; with a minus before the name,
        largest values first. None means the energy above the hull, or the order of the rows if there is no such energy.
    :ivar ids: crystals that are shown with all their figures, before the best.
    :ivar most_rows: rows in the table.
    :ivar systems: chemical systems whose hulls are drawn, such as ``("Mo", "Ta")``; if empty, the systems with the most
        rows.
    :ivar reference: values to compare with: a file, a data frame, or another launch.
    :ivar pairs: column -> column of the reference; if empty, columns of the same name are compared.
    :ivar refresh_s: seconds after which an open page reloads itself while the launch is running; None for never.
    """

    title: str | None = None
    best: int = BEST
    sort: str | None = None
    ids: tuple[str, ...] = ()
    most_rows: int = MOST_ROWS
    systems: tuple[tuple[str, ...], ...] = ()
    reference: Path | str | int | pd.DataFrame | None = None
    pairs: Mapping[str, str] = field(default_factory=dict)
    refresh_s: int | None = None
