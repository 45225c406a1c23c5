"""Radial distributions, displacements and velocity correlations of rows of dynamics, laid over each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import pandas as pd
from aiida import orm

from aiida_pet.campaigns.errors import NoRowsError
from aiida_pet.campaigns.nodes import load
from aiida_pet.campaigns.results import rows
from aiida_pet.campaigns.trajectories import open_trajectories
from aiida_pet.figures.dynamics import mean_squared_displacement, radial_distribution, velocity_correlation
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.job.trajectory_files import Trajectories
from aiida_pet.plotting.sources import drawable, labels_of, many
from aiida_pet.plotting.style import GREY, Axes, Drawing, colours, label_of, legend, new_axes, new_row
from aiida_pet.words import shortened


def plot_rdf(
    what: Any, ids: str | Sequence[str] = (), *, r_max: float = 8.0, skip: float = 0.0, ax: Axes | None = None
) -> Axes:
    """Return axes with the radial distributions of rows of dynamics; for a single row, also for each pair of elements.

    :param what: a launch or job of dynamics; several in a list are drawn into one picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param r_max: largest distance, A.
    :param skip: time (ps) at the beginning of the trajectory that is left out.
    :raises NotDrawnError: if a row is no crystal, or no frame is left.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_rdf("liquid", "Mo", r_max=6.0, skip=2.0)
    """
    found: Axes = draw_rdf(what, ids, r_max=r_max, skip=skip, ax=ax).axes
    return found


def draw_rdf(
    what: Any, ids: str | Sequence[str] = (), *, r_max: float = 8.0, skip: float = 0.0, ax: Axes | None = None
) -> Drawing:
    """Draw what :func:`plot_rdf` says."""
    found, lacking = _of_rows(
        what, ids, lambda all_of, name: radial_distribution(all_of.parts(name), r_max=r_max, skip=skip)
    )
    ax = new_axes(ax)
    curves = [(one.distances, {"total": one.total, **_if_several(one.pairs)}) for _, one in found]
    _draw_curves(ax, [label for label, _ in found], curves)
    ax.axhline(1.0, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    ax.set_xlabel(label_of("Distance", "A"))
    ax.set_ylabel("g(r)")
    ax.set_ylim(bottom=0)
    frames = {label: one.to_frame() for label, one in found}
    remarks = [
        f"{label}: beyond {one.image_distance / 2:.3g} A, half of the distance of an atom to its own image, the radial "
        f"distribution shows the periodic cell too; from {one.image_distance:.3g} A on, an atom's own images are "
        "counted. A larger supercell avoids this"
        for label, one in found
        if r_max > one.image_distance / 2
    ]
    return Drawing(ax, _title("Radial distribution", found), frames, (*remarks, *lacking))


def plot_msd(what: Any, ids: str | Sequence[str] = (), *, skip: float = 0.0, ax: Axes | None = None) -> Axes:
    """Return axes with the mean squared displacements of rows over time; for a single row, also for each element.

    :param what: a launch or job of dynamics; several in a list are drawn into one picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param skip: time (ps) at the beginning of the trajectory that is left out.
    :raises NotDrawnError: if there are too few frames.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_msd(["1000 K", "2000 K"], "Mo", skip=2.0)
    """
    found: Axes = draw_msd(what, ids, skip=skip, ax=ax).axes
    return found


def draw_msd(
    what: Any, ids: str | Sequence[str] = (), *, skip: float = 0.0, ax: Axes | None = None
) -> Drawing:
    """Draw what :func:`plot_msd` says; the diffusivities are remarks."""
    found, lacking = _of_rows(
        what, ids, lambda all_of, name: mean_squared_displacement(all_of.read(name), skip=skip)
    )
    ax = new_axes(ax)
    curves = [(one.times, {"total": one.total, **_if_several(one.elements)}) for _, one in found]
    _draw_curves(ax, [label for label, _ in found], curves)
    ax.set_xlabel(label_of("Time", "ps"))
    ax.set_ylabel(label_of("Mean squared displacement", "A^2"))
    ax.set_ylim(bottom=0)
    remarks = []
    for label, one in found:
        told = ", ".join(
            f"{name} {value:.3g} cm^2/s"
            for name, value in {"total": one.diffusivities["total"], **_if_several(one.diffusivities)}.items()
        )
        remarks.append(f"{label}: diffusivity from the slope: {told}")
    frames = {label: one.to_frame() for label, one in found}
    return Drawing(ax, _title("Mean squared displacement", found), frames, (*remarks, *lacking))


def plot_vacf(what: Any, ids: str | Sequence[str] = (), *, skip: float = 0.0) -> list[Axes]:
    """Return two axes: the autocorrelation of the velocities of rows over time, and its spectrum.

    :param what: a launch or job of dynamics with ``velocities=true``; several in a list are drawn into one picture.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param skip: time (ps) at the beginning of the trajectory that is left out.
    :raises NotDrawnError: if there are no velocities, or too few frames.

    .. code-block:: python

        from aiida_pet import plotting

        correlation, spectrum = plotting.plot_vacf("liquid", "Mo")
    """
    found: list[Axes] = draw_vacf(what, ids, skip=skip).axes
    return found


def draw_vacf(what: Any, ids: str | Sequence[str] = (), *, skip: float = 0.0) -> Drawing:
    """Draw what :func:`plot_vacf` says."""
    found, lacking = _of_rows(
        what, ids, lambda all_of, name: velocity_correlation(all_of.read(name), skip=skip)
    )
    axes = new_row(2)
    curves = [(one.times, {"total": one.total, **_if_several(one.elements)}) for _, one in found]
    _draw_curves(axes[0], [label for label, _ in found], curves)
    axes[0].axhline(0.0, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    axes[0].set_xlabel(label_of("Time", "ps"))
    axes[0].set_ylabel("Velocity autocorrelation")
    for (label, one), colour in zip(found, colours(len(found)), strict=True):
        axes[1].plot(one.frequencies, one.spectrum, color=colour, linewidth=1.2, label=label)
    axes[1].set_xlabel(label_of("Frequency", "THz"))
    axes[1].set_ylabel(label_of("Spectrum", "1/THz"))
    axes[1].set_ylim(bottom=0)
    frames: dict[str, pd.DataFrame] = {}
    for label, one in found:
        frames |= {f"{label} correlation": one.to_frame(), f"{label} spectrum": one.spectrum_frame()}
    return Drawing(axes, _title("Velocity autocorrelation", found), frames, lacking)


def _of_rows[T](
    what: Any, ids: str | Sequence[str], make: Callable[[Trajectories, str], T]
) -> tuple[list[tuple[str, T]], tuple[str, ...]]:
    """Return label and figure of each row of each thing that can be drawn, and a remark on each other one."""
    things = [load(one, orm.ProcessNode) for one in many(what)]
    wanted = [ids] if isinstance(ids, str) else list(ids)
    labels = labels_of(things) if len(things) > 1 else [""]
    with ExitStack() as stack:
        wanted_rows = []
        for thing, label in zip(things, labels, strict=True):
            trajectories = stack.enter_context(open_trajectories(thing))
            if not wanted and len(trajectories.ids) != 1:
                raise NotDrawnError(
                    f"there are {len(trajectories.ids)} rows: name the rows to draw, such as "
                    f"{shortened(trajectories.ids[:3])}"
                )
            for name in wanted or trajectories.ids:
                wanted_rows.append(
                    (", ".join(part for part in (label, name) if part), thing, trajectories, name)
                )
        kept, made, lacking = drawable(wanted_rows, lambda row: _made(make, *row))
    return [(label, one) for (label, *_), one in zip(kept, made, strict=True)], lacking


def _made[T](
    make: Callable[[Trajectories, str], T], label: str, thing: Any, trajectories: Trajectories, name: str
) -> T:
    if name not in trajectories.ids:
        _check_row(thing, name)
    try:
        return make(trajectories, name)
    except NotDrawnError as error:
        raise NotDrawnError(f"{label}: {error}") from error


def _check_row(thing: Any, name: str) -> None:
    """Say why a row of ``thing`` has no frames, if there is such a row.

    :raises NotDrawnError: if there is.
    """
    try:
        found = rows(thing)
    except NoRowsError:
        return
    if name not in found.ids:
        return
    columns = [one for one in ("status", "message") if one in found.column_names]
    told = found.frame_at(np.array([found.place(name)]), columns).iloc[0].astype(str)
    raise NotDrawnError(": ".join([f"row {name!r} has no frames", *(text for text in told if text)]))


def _draw_curves(ax: Axes, labels: Sequence[str], curves: Sequence[tuple[Any, dict[str, Any]]]) -> None:
    """Draw the first curve of each row; of a single row all, which are its parts."""
    if len(curves) == 1:
        along, parts = curves[0]
        for (name, series), colour in zip(parts.items(), ["black", *colours(len(parts) - 1)], strict=True):
            ax.plot(along, series, color=colour, linewidth=1.2, label=name)
        legend(ax, list(parts))
        return
    for label, (along, parts), colour in zip(labels, curves, colours(len(labels)), strict=True):
        ax.plot(along, parts["total"], color=colour, linewidth=1.2, label=label)
    legend(ax, list(labels))


def _if_several(parts: dict[str, Any]) -> dict[str, Any]:
    """Return parts of a row without the total, nothing of a row that has a single one."""
    own = {name: value for name, value in parts.items() if name != "total"}
    return own if len(own) > 1 else {}


def _title(what: str, found: Sequence[tuple[str, Any]]) -> str:
    return f"{what} of {', '.join(dict.fromkeys(label for label, _ in found))}"
