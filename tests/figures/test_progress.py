"""Rows over time and where the time went, from four made-up jobs."""

from __future__ import annotations

import pandas as pd
import pytest

from aiida_pet.figures.progress import SPENT, progress_of
from aiida_pet.figures.source import NotDrawnError


def jobs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "stage": ["relax", "relax", "relax", "phonons"],
            "lane": ["1", "2", "1", "1"],
            "begun": [1000.0, 1000.0, 1020.0, 1050.0],
            "ended": [1015.0, 1030.0, 1040.0, 1090.0],
            "rows_done": [10, 30, 5, 40],
            "engine_s": [12.0, 25.0, 15.0, 0.0],
            "compute_s": [8.0, 20.0, 10.0, 0.0],
            "cached": [False, False, False, True],
        }
    )


def test_rows_of_each_lane_add_up_over_time() -> None:
    found = progress_of(jobs())
    assert [(lane.stage, lane.lane) for lane in found.lanes] == [
        ("relax", "1"),
        ("relax", "2"),
        ("phonons", "1"),
    ]
    assert found.lanes[0].times.tolist() == [0.0, 15.0, 20.0, 40.0]
    assert found.lanes[0].rows.tolist() == [0.0, 10.0, 10.0, 15.0]
    assert found.to_frame()["rows"].max() == 40


def test_time_is_computing_starting_and_waiting_and_that_of_the_cache_is_none() -> None:
    found = progress_of(jobs())
    assert found.spent == {"relax": dict(zip(SPENT, (38.0, 14.0, 13.0), strict=True))}
    assert found.spent_frame()["time"].sum() == pytest.approx(15 + 30 + 20)


def test_launch_without_jobs_is_said() -> None:
    with pytest.raises(NotDrawnError, match="no job has begun"):
        progress_of(jobs()[:0])
    with pytest.raises(NotDrawnError, match=r"timeline\.job_times"):
        progress_of(pd.DataFrame({"lane": []}))
