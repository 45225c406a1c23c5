"""Convex hulls of two and three elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.figures.hull import Hull, composition_of, hull_of, systems_of, triangle_places
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.plotting.sources import labels_of, many, numbers_of
from aiida_pet.plotting.style import (
    GREY,
    HALO,
    SEQUENCE,
    Axes,
    Drawing,
    colours,
    label_of,
    legend,
    new_axes,
    new_row,
    quiet,
)
from aiida_pet.words import plural

COLUMNS = (
    "formula",
    "n_atoms",
    "energy",
    "formation_energy",
    "e_above_hull",
    "decomposition",
    "hull_status",
    "status",
)
"""What is read of a table."""
MOST_NAMES = 12
FARTHEST = 0.5
"""eV/atom above the hull up to which colours tell phases apart."""


def plot_hull(
    what: Any,
    system: Sequence[str] | None = None,
    ids: Sequence[str] = (),
    *,
    references: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Return axes with the convex hull of two or three elements.

    :param what: a launch with a hull, or relaxed crystals; several in a list are drawn into one picture, for two
        elements only.
    :param system: the elements; None for the system with the most rows.
    :param ids: ids of rows to label; rows on the hull are always labelled.
    :param references: see :func:`aiida_pet.figures.hull.hull_of`.
    :raises NotDrawnError: if the hull lacks an element.

    >>> columns = {"formula": ["Mo", "W", "MoW"], "n_atoms": [1, 1, 2], "energy": [-10.8, -12.9, -23.8]}
    >>> axes = plot_hull(pd.DataFrame(columns, index=["a", "b", "c"]), ["Mo", "W"])
    >>> axes.get_ylabel()
    'Formation energy (meV/atom)'
    """
    found: Any = draw_hull(what, system, ids, references=references, ax=ax).axes
    return found if isinstance(found, Axes) else found[0]


def draw_hull(
    what: Any,
    system: Sequence[str] | None = None,
    ids: Sequence[str] = (),
    *,
    references: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Drawing:
    """Draw what :func:`plot_hull` says."""
    things = many(what)
    labels = labels_of(things) if len(things) > 1 else [""]
    frames = [numbers_of(thing, COLUMNS) for thing in things]
    chosen = tuple(system or ())
    if not chosen:
        systems = systems_of(frames[0])
        if not systems:
            raise NotDrawnError("no row has two or three elements, so there is no hull to draw")
        chosen = systems[0]
    hulls = [hull_of(frame, chosen, references) for frame in frames]
    for row_id in ids:
        if not any((hull.ids == row_id).any() for hull in hulls):
            raise NotDrawnError(f"there is no row {row_id!r} in the system {'-'.join(chosen)}")
    if len(chosen) == 2:
        axes: Any = _binary(new_axes(ax), hulls, labels, ids)
    else:
        axes = [ax] if ax is not None and len(hulls) == 1 else new_row(len(hulls), 5.6 * len(hulls), 4.6)
        for one, hull, label in zip(axes, hulls, labels, strict=True):
            quiet(one)
            _ternary(one, hull, label, ids)
        axes = axes[0] if len(axes) == 1 else axes
    left_out = sum(hull.n_left_out for hull in hulls)
    verb = "is" if left_out == 1 else "are"
    remarks = (
        (f"{plural(left_out, 'row')} of the system without an energy {verb} left out",) if left_out else ()
    )
    title = f"Convex hull of {'-'.join(chosen)}, {plural(sum(len(hull.ids) for hull in hulls), 'phase')}"
    return Drawing(
        axes, title, {label or "hull": h.to_frame() for label, h in zip(labels, hulls, strict=True)}, remarks
    )


def _binary(ax: Axes, hulls: Sequence[Hull], labels: Sequence[str], ids: Sequence[str]) -> Axes:
    for hull, label, colour in zip(hulls, labels, colours(len(hulls)), strict=True):
        order = np.argsort(hull.vertex_fractions[:, 1])
        ax.plot(
            hull.vertex_fractions[order, 1],
            1000 * hull.vertex_energies[order],
            color=colour,
            linewidth=1.4,
            label=label,
            zorder=2,
        )
        x, y, stable = hull.fractions[:, 1], 1000 * hull.formation_energy, hull.is_on_hull
        ax.scatter(
            x[~stable],
            y[~stable],
            s=16,
            facecolors="none",
            edgecolors=colour,
            linewidths=0.8,
            alpha=0.7,
            zorder=3,
        )
        ax.scatter(x[stable], y[stable], s=34, color=colour, zorder=4)
    hull = hulls[0]
    named = _named(hull, ids)
    for row in named:
        below = hull.is_on_hull[row] and hull.formation_energy[row] < 0
        name = hull.ids[row] if hull.ids[row] in ids else shown_formula(hull.formulas[row])
        ax.annotate(
            name,
            (hull.fractions[row, 1], 1000 * hull.formation_energy[row]),
            fontsize=8,
            ha="center",
            va="top" if below else "bottom",
            xytext=(0, -6 if below else 5),
            textcoords="offset points",
            path_effects=HALO,
            zorder=5,
        )
    low = 1000 * min(float(one.vertex_energies.min()) for one in hulls)
    top = 1000 * max(float(np.quantile(one.formation_energy, 0.95)) for one in hulls)
    span = max(top - low, 1.0)
    ax.set_ylim(low - 0.12 * span, top + 0.1 * span)
    hidden = sum(int((1000 * one.formation_energy > top + 0.1 * span).sum()) for one in hulls)
    if hidden:
        ax.set_title(f"{plural(hidden, 'phase')} above", fontsize=8, color=GREY, loc="right")
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xlabel(f"Fraction of {hull.system[1]} in {hull.system[0]}-{hull.system[1]}")
    ax.set_ylabel(label_of("Formation energy", "meV/atom"))
    legend(ax, labels)
    return ax


def _ternary(ax: Axes, hull: Hull, label: str, ids: Sequence[str]) -> None:
    corners = triangle_places(np.eye(3))
    ax.plot(*np.vstack([corners, corners[:1]]).T, color="black", linewidth=1.0, zorder=2)
    places = triangle_places(hull.vertex_fractions)
    for facet in hull.facets:
        ax.plot(*places[[*facet, facet[0]]].T, color=GREY, linewidth=0.7, zorder=1)
    at, stable = triangle_places(hull.fractions), hull.is_on_hull
    most = min(FARTHEST, float(hull.e_above_hull[~stable].max(initial=1e-3)))
    order = np.argsort(-hull.e_above_hull)
    above = order[~stable[order]]
    marks = ax.scatter(
        at[above, 0],
        at[above, 1],
        s=26,
        c=1000 * hull.e_above_hull[above],
        cmap=SEQUENCE,
        vmin=0,
        vmax=1000 * most,
        linewidths=0.4,
        edgecolors="white",
        zorder=3,
    )
    ax.scatter(
        at[stable, 0], at[stable, 1], s=46, color=colours(2)[1], edgecolors="white", linewidths=0.6, zorder=4
    )
    for row in _named(hull, ids):
        if np.isclose(hull.fractions[row].max(), 1.0):
            continue
        name = hull.ids[row] if hull.ids[row] in ids else shown_formula(hull.formulas[row])
        ax.annotate(name, tuple(at[row]), fontsize=7.5, xytext=(5, 4), textcoords="offset points", zorder=5)
    for symbol, (x, y), shift in zip(hull.system, corners, ((-6, -6), (6, -6), (0, 6)), strict=True):
        ax.annotate(
            symbol,
            (x, y),
            fontsize=11,
            fontweight="bold",
            ha="center",
            va="bottom" if y > 0.5 else "top",
            xytext=shift,
            textcoords="offset points",
        )
    ax.set(aspect="equal", xlim=(-0.08, 1.08), ylim=(-0.1, 0.98))
    ax.set_axis_off()
    if label:
        ax.set_title(label, fontsize=9)
    bar = ax.figure.colorbar(
        marks, ax=ax, shrink=0.7, pad=0.02, extend="max" if most == FARTHEST else "neither"
    )
    bar.set_label(label_of("Energy above hull", "meV/atom"), fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _named(hull: Hull, ids: Sequence[str]) -> list[int]:
    """Return the rows whose names are written: those asked for, and the lowest on the hull of each composition."""
    asked = np.flatnonzero(np.isin(hull.ids, list(ids))).tolist()
    stable = [row for row in np.flatnonzero(hull.is_on_hull).tolist() if row not in asked]
    known: set[tuple[float, ...]] = set()
    found: list[int] = []
    for row in sorted(stable, key=lambda one: hull.formation_energy[one]):
        place = tuple(np.round(hull.fractions[row], 6).tolist())
        if place not in known:
            known.add(place)
            found.append(row)
    return [*asked, *found[:MOST_NAMES]]


def shown_formula(formula: str) -> str:
    """Return the smallest formula of the same composition, numbers as indices: ``Mo2W2`` -> ``MoW``."""
    amounts = composition_of(formula)
    divisor = math.gcd(*(int(amount) for amount in amounts.values())) or 1
    pieces = [
        f"{symbol}{amount / divisor:g}" if amount != divisor else symbol for symbol, amount in amounts.items()
    ]
    return "".join(pieces).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
