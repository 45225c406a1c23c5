"""Space groups before and after the relaxation, at each tolerance."""

from __future__ import annotations

import pandas as pd

from aiida_pet.figures import symmetry_changes
from aiida_pet.figures.source import framed
from aiida_pet.figures.symmetry import group_symbol
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.source import Source
from aiida_pet.words import plural

MOST = 12
"""Changes at each tolerance in the table of a page."""


def symmetry_figures(source: Source) -> list[Figure]:
    """Return how many rows kept their space group at each tolerance, and from which to which the others went.

    :raises NotDrawnError: if there are no groups before and after.
    """
    found = symmetry_changes(source.frame)
    labels = [f"{one:g} A" for one in found.tolerances]
    bars = framed({"tolerance": labels, "kept": list(found.kept), "changed": list(found.changed)})
    told = "; ".join(
        f"at {label} {kept:,} kept their group and {changed:,} changed it"
        for label, kept, changed in zip(labels, found.kept, found.changed, strict=True)
    )
    caption = (
        f"{plural(found.not_relaxed, 'row')} without space groups before and after are left out."
        if found.not_relaxed
        else ""
    )
    figures = [
        Figure(
            name="symmetry-kept",
            kind=Kind.BARS,
            title="Space group kept by the relaxation",
            alt=f"Bars by tolerance: {told}",
            columns=columns_of(bars),
            options={
                "category": "tolerance",
                "series": ["kept", "changed"],
                "across": False,
                "stacked": True,
                "x_title": "rows",
            },
            caption=caption,
        ),
    ]
    changes = found.to_frame()
    figures.append(_transitions(changes))
    return figures


def _transitions(changes: pd.DataFrame) -> Figure:
    """Return the table of changes; if there are none, of the groups that were kept."""
    moved = changes[changes["before"] != changes["after"]]
    title = "Groups that changed" if len(moved) else "Space groups; none changed"
    rows = (moved if len(moved) else changes).sort_values(
        ["tolerance", "rows"], ascending=[True, False], kind="stable"
    )
    shown = rows.groupby("tolerance", sort=True).head(MOST)
    table = pd.DataFrame(
        {
            "tolerance (A)": shown["tolerance"],
            "before": [_named(number) for number in shown["before"]],
            "after": [_named(number) for number in shown["after"]],
            "rows": shown["rows"],
        }
    )
    left_out = len(rows) - len(shown)
    return Figure(
        name="symmetry-groups",
        kind=Kind.TABLE,
        title=title,
        alt=f"Table of {plural(len(shown), 'change')} of space groups",
        columns=columns_of(table),
        caption=f"The most frequent changes; {plural(left_out, 'kind')} of change left out."
        if left_out
        else "",
    )


def _named(number: int) -> str:
    return f"{group_symbol(int(number))} ({int(number)})" if number else "none"
