"""How rows are shared out over lanes and cut into jobs. No AiiDA in here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Bookkeeping of a job (upload, queue, import of torch, retrieval) is about 10 s: with this many rows it is 2 ms each,
# and a job that is lost costs no more than minutes on a GPU.
MAX_JOB_ROWS = 5000
# The first job of a lane whose jobs are to take a certain time: enough to fill the machine, and soon done.
PILOT_ROWS = 64
# A short job says little about the rate: the next has at most so many times its rows.
GROWTH = 20
# Of the walltime; what is left is for the queue's clock, which starts before the engine, and for rates that change.
WALLTIME_SHARE = 0.8
# Of its start, import of torch and all; a job that is to take less would hardly compute at all.
MIN_STARTS = 3


def share_out(sizes: NDArray[np.int64], lanes: int) -> list[NDArray[np.int64]]:
    """Return the rows of each lane: equal in number and cost, the largest crystals first in each.

    Rows are sorted by size and dealt out to and fro, which evens out any cost that grows with size, whatever its law;
    within a lane similar sizes stand together, so that a batch wastes little on its largest member.

    :param sizes: (N,) atoms of each row.
    :param lanes: how many lanes; there are never more than rows.
    :return: for each lane, the indices of its rows.
    :raises ValueError: if there are no rows or no lanes.
    """
    if not len(sizes) or lanes < 1:
        raise ValueError(f"cannot share out {len(sizes)} rows over {lanes} lanes: both must be at least 1")
    lanes = min(lanes, len(sizes))
    order = np.argsort(-np.asarray(sizes), kind="stable")
    turn = np.arange(len(order)) % (2 * lanes)
    lane_of = np.where(turn < lanes, turn, 2 * lanes - 1 - turn)
    return [order[lane_of == lane] for lane in range(lanes)]


def default_job_size(n_rows: int, lanes: int) -> int:
    """Return the rows of a job: few large jobs, all of about the same size."""
    share = math.ceil(n_rows / min(lanes, n_rows))
    return math.ceil(share / math.ceil(share / MAX_JOB_ROWS))


def pace_of(summary: Mapping[str, Any], n_rows: int, n_atoms: int) -> dict[str, float] | None:
    """Return what a job says about the next: ``s_per_atom``, ``start_s`` and its ``rows``; None if it says nothing.

    :param summary: summary of the job: ``engine_s`` and ``compute_s``.
    :param n_rows: that it finished.
    :param n_atoms: number of atoms of these.
    """
    compute = summary.get("compute_s") or 0.0
    if not (n_rows and n_atoms and compute > 0):
        return None
    start = max(0.0, (summary.get("engine_s") or compute) - compute)
    return {"s_per_atom": compute / n_atoms, "start_s": start, "rows": float(n_rows)}


def rows_for(
    duration: float, sizes: NDArray[np.int64], pace: Mapping[str, float] | None, walltime: float | None = None
) -> int:
    """Return how many of the rows that wait make a job of about ``duration`` seconds, at least one.

    Time is taken as proportional to the number of atoms, at the rate of the job before. A job takes at least some times
    as long as its start, where the walltime allows, whatever ``duration`` says.

    :param sizes: (N,) atoms of the rows that wait, in order.
    :param pace: of the job before, as :func:`pace_of` returns it; None for the first job of a lane.
    :param walltime: walltime of a job, seconds; None if there is no limit.
    """
    if pace is None:
        return max(1, min(PILOT_ROWS, len(sizes)))
    duration = max(duration, MIN_STARTS * pace["start_s"])
    if walltime is not None:
        duration = min(duration, WALLTIME_SHARE * walltime)
    seconds = np.cumsum(sizes) * pace["s_per_atom"]
    fitting = int(np.searchsorted(seconds, duration - pace["start_s"], side="right"))
    return max(1, min(fitting, int(GROWTH * pace["rows"])))
