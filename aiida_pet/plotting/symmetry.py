"""Space groups before and after a relaxation, at each tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from aiida_pet.figures.source import NotDrawnError
from aiida_pet.figures.symmetry import SymmetryChanges, group_symbol, symmetry_changes
from aiida_pet.plotting.sources import labels_of, many, numbers_of
from aiida_pet.plotting.style import GREY, PALETTE, Axes, Drawing, colours, new_row
from aiida_pet.words import plural

MOST_CHANGES = 8
USUAL = 0.01
"""A, the tolerance whose changes are listed, or the nearest there is."""


def plot_symmetry(what: Any, *, tolerance: float | None = None) -> list[Axes]:
    """Return axes with the number of rows that kept their space group at each tolerance, and the new groups of the
    others.

    :param what: a relaxation; several in a list are drawn side by side.
    :param tolerance: tolerance (A) for the list of changes; None for the tolerance nearest to 0.01 A.
    :raises NotDrawnError: if there are no space groups before and after.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"initial_spacegroup_0_01": [229, 139], "spacegroup_0_01": [229, 8]})
    >>> axes = plot_symmetry(frame)
    """
    found: list[Axes] = draw_symmetry(what, tolerance=tolerance).axes
    return found


def draw_symmetry(what: Any, *, tolerance: float | None = None) -> Drawing:
    """Draw what :func:`plot_symmetry` says."""
    things = many(what)
    labels = labels_of(things) if len(things) > 1 else [""]
    found = [symmetry_changes(_groups_of(thing)) for thing in things]
    chosen = _chosen(found[0], tolerance)
    most = max(len(one.tolerances) for one in found)
    axes = new_row(2, 9.5, 2.0 + 0.45 * most * len(found))
    _draw_kept(axes[0], found, labels)
    _draw_changes(axes[1], found, labels, chosen)
    frames = {label or "changes": one.to_frame() for label, one in zip(labels, found, strict=True)}
    left_out = sum(one.not_relaxed for one in found)
    remarks = (f"{plural(left_out, 'row')} that were not relaxed are left out",) if left_out else ()
    return Drawing(axes, "Space groups before and after the relaxation", frames, remarks)


def _groups_of(thing: Any) -> pd.DataFrame:
    if isinstance(thing, pd.DataFrame):
        return thing
    frame = numbers_of(thing)
    wanted = [name for name in frame.columns if "spacegroup_" in name or name.startswith("symmetry_kept_")]
    return frame[wanted]


def _chosen(found: SymmetryChanges, tolerance: float | None) -> float:
    if tolerance is None:
        return min(found.tolerances, key=lambda one: abs(one - USUAL))
    if tolerance not in found.tolerances:
        there = ", ".join(f"{one:g}" for one in found.tolerances)
        raise NotDrawnError(f"there is no tolerance {tolerance:g} A: there are {there} A")
    return tolerance


def _draw_kept(ax: Axes, found: Sequence[SymmetryChanges], labels: Sequence[str]) -> None:
    names, place = [], 0
    for one, label in zip(found, labels, strict=True):
        for tolerance, kept, changed in zip(one.tolerances, one.kept, one.changed, strict=True):
            words = {"kept": "kept", "changed": "changed"} if place == 0 else {}
            ax.barh(place, kept, color=PALETTE[0], label=words.get("kept"))
            ax.barh(place, changed, left=kept, color=PALETTE[1], label=words.get("changed"))
            total = kept + changed
            share = f"{100 * kept / total:.0f} % kept" if total else "no row"
            ax.annotate(
                share, (total, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
            )
            names.append(f"{label} {tolerance:g} Å".strip())
            place += 1
    ax.set_yticks(range(place), names)
    ax.invert_yaxis()
    ax.margins(x=0.2)
    ax.set_xlabel("Rows")
    ax.set_ylabel("Tolerance")
    ax.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)


def _draw_changes(
    ax: Axes, found: Sequence[SymmetryChanges], labels: Sequence[str], tolerance: float
) -> None:
    counts: list[dict[tuple[int, int], int]] = []
    for one in found:
        at = one.tolerances.index(tolerance) if tolerance in one.tolerances else 0
        counts.append({pair: rows for pair, rows in one.changes[at].items() if pair[0] != pair[1]})
    pairs = sorted(
        {pair for one in counts for pair in one}, key=lambda pair: -sum(one.get(pair, 0) for one in counts)
    )
    shown = pairs[:MOST_CHANGES]
    ax.set_title(f"Changes at {tolerance:g} Å", fontsize=9)
    if not shown:
        ax.annotate("none", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY)
        ax.set_axis_off()
        return
    height = 0.8 / len(found)
    for place, (rows_of, label, colour) in enumerate(zip(counts, labels, colours(len(found)), strict=True)):
        at_y = [y + (place - (len(found) - 1) / 2) * height for y in range(len(shown))]
        bars = ax.barh(
            at_y,
            [rows_of.get(pair, 0) for pair in shown],
            height,
            color=PALETTE[1] if len(found) == 1 else colour,
            label=label,
        )
        ax.bar_label(bars, fontsize=8, padding=2)
    ax.set_yticks(
        range(len(shown)), [f"{group_symbol(before)} → {group_symbol(after)}" for before, after in shown]
    )
    ax.invert_yaxis()
    more = f" ({plural(len(pairs) - len(shown), 'other pair')} not shown)" if len(pairs) > len(shown) else ""
    ax.set_xlabel(f"Rows{more}")
    if len(found) > 1:
        ax.legend(frameon=False, fontsize=8)
