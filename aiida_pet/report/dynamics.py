"""Figures of molecular dynamics: which rows drift most; path, radial distribution and displacements of a row."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.campaigns.trajectories import trajectories_of
from aiida_pet.data.trajectories import opened
from aiida_pet.figures import NotDrawnError, mean_squared_displacement, radial_distribution
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.job.trajectory_files import Frames, Trajectories
from aiida_pet.report.figure import Figure, Kind, columns_of, panels_over
from aiida_pet.report.source import Source
from aiida_pet.words import plural

logger = logging.getLogger(__name__)

MOST_ROWS = 24
"""Rows in the table of drifts."""
MOST_BYTES = 500_000_000
"""Of trajectories that are read at once; curves of larger ones are left to `aiida-pet plot`."""
MOST_FRAMES = 500
"""Of a row, evenly spaced: more points than that a curve on a page does not show."""
MOST_ATOMS = 20_000
"""Of all frames of a row whose neighbours are counted for its radial distribution."""
R_MAX, BINS = 8.0, 160  # A
DIGITS = 5
_COLUMNS = {
    "mean_temperature": "temperature (K)",
    "error_temperature": "its error (K)",
    "mean_pressure": "pressure (GPa)",
    "md_time": "time (ps)",
    "status": "status",
}


def drift_figures(source: Source) -> list[Figure]:
    """Return a table of temperature, energy and drift of the rows that drift most."""
    return drift_table(source.frame)


def drift_table(frame: pd.DataFrame) -> list[Figure]:
    """Return the table of a data frame of rows; none of rows that are no dynamics."""
    if "drift" not in frame.columns or not frame["drift"].notna().any():
        return []
    order = frame["drift"].abs().sort_values(ascending=False, kind="stable", na_position="last").index
    shown = frame.loc[order[:MOST_ROWS]]
    columns: dict[str, Any] = {"row": shown.index.astype(str), "drift (eV/atom/ps)": shown["drift"]}
    if {"mean_potential_energy", "n_atoms"} <= set(shown.columns):
        columns["energy (eV/atom)"] = shown["mean_potential_energy"] / shown["n_atoms"]
    columns |= {title: shown[name] for name, title in _COLUMNS.items() if name in shown.columns}
    left_out = len(frame) - len(shown)
    return [
        Figure(
            name="drifts",
            kind=Kind.TABLE,
            title="Temperature, energy and drift",
            alt=f"Table of {plural(len(shown), 'row')} with mean temperature, potential energy and drift, the largest "
            "drift first",
            columns=columns_of(pd.DataFrame(columns), DIGITS),
            caption="means over production, largest drift first"
            + (f"; {plural(left_out, 'row')} with smaller drifts left out." if left_out else "."),
            wide=True,
        )
    ]


@contextmanager
def trajectories_for_page(source: Source) -> Iterator[Trajectories | None]:
    """Open the trajectories of a launch; None if there are none, or more than are read for a page."""
    nodes = trajectories_of(source.node)
    size = sum(node.base.attributes.get("n_bytes", 0) for node in nodes)
    if size > MOST_BYTES:
        logger.warning(
            "the trajectories are too large for a page (%.0f MB), so the page has no curves of them; `aiida-pet plot` "
            "draws them",
            size / 1e6,
        )
        nodes = []
    if not nodes:
        yield None
        return
    with opened(nodes) as found:
        yield found


def steps_before(source: Source) -> int:
    """Return the steps before production of a launch of dynamics."""
    if "parameters" not in source.node.inputs:
        return 0
    parameters = parse_parameters(Task.MD, source.node.inputs.parameters.get_dict())
    return int(getattr(parameters, "steps_before", 0))


def path_figures(trajectories: Trajectories, row_id: str, before: int = 0) -> list[Figure]:
    """Return temperature and energy along the path of a row, its radial distribution and its displacements.

    :param before: steps that are no production: the first figure shows them, the others leave them out.
    :raises NotDrawnError: if the row has fewer than two frames.
    """
    n_frames = trajectories.n_frames(row_id)
    if n_frames < 2:
        raise NotDrawnError(f"{row_id} has {plural(n_frames, 'frame')}")
    frames = _thinned(trajectories, row_id, MOST_FRAMES)
    production = frames.take(slice(int(np.searchsorted(frames.series["steps"], before)), None))
    figures = [_path(frames, row_id, before)]
    for make in (_radial, _displacement):
        try:
            figures.append(make(production, row_id))
        except NotDrawnError as error:
            logger.debug("%s: %s", row_id, error)
    return figures


def _thinned(trajectories: Trajectories, row_id: str, most: int) -> Frames:
    """Return frames of the row, evenly spaced and at most ``most``; no more than a segment is read at once."""
    every = -(-trajectories.n_frames(row_id) // most)
    parts, first = [], 0
    for part in trajectories.parts(row_id):
        parts.append(part.take(slice(-first % every, None, every)))
        first += len(part)
    return Frames.concatenate(parts)


def _path(frames: Frames, row_id: str, before: int) -> Figure:
    series = frames.series
    table = pd.DataFrame(
        {
            "time": series["times"] / 1000.0,
            "temperature": series["temperatures"],
            "energy": series["energies"] / len(frames.numbers),
        }
    )
    panels = [("T (K)", ["temperature"]), ("E (eV/atom)", ["energy"])]
    if np.isfinite(series["pressures"]).any():
        table["pressure"] = series["pressures"]
        panels.append(("P (GPa)", ["pressure"]))
    begins = series["times"][series["steps"] >= before]
    told = (
        f"production from {begins[0] / 1000.0:.4g} ps on" if before and len(begins) else "all of production"
    )
    return Figure(
        name=f"path-{row_id}",
        kind=Kind.LINES,
        title="Temperature and energy",
        alt=f"Temperature, potential energy and pressure of {row_id} over {table['time'].iloc[-1]:.4g} ps",
        columns=columns_of(table, DIGITS),
        options=panels_over("time", "time (ps)", panels),
        caption=f"of {plural(len(frames), 'frame')}; {told}.",
    )


def _curves(table: pd.DataFrame, over: str) -> list[str]:
    """Return the names of the columns that are curves over the column ``over``."""
    return [str(name) for name in table.columns if name != over]


def _radial(frames: Frames, row_id: str) -> Figure:
    every = max(1, -(-len(frames) * len(frames.numbers) // MOST_ATOMS))
    found = radial_distribution([frames.take(slice(None, None, every))], r_max=R_MAX, bins=BINS)
    table = found.to_frame()
    curves = _curves(table, "distance")
    return Figure(
        name=f"rdf-{row_id}",
        kind=Kind.LINES,
        title="Radial distribution",
        alt=f"Radial distribution of {row_id} up to {R_MAX:g} A, highest at "
        f"{found.distances[int(np.argmax(found.total))]:.3g} A",
        columns=columns_of(table, DIGITS),
        options=panels_over("distance", "distance (A)", [("g(r)", curves)]),
        caption=f"mean of {plural(found.n_frames, 'frame')} of production.",
    )


def _displacement(frames: Frames, row_id: str) -> Figure:
    found = mean_squared_displacement(frames)
    table = found.to_frame()
    curves = _curves(table, "time")
    return Figure(
        name=f"msd-{row_id}",
        kind=Kind.LINES,
        title="Mean squared displacement",
        alt=f"Mean squared displacement of {row_id} for times up to {found.times[-1]:.4g} ps",
        columns=columns_of(table, DIGITS),
        options=panels_over("time", "time (ps)", [("A^2", curves)]),
        caption=f"in production; diffusivity by the slope {found.diffusivities['total']:.3g} cm^2/s.",
    )
