"""Equations of state, thermal expansion and thermal conductivity of rows, several laid over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aiida_pet.figures import conductivity, equation_of_state, expansion
from aiida_pet.figures.conductivity import heat_curves_of_row
from aiida_pet.figures.equation_of_state import volume_curve_of_row
from aiida_pet.figures.expansion import expansion_of_row
from aiida_pet.plotting.sources import Series, drawable, series_of
from aiida_pet.plotting.style import GREY, Axes, Drawing, colours, label_of, legend, new_axes, new_row

_MARKED = 30  # points of a curve that are still told apart


def plot_eos(what: Any, ids: str | Sequence[str] = (), *, ax: Axes | None = None) -> Axes:
    """Return axes with the energies of rows over their volume, and the equation of state through them.

    :param what: results of equations of state, or a screening with such a stage; several in a list are drawn into one
        picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param ax: axes to draw on; None for a new figure.
    :raises NotDrawnError: if there are none.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_eos(["eos, one model", "eos, another model"], "MoTa-0013")
    """
    found: Axes = draw_eos(what, ids, ax=ax).axes
    return found


def draw_eos(what: Any, ids: str | Sequence[str] = (), *, ax: Axes | None = None) -> Drawing:
    """Draw what :func:`plot_eos` says."""
    series, found, remarks = _found(what, ids, "eos_energies", equation_of_state.REMEDY, volume_curve_of_row)
    ax = new_axes(ax)
    for one, curve, colour in zip(series, found, colours(len(series)), strict=True):
        ax.plot(curve.curve_volumes, curve.curve_energies, color=colour, linewidth=1.2, label=one.label)
        ax.plot(curve.volumes, curve.energies, "o", color=colour, markersize=4)
        ax.axvline(curve.minimum, color=colour, linewidth=0.6, linestyle=(0, (4, 3)))
    ax.set_xlabel(label_of("Volume", "A^3"))
    ax.set_ylabel(label_of("Energy above the minimum", "eV"))
    if len(found) == 1:
        ax.set_title(f"bulk modulus {found[0].bulk_modulus:.4g} GPa", fontsize=9, color=GREY)
    legend(ax, [one.label for one in series])
    return _drawing(ax, "Equation of state", series, found, remarks)


def plot_expansion(what: Any, ids: str | Sequence[str] = ()) -> list[Axes]:
    """Return three axes over temperature: volume, thermal expansion and heat capacity at constant pressure of rows.

    :param what: quasi-harmonic results, or a screening with such a stage; several in a list are drawn into one picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :raises NotDrawnError: if there are none.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_expansion("expansion of alloys", "MoTa-0013")
        plotting.save(axes, "expansion.svg")
    """
    found: list[Axes] = draw_expansion(what, ids).axes
    return found


def draw_expansion(what: Any, ids: str | Sequence[str] = ()) -> Drawing:
    """Draw what :func:`plot_expansion` says."""
    series, found, remarks = _found(what, ids, "thermal_expansion", expansion.REMEDY, expansion_of_row)
    axes = new_row(3)
    panels = (
        ("volume", "Volume", "A^3"),
        ("thermal_expansion", "Thermal expansion of the volume", "1e-6/K"),
        ("heat_capacity", "Heat capacity C$_p$ per mole of atoms", "J/(K mol)"),
    )
    for ax, (name, words, unit) in zip(axes, panels, strict=True):
        for one, rows, colour in zip(series, found, colours(len(series)), strict=True):
            _line(ax, rows.temperatures, getattr(rows, name), colour, one.label)
        ax.set_xlabel(label_of("Temperature", "K"))
        ax.set_ylabel(label_of(words, unit), fontsize=8)
    legend(axes[0], [one.label for one in series])
    return _drawing(axes, "Thermal expansion", series, found, remarks)


def plot_conductivity(what: Any, ids: str | Sequence[str] = ()) -> list[Axes]:
    """Return three axes: conductivity of rows over temperature, and its contributions from modes up to a frequency or
    mean free path.

    :param what: results of conductivities, or a screening with such a stage; several in a list are drawn into one
        picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :raises NotDrawnError: if there are none.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_conductivity("conductivity of alloys", "MoTa-0013")
        plotting.save(axes, "conductivity.svg")
    """
    found: list[Axes] = draw_conductivity(what, ids).axes
    return found


def draw_conductivity(what: Any, ids: str | Sequence[str] = ()) -> Drawing:
    """Draw what :func:`plot_conductivity` says."""
    series, found, remarks = _found(what, ids, "kappa", conductivity.REMEDY, heat_curves_of_row)
    axes = new_row(3)
    for one, rows, colour in zip(series, found, colours(len(series)), strict=True):
        _line(axes[0], rows.temperatures, rows.kappa, colour, one.label)
        axes[1].plot(rows.frequencies, rows.by_frequency, color=colour, linewidth=1.3)
        axes[2].plot(rows.paths, rows.by_path, color=colour, linewidth=1.3)
    axes[2].set_xscale("log")
    shortest = [one.shortest_path for one in found if one.shortest_path > 0]
    if shortest:  # modes at Gamma have paths of 1e-13 A, and carry nothing
        axes[2].set_xlim(
            left=min(shortest), right=1.1 * max(float(one.paths.max(initial=0.0)) for one in found)
        )
    unit = "W/(m K)"
    words = (
        "Conductivity of the lattice",
        "Cumulative conductivity\nat 300 K",
        "Cumulative conductivity\nat 300 K",
    )
    along = (("Temperature", "K"), ("Frequency", "THz"), ("Mean free path", "A"))
    for ax, text, (name, of) in zip(axes, words, along, strict=True):
        ax.set_ylim(bottom=0)
        ax.set_xlabel(label_of(name, of))
        ax.set_ylabel(label_of(text, unit))
    legend(axes[0], [one.label for one in series])
    return _drawing(axes, "Thermal conductivity", series, found, remarks)


def _found[T](
    what: Any, ids: str | Sequence[str], column: str, remedy: str, make: Callable[[Any, str], T]
) -> tuple[list[Series], list[T], tuple[str, ...]]:
    return drawable(series_of(what, ids, [column], remedy), lambda one: make(one.source, one.id))


def _line(ax: Axes, at: Any, values: Any, colour: str, label: str) -> None:
    mark = "o" if len(np.atleast_1d(at)) < _MARKED else None
    ax.plot(at, values, color=colour, marker=mark, markersize=3, linewidth=1.3, label=label)


def _drawing(
    axes: Any, what: str, series: Sequence[Series], found: Sequence[Any], remarks: tuple[str, ...]
) -> Drawing:
    title = f"{what} of {', '.join(dict.fromkeys(one.id for one in series))}"
    frames = {one.label or one.id: curve.to_frame() for one, curve in zip(series, found, strict=True)}
    return Drawing(axes, title, frames, remarks)
