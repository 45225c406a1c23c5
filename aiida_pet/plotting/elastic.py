"""Young's modulus by direction: as a surface and in three planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from aiida_pet.figures.elastic import REMEDY, ElasticSurface, elastic_surface_of_row
from aiida_pet.plotting.sources import Series, drawable, series_of
from aiida_pet.plotting.style import GREY, HALO, SEQUENCE, Axes, Drawing, Figure, colours, label_of, legend

_STYLES = {"xy": "-", "xz": (0, (5, 2)), "yz": (0, (1, 1.5))}


def plot_elastic(what: Any, ids: str | Sequence[str] = (), *, ieee: bool = True) -> list[Axes]:
    """Return axes with Young's modulus by direction: for one row a surface and its sections, for several rows only
    sections.

    :param what: results of elastic constants, or a screening with such a stage; several in a list are drawn into one
        picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param ieee: in the setting of IEEE Std 176-1987; otherwise in the axes of the row's cell.
    :raises NotDrawnError: if there is no tensor, or a crystal is not mechanically stable.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_elastic("elastic of alloys", "MoTa-0013")
        plotting.save(axes, "elastic.svg")
    """
    found: list[Axes] = draw_elastic(what, ids, ieee=ieee).axes
    return found


def draw_elastic(what: Any, ids: str | Sequence[str] = (), *, ieee: bool = True) -> Drawing:
    """Draw what :func:`plot_elastic` says."""
    series = series_of(what, ids, ["elastic_tensor"], REMEDY)
    series, found, remarks = drawable(
        series, lambda one: elastic_surface_of_row(one.source, one.id, ieee=ieee)
    )
    axes = _single(found[0]) if len(found) == 1 else _several(series, found)
    title = f"Young's modulus of {', '.join(dict.fromkeys(one.id for one in series))} by direction, {found[0].axes}"
    frames = {one.label or one.id: surface.to_frame() for one, surface in zip(series, found, strict=True)}
    return Drawing(axes, title, frames, remarks)


def _single(surface: ElasticSurface) -> list[Axes]:
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    solid: Any = figure.add_subplot(1, 2, 1, projection="3d")
    points = surface.points()
    values = surface.youngs_modulus
    scale = Normalize(values.min(), max(values.max(), values.min() * 1.001))
    faces = colormaps[SEQUENCE](scale(values))
    solid.plot_surface(
        *np.moveaxis(points, -1, 0),
        facecolors=faces,
        rstride=1,
        cstride=1,
        linewidth=0,
        antialiased=False,
        shade=True,
        rasterized=True,
    )
    reach = 1.05 * float(np.abs(points).max())
    solid.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach), box_aspect=(1, 1, 1))
    for axis, name in zip((solid.xaxis, solid.yaxis, solid.zaxis), "xyz", strict=True):
        axis.set_tick_params(labelsize=7)
        axis.set_major_locator(MaxNLocator(4))
        axis.label.set_text(label_of(f"$E_{name}$", "GPa"))
        axis.label.set_size(8)
    bar = figure.colorbar(ScalarMappable(scale, SEQUENCE), ax=solid, shrink=0.6, pad=0.12)
    bar.set_label(label_of("Young's modulus", "GPa"), fontsize=9)
    bar.ax.tick_params(labelsize=8)
    flat = figure.add_subplot(1, 2, 2, projection="polar")
    for (name, section), colour in zip(surface.sections.items(), colours(3), strict=True):
        flat.plot(
            surface.angles,
            section,
            color=colour,
            linestyle=_STYLES[name],
            linewidth=1.4,
            label=f"{name} plane",
        )
    _polar(flat)
    flat.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(0.98, 1.08))
    lines = "   ".join(f"{name} {value[0]:.0f}" for name, value in surface.directions.items())
    flat.set_xlabel(f"{lines} GPa", fontsize=8, color=GREY)
    solid.set_title(surface.axes, fontsize=9, color=GREY)
    return [solid, flat]


def _several(series: Sequence[Series], found: Sequence[ElasticSurface]) -> list[Axes]:
    figure = Figure(figsize=(10.0, 3.9), layout="constrained")
    axes = list(figure.subplots(1, 3, subplot_kw={"projection": "polar"}))
    highest = max(float(section.max()) for surface in found for section in surface.sections.values())
    for ax, plane in zip(axes, _STYLES, strict=True):
        for one, surface, colour in zip(series, found, colours(len(series)), strict=True):
            ax.plot(surface.angles, surface.sections[plane], color=colour, linewidth=1.4, label=one.label)
        _polar(ax)
        ax.set_rmax(1.05 * highest)
        ax.set_title(f"{plane} plane", fontsize=9)
    legend(axes[0], [one.label for one in series], loc="upper left", bbox_to_anchor=(-0.25, -0.02))
    return axes


def _polar(ax: Any) -> None:
    ax.set_rmin(0)
    ax.tick_params(labelsize=8)
    ax.set_rlabel_position(22)
    for label in ax.get_yticklabels():
        label.set_path_effects(HALO)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    ax.grid(linewidth=0.4)
    ax.spines["polar"].set_linewidth(0.5)
    ax.set_title(label_of("Young's modulus", "GPa"), fontsize=9)
