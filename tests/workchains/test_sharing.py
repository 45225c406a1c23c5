"""How rows are shared out over lanes."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.workchains.sharing import MAX_JOB_ROWS, default_job_size, share_out


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
