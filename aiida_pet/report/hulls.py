"""Convex hulls of chemical systems of two and three elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.figures import Hull, NotDrawnError, hull_of
from aiida_pet.figures.hull import composition_of
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.source import Source
from aiida_pet.words import plural

MOST_SYSTEMS = {2: 6, 3: 3}
"""Hulls in a page of so many elements, unless systems are named."""
MOST_POINTS = 1_500
"""Points of one hull: the nearest to it."""
_NEEDED = (
    "formula",
    "n_atoms",
    "energy",
    "status",
    "hull_status",
    "formation_energy",
    "e_above_hull",
    "decomposition",
)


def hull_figures(source: Source, systems: Sequence[tuple[str, ...]] = ()) -> list[Figure]:
    """Return the hulls of ``systems``; those with most rows if none is named, where rows know how far from it they are.

    :raises NotDrawnError: if a system that is named cannot be drawn.
    """
    frame = source.frame
    if "formula" not in frame.columns or (not systems and "e_above_hull" not in frame.columns):
        return []
    frame = frame[[name for name in _NEEDED if name in frame.columns]]
    of_row = systems_of_rows(frame["formula"])
    if systems:
        return [_figure(_inside(frame, of_row, system), system) for system in systems]
    counts = of_row[of_row.map(len).isin(MOST_SYSTEMS)].value_counts()
    return [figure for size in MOST_SYSTEMS for figure in _of_size(frame, of_row, list(counts.index), size)]


def _of_size(frame: pd.DataFrame, of_row: pd.Series[Any], systems: list[Any], size: int) -> list[Figure]:
    """Return the hulls of those of ``systems`` with ``size`` elements, the first that can be drawn."""
    found: list[Figure] = []
    for system in (one for one in systems if len(one) == size):
        if len(found) == MOST_SYSTEMS[size]:
            break
        try:
            found.append(_figure(_inside(frame, of_row, system), system))
        except NotDrawnError:
            continue
    return found


def systems_of_rows(formulas: pd.Series[str]) -> pd.Series[Any]:
    """Return the chemical system of each formula, of each different one once."""
    codes, different = pd.factorize(formulas.astype(str))
    systems = [tuple(sorted(composition_of(formula))) for formula in different]
    values = np.empty(len(systems), dtype=object)
    values[:] = systems
    return pd.Series(values[codes], index=formulas.index)


def _inside(frame: pd.DataFrame, of_row: pd.Series[Any], system: Sequence[str]) -> pd.DataFrame:
    wanted = set(system)
    different = {one for one in set(of_row) if set(one) <= wanted}
    return frame[of_row.isin(different)]


def _figure(frame: pd.DataFrame, system: Sequence[str]) -> Figure:
    hull = hull_of(frame, system)
    table = hull.to_frame()
    table["on_hull"] = hull.is_on_hull
    order = np.argsort(hull.e_above_hull, kind="stable")
    shown = np.sort(order[:MOST_POINTS])
    left_out = len(table) - len(shown)
    table = table.iloc[shown]
    caption = f"{plural(len(hull.ids), 'phase')}, {int(hull.is_on_hull.sum())} of them on the hull."
    caption += f" The {left_out:,} highest are not shown." if left_out else ""
    caption += f" {plural(hull.n_left_out, 'row')} without an energy." if hull.n_left_out else ""
    stable = ", ".join(sorted(set(hull.formulas[hull.is_on_hull].tolist())))
    phases = plural(len(hull.ids), "phase")
    alt = f"Convex hull of {'-'.join(system)}: {phases}; on it are {stable or 'none of the rows'}"
    if len(system) == 2:
        return _binary(hull, table, caption, alt)
    return _ternary(hull, table, caption, alt)


def _binary(hull: Hull, table: pd.DataFrame, caption: str, alt: str) -> Figure:
    second = hull.system[1]
    order = np.argsort(hull.vertex_fractions[:, 1])
    columns = columns_of(table)
    return Figure(
        name=f"hull-{'-'.join(hull.system)}",
        kind=Kind.BINARY,
        title="-".join(hull.system),
        alt=alt,
        columns=columns,
        options={
            "x": f"x_{second}",
            "x_title": f"atomic fraction of {second}",
            "y_title": "formation energy (eV/atom)",
            "line": [hull.vertex_fractions[order, 1].tolist(), hull.vertex_energies[order].tolist()],
            "hover": ["id", "formula", "formation_energy", "e_above_hull", "decomposition"],
        },
        caption=caption,
    )


def _ternary(hull: Hull, table: pd.DataFrame, caption: str, alt: str) -> Figure:
    edges = {tuple(sorted(pair)) for facet in hull.facets.tolist() for pair in _pairs(facet)}
    return Figure(
        name=f"hull-{'-'.join(hull.system)}",
        kind=Kind.TERNARY,
        title="-".join(hull.system),
        alt=alt,
        columns=columns_of(table),
        options={
            "elements": list(hull.system),
            "corners": np.round(hull.vertex_fractions, 6).tolist(),
            "edges": sorted(edges),
            "hover": ["id", "formula", "formation_energy", "e_above_hull", "decomposition"],
        },
        caption=caption,
    )


def _pairs(facet: Sequence[int]) -> list[tuple[int, int]]:
    return [(facet[i], facet[j]) for i in range(len(facet)) for j in range(i)]
