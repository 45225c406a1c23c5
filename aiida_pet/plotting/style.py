"""How all plots look: colours that colour-blind people tell apart, thin axes, units in the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

import pandas as pd

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
except ImportError as error:
    raise ImportError("plots need matplotlib: pip install 'aiida-pet[plot]'") from error

__all__ = [
    "GREY",
    "PALETTE",
    "SEQUENCE",
    "Axes",
    "Drawing",
    "Figure",
    "colours",
    "label_of",
    "new_axes",
    "quiet",
]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of M. Okabe and K. Ito (2008, https://jfly.uni-koeln.de/color/), yellow left out: it is lost on white."""
GREY = "#767676"
HALO = [withStroke(linewidth=2.5, foreground="white")]
"""Around labels that lines may cross."""
"""Of what stands back; its contrast on white is 4.5 : 1."""
SEQUENCE = "cividis_r"
"""Colour map of numbers; its brightness grows evenly for people with and without colour blindness."""


@dataclass(frozen=True)
class Drawing:
    """What was drawn.

    :ivar axes: one, or several of a figure.
    :ivar title: what it shows, in a few words: the alternative text.
    :ivar frames: label of a series -> the numbers behind it.
    :ivar remarks: what the reader should know, in sentences.
    """

    axes: Any
    title: str
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def figure(self) -> Figure:
        """The figure that the axes are on."""
        return figure_of(self.axes)


def figure_of(axes: Any) -> Figure:
    """Return the figure that one or several axes are on."""
    first = axes if isinstance(axes, Axes) else next(iter(axes))
    found: Any = first.figure
    return found  # type: ignore[no-any-return]


def new_axes(ax: Axes | None, width: float = 6.0, height: float = 4.0) -> Axes:
    """Return ``ax``, or the axes of a new figure of this size in inches, which no global state of matplotlib knows."""
    if ax is None:
        ax = Figure(figsize=(width, height), layout="constrained").subplots()
    quiet(ax)
    return ax


def new_row(count: int, width: float = 9.0, height: float = 3.2, **kwargs: Any) -> list[Axes]:
    """Return ``count`` axes side by side on a new figure of this size in inches."""
    found = Figure(figsize=(width, height), layout="constrained").subplots(1, count, squeeze=False, **kwargs)
    axes: list[Axes] = list(found[0])
    for ax in axes:
        quiet(ax)
    return axes


def quiet(ax: Axes) -> None:
    """Take away what a reader does not need of ``ax``."""
    for side in ("top", "right"):
        if side in ax.spines:
            ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=9, length=3)
    ax.set_axisbelow(True)


def colours(count: int) -> list[str]:
    """Return ``count`` colours; they begin again after seven."""
    return list(islice(cycle(PALETTE), count))


def label_of(name: str, unit: str = "") -> str:
    """Return the label of an axis: what is along it, and in what unit."""
    written = {
        "cm-1": "cm$^{-1}$",
        "A^3": "Å$^3$",
        "A": "Å",
        "eV/A^3": "eV/Å$^3$",
        "eV/A": "eV/Å",
        "eV/A^2": "eV/Å$^2$",
        "J/(K mol)": "J K$^{-1}$ mol$^{-1}$",
    }
    return f"{name} ({written.get(unit, unit)})" if unit else name


def legend(ax: Axes, labels: Sequence[str], **kwargs: Any) -> None:
    """Put a legend on ``ax`` if there is more than one series."""
    if len([label for label in labels if label]) > 1:
        ax.legend(frameon=False, fontsize=8, **kwargs)
