"""How rows are shared out over lanes."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.workchains.sharing import (
    GROWTH,
    MAX_JOB_ROWS,
    PILOT_ROWS,
    default_job_size,
    pace_of,
    rows_for,
    share_out,
)


def test_every_row_is_in_one_share() -> None:
    sizes = np.random.default_rng(0).integers(1, 200, 1001)
    shares = share_out(sizes, 4)
    assert sorted(np.concatenate(shares).tolist()) == list(range(1001))


@pytest.mark.parametrize("law", [1, 2])
def test_shares_cost_the_same_whatever_the_law_of_cost(law: int) -> None:
    sizes = np.random.default_rng(1).integers(1, 200, 4000)
    costs = [float((sizes[share].astype(float) ** law).sum()) for share in share_out(sizes, 8)]
    assert max(costs) / min(costs) < 1.001  # 500 rows a lane, dealt to and fro: equal but for the last deal


def test_shares_begin_with_the_largest() -> None:
    sizes = np.array([3, 50, 7, 20])
    assert [share.tolist() for share in share_out(sizes, 1)] == [[1, 3, 2, 0]]


def test_more_lanes_than_rows_gives_one_row_each() -> None:
    assert [len(share) for share in share_out(np.array([2, 2, 2]), 8)] == [1, 1, 1]


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot share out 0 rows over 2 lanes: both must be at least 1"):
        share_out(np.array([], dtype=np.int64), 2)


@pytest.mark.parametrize(
    ("n_rows", "lanes", "expected"),
    [
        (10, 1, 10),
        (10, 3, 4),
        (3, 8, 1),
        (MAX_JOB_ROWS, 1, MAX_JOB_ROWS),
        (MAX_JOB_ROWS + 2, 1, MAX_JOB_ROWS // 2 + 1),
    ],
)
def test_jobs_are_few_and_of_one_size(n_rows: int, lanes: int, expected: int) -> None:
    assert default_job_size(n_rows, lanes) == expected


def test_pace_of_a_job_is_its_computing_time_per_atom() -> None:
    pace = pace_of({"engine_s": 30.0, "compute_s": 20.0}, n_rows=50, n_atoms=200)
    assert pace == {"s_per_atom": 0.1, "start_s": 10.0, "rows": 50.0}
    assert pace_of({"engine_s": 30.0, "compute_s": 20.0}, 0, 0) is None
    assert pace_of({"engine_s": 5.0}, 10, 10) is None


def test_the_first_job_is_a_pilot() -> None:
    assert rows_for(1800, np.full(1000, 4), None) == PILOT_ROWS
    assert rows_for(1800, np.full(3, 4), None) == 3


def test_a_job_has_as_many_rows_as_its_duration_allows() -> None:
    pace = {"s_per_atom": 0.1, "start_s": 10.0, "rows": 64.0}
    # 100 s less the start are 900 atoms
    assert rows_for(100, np.full(1000, 4), pace) == 225
    assert rows_for(100, np.array([500, 300, 200, 1]), pace) == 2
    assert rows_for(100, np.full(1000, 4), pace, walltime=60) == 95  # 80 % of it
    assert rows_for(100, np.full(1000, 4), pace, walltime=3600) == 225
    # a start of 10 s is worth 20 s of computing, unless the walltime forbids
    assert rows_for(5, np.full(1000, 4), pace) == 50
    assert rows_for(5, np.full(1000, 4), pace, walltime=25) == 25
    # never none, however slow, and no leap from a job that was too short to tell
    assert rows_for(5, np.full(1000, 4), pace, walltime=5) == 1
    assert rows_for(5, np.full(1000, 4), {**pace, "start_s": 0.0, "s_per_atom": 10.0}) == 1
    assert rows_for(1e6, np.full(100_000, 4), pace) == GROWTH * 64
