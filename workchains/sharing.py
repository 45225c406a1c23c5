"""How rows are shared out over lanes and cut into jobs. No AiiDA in here."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Bookkeeping of a job (upload, queue, import of torch, retrieval) is about 10 s: with this many rows it is 2 ms each,
# and a job that is lost costs no more than minutes on a GPU.
MAX_JOB_ROWS = 5000


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
