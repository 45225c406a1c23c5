"""Histograms of columns, and values against values of another launch or of references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from aiida_pet.figures.histogram import Counts, Histogram, distribution_of, histogram
from aiida_pet.figures.parity import Parity, parity_of
from aiida_pet.figures.source import row_position
from aiida_pet.plotting.sources import labels_of, many, numbers_of
from aiida_pet.plotting.style import GREY, PALETTE, Axes, Drawing, colours, label_of, legend, new_axes
from aiida_pet.words import plural

NAMED_OUTLIERS = 6
"""Outliers of a parity plot whose ids are written."""
MOST_BARS = 20


def plot_histogram(
    what: Any, column: str, ids: Sequence[str] = (), *, bins: int | None = None, ax: Axes | None = None
) -> Axes:
    """Return axes with a histogram of a column; for texts and flags, with the number of rows of each value.

    :param what: a launch, set, table or data frame; several in a list are drawn into one picture, with the same bins.
    :param ids: ids of rows whose values are marked.
    :param bins: number of bins; None chooses it automatically.
    :raises NotDrawnError: if there is no such column.

    >>> frame = pd.DataFrame({"bulk_modulus": [300.0, 260.0, 190.0]}, index=["W", "Mo", "Ta"])
    >>> axes = plot_histogram(frame, "bulk_modulus", bins=4)
    >>> axes.get_ylabel()
    'Rows'
    """
    found: Axes = draw_histogram(what, column, ids, bins=bins, ax=ax).axes
    return found


def draw_histogram(
    what: Any, column: str, ids: Sequence[str] = (), *, bins: int | None = None, ax: Axes | None = None
) -> Drawing:
    """Draw what :func:`plot_histogram` says."""
    things = many(what)
    labels = labels_of(things) if len(things) > 1 else [""]
    frames = [_with_column(thing, column) for thing in things]
    found = [distribution_of(frame, column, bins=bins) for frame in frames]
    ax = new_axes(ax)
    remarks: tuple[str, ...] = ()
    numbers = [one for one in found if isinstance(one, Histogram)]
    if len(numbers) == len(found):
        found = _draw_numbers(ax, numbers, frames, labels, bins)
        remarks = _mark_rows(ax, frames[0], column, ids)
    else:
        _draw_counts(ax, [one for one in found if isinstance(one, Counts)], labels)
    legend(ax, labels)
    rows = sum(len(frame) for frame in frames)
    drawn = {label or column: one.to_frame() for label, one in zip(labels, found, strict=True)}
    return Drawing(ax, f"Histogram of {column}, {plural(rows, 'row')}", drawn, remarks)


def _with_column(thing: Any, column: str) -> pd.DataFrame:
    frame = numbers_of(thing, [column])
    return frame if column in frame.columns else numbers_of(thing)


def _draw_numbers(
    ax: Axes,
    found: Sequence[Histogram],
    frames: Sequence[pd.DataFrame],
    labels: Sequence[str],
    bins: int | None,
) -> list[Histogram | Counts]:
    first = found[0]
    shared: list[Any] = list(found)
    if len(found) > 1:  # bins that all share
        values = [frame[first.column].to_numpy(np.float64, na_value=np.nan) for frame in frames]
        edges = histogram(np.concatenate(values), bins=bins).edges
        shared = [_in_bins(one, array, edges) for one, array in zip(found, values, strict=True)]
    for one, label, colour in zip(shared, labels, colours(len(shared)), strict=True):
        if len(shared) == 1:
            ax.stairs(one.counts, one.edges, fill=True, color=colour, alpha=0.85, label=label)
        else:
            ax.stairs(one.counts, one.edges, fill=True, color=colour, alpha=0.2)
            ax.stairs(one.counts, one.edges, color=colour, linewidth=1.4, label=label)
    beside = [f"{one.below:,} below, {one.above:,} above" for one in shared if one.below or one.above]
    missing = sum(one.missing for one in shared)
    notes = [*beside[:1], *([f"{missing:,} without a value"] if missing else [])]
    if notes:
        ax.set_title("; ".join(notes), fontsize=8, color=GREY, loc="right")
    ax.set_xlabel(label_of(first.column, first.unit))
    ax.set_ylabel("Rows")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    return shared


def _in_bins(one: Histogram, values: Any, edges: Any) -> Histogram:
    known = values[np.isfinite(values)]
    counts, _ = np.histogram(known, edges)
    below, above = int((known < edges[0]).sum()), int((known > edges[-1]).sum())
    return Histogram(one.column, one.unit, edges, counts, below, above, one.missing, one.median)


def _mark_rows(ax: Axes, frame: pd.DataFrame, column: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Mark the values of rows, and return a remark on each row without one."""
    lacking = []
    for row_id in ids:
        value = float(frame[column].iloc[row_position(frame, row_id)])
        if not np.isfinite(value):
            lacking.append(f"not marked: row {row_id!r} has no {column}")
            continue
        ax.axvline(value, color=PALETTE[1], linewidth=1.2)
        ax.annotate(
            row_id,
            (value, 1),
            xycoords=("data", "axes fraction"),
            rotation=90,
            fontsize=7,
            ha="right",
            va="top",
            xytext=(-2, -2),
            textcoords="offset points",
        )
    return tuple(lacking)


def _draw_counts(ax: Axes, found: Sequence[Counts], labels: Sequence[str]) -> None:
    names = list(dict.fromkeys(value for one in found for value in one.values))[:MOST_BARS]
    height = 0.8 / len(found)
    for place, (one, label, colour) in enumerate(zip(found, labels, colours(len(found)), strict=True)):
        counts = dict(zip(one.values, one.counts, strict=True))
        at = np.arange(len(names)) + (place - (len(found) - 1) / 2) * height
        bars = ax.barh(at, [counts.get(name, 0) for name in names], height, color=colour, label=label)
        ax.bar_label(bars, fontsize=8, padding=2)
    ax.set_yticks(np.arange(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlabel("Rows")
    ax.set_title(found[0].column, fontsize=9)


def plot_parity(
    reference: Any,
    values: Any,
    column: str,
    other: str | None = None,
    *,
    per_atom: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the values of a column plotted against reference values, matched by id.

    :param reference: a launch, set, table or data frame.
    :param values: the same, or a list of them.
    :param other: column of the reference; ``column`` if not given.
    :param per_atom: divide by the number of atoms: for energies of cells.
    :raises NotDrawnError: if a column is missing, or no row is in both.

    >>> ours = pd.DataFrame({"bulk_modulus": [300.0, 260.0, 190.0]}, index=["W", "Mo", "Ta"])
    >>> theirs = pd.DataFrame({"dft": [310.0, 260.0, 195.0]}, index=["W", "Mo", "Ta"])
    >>> axes = plot_parity(theirs, ours, "bulk_modulus", "dft")
    """
    found: Axes = draw_parity(reference, values, column, other, per_atom=per_atom, ax=ax).axes
    return found


def draw_parity(
    reference: Any,
    values: Any,
    column: str,
    other: str | None = None,
    *,
    per_atom: bool = False,
    ax: Axes | None = None,
) -> Drawing:
    """Draw what :func:`plot_parity` says."""
    things = many(values)
    all_labels = labels_of([reference, *things])
    labels = all_labels[1:]
    given = _with_column(reference, other or column)
    pairs = [
        parity_of(numbers_of(thing, [column, "n_atoms"]), given, column, other, per_atom=per_atom)
        for thing in things
    ]
    ax = new_axes(ax, 5.0, 5.0)
    low = min(min(one.reference.min(), one.value.min()) for one in pairs)
    high = max(max(one.reference.max(), one.value.max()) for one in pairs)
    margin = 0.04 * ((high - low) or 1.0)
    line = (low - margin, high + margin)
    ax.plot(line, line, color=GREY, linewidth=0.8)
    for one, label, colour in zip(pairs, labels, colours(len(pairs)), strict=True):
        told = f"MAE {one.mae:.3g}, RMSE {one.rmse:.3g} {one.unit}".rstrip()
        size = 18 if len(one) < 500 else 5
        ax.scatter(
            one.reference,
            one.value,
            s=size,
            color=colour,
            alpha=0.7,
            linewidths=0,
            label=f"{label}: {told}" if len(pairs) > 1 else told,
        )
        _name_outliers(ax, one)
    ax.set(xlim=line, ylim=line, aspect="equal")
    name = column if not per_atom else f"{column} per atom"
    ax.set_xlabel(label_of(f"{other or name}, {all_labels[0]}", pairs[0].unit))
    ax.set_ylabel(label_of(f"{name}, {labels[0]}" if len(pairs) == 1 else name, pairs[0].unit))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    remarks = []
    for one in pairs:
        if one.only_values or one.only_references:
            remarks.append(
                f"{plural(len(one), 'pair')} drawn; {plural(one.only_values, 'row')} without a reference, "
                f"{plural(one.only_references, 'reference')} without a row"
            )
    title = f"{name} against {all_labels[0]}, {plural(len(pairs[0]), 'row')}"
    frames = {label: one.to_frame() for label, one in zip(labels, pairs, strict=True)}
    return Drawing(ax, title, frames, tuple(remarks))


def _name_outliers(ax: Axes, one: Parity) -> None:
    off = np.abs(one.value - one.reference)
    worst = [i for i in np.argsort(-off)[:NAMED_OUTLIERS] if one.outliers[i]]
    middle = (one.reference.min() + one.reference.max()) / 2
    for i in worst:
        to_left = one.reference[i] > middle
        ax.annotate(
            one.ids[i],
            (one.reference[i], one.value[i]),
            fontsize=7,
            color=GREY,
            xytext=(-4 if to_left else 4, 0),
            textcoords="offset points",
            ha="right" if to_left else "left",
            va="center",
        )
