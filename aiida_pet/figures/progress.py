"""Rows over time per lane, and where the time of a launch went, from the records of its jobs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiida_pet.figures.source import NotDrawnError, framed, missing_columns
from aiida_pet.tables.arrays import Floats

REMEDY = "`aiida_pet.campaigns.timeline.job_times` makes such a data frame from a launch"
SPENT = ("computing", "starting the engine", "waiting: queue and AiiDA")
"""Where the time of jobs goes."""


@dataclass(frozen=True)
class LaneCurve:
    """Rows of a lane over time.

    :ivar lane: its number or name.
    :ivar stage: stage of the screening; empty for what is none.
    :ivar times: (K,) s since the first job of the launch began.
    :ivar rows: (K,) rows done by then, straight lines between.
    """

    lane: str
    stage: str
    times: Floats
    rows: Floats


@dataclass(frozen=True)
class Progress:
    """How a launch went on.

    :ivar lanes: one entry for each lane, in the order of their first jobs.
    :ivar spent: stage -> :data:`SPENT` -> seconds, summed over jobs; jobs from the cache count 0.
    """

    lanes: tuple[LaneCurve, ...]
    spent: dict[str, dict[str, float]]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per point of the curves: ``stage``, ``lane``, ``time``, ``rows``."""
        parts = [
            pd.DataFrame({"stage": lane.stage, "lane": lane.lane, "time": lane.times, "rows": lane.rows})
            for lane in self.lanes
        ]
        frame = pd.concat(parts, ignore_index=True)
        frame.attrs["units"] = {"time": "s"}
        return frame

    def spent_frame(self) -> pd.DataFrame:
        """Return a row per stage and kind: ``stage``, ``what``, ``time``."""
        records = [(stage, what, time) for stage, kinds in self.spent.items() for what, time in kinds.items()]
        columns: dict[str, object] = {
            name: [record[i] for record in records] for i, name in enumerate(("stage", "what", "time"))
        }
        return framed(columns, {"time": "s"})


def progress_of(jobs: pd.DataFrame) -> Progress:
    """Return how a launch went on.

    :param jobs: a row per job: ``lane``, ``stage``, ``begun`` and ``ended`` (Unix s), ``rows_done``, ``engine_s``,
        ``compute_s``, and ``cached`` where some are from the cache.
    :raises NotDrawnError: if there are no jobs, or columns are missing.

    >>> jobs = {"lane": [0, 1], "stage": "relax", "begun": [0.0, 1.0], "ended": [60.0, 70.0], "rows_done": 32}
    >>> found = progress_of(pd.DataFrame(jobs | {"engine_s": 50.0, "compute_s": 20.0}))
    >>> found.spent
    {'relax': {'computing': 40.0, 'starting the engine': 60.0, 'waiting: queue and AiiDA': 29.0}}
    """
    names = ("lane", "stage", "begun", "ended", "rows_done", "engine_s", "compute_s")
    missing_columns(jobs, names, "progress over time", REMEDY)
    if jobs.empty:
        raise NotDrawnError("no job has begun yet: there is no progress to draw")
    jobs = jobs.sort_values("begun", kind="stable")
    start = float(jobs["begun"].min())
    lanes = []
    for (stage, lane), part in jobs.groupby(["stage", "lane"], sort=False):
        done = np.cumsum(part["rows_done"].to_numpy(np.float64))
        times = part[["begun", "ended"]].to_numpy(np.float64).ravel() - start
        rows = np.column_stack([done - part["rows_done"].to_numpy(np.float64), done]).ravel()
        lanes.append(LaneCurve(str(lane), str(stage), np.maximum.accumulate(times), rows))
    return Progress(tuple(lanes), _spent(jobs))


def _spent(jobs: pd.DataFrame) -> dict[str, dict[str, float]]:
    own = jobs[~jobs["cached"].astype(bool)] if "cached" in jobs.columns else jobs
    found = {}
    for stage, part in own.groupby("stage", sort=False):
        wall, engine, compute = (
            float(one)
            for one in (
                (part["ended"] - part["begun"]).sum(),
                part["engine_s"].sum(),
                part["compute_s"].sum(),
            )
        )
        kinds = (compute, max(0.0, engine - compute), max(0.0, wall - engine))
        found[str(stage)] = dict(zip(SPENT, kinds, strict=True))
    return found
