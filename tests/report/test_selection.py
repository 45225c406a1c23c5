"""Which rows a page holds: extremes, the best, some of each ending, a sample that stays the same."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aiida_pet.report.selection import best_of, select
from aiida_pet.tables.frame import frame_of
from benchmarks.report import made_up_rows


def test_a_small_table_is_held_whole() -> None:
    frame = frame_of(made_up_rows(50))
    found = select(frame, 50, 5)
    assert found.positions.tolist() == list(range(50))
    assert found.n_left_out == 0


def test_of_a_large_one_extremes_best_and_endings_are_there() -> None:
    frame = frame_of(made_up_rows(20_000))
    found = select(frame, 1_000, 7, ids=("made-up-77", "not there"))
    held = frame.iloc[found.positions]
    assert len(found.positions) == len(set(found.positions.tolist())) == 1_000
    for name in ("e_above_hull", "fmax", "energy", "volume"):
        assert held[name].min() == frame[name].min()
        assert held[name].max() == frame[name].max()
    assert set(held["status"]) == set(frame["status"])
    assert found.best[0] == 77
    good = frame[frame["status"] == "converged"]["e_above_hull"]
    assert frame.index[found.best[1:]].tolist() == good.nsmallest(7).index.tolist()
    assert np.isin(found.best, found.positions).all()
    assert select(frame, 1_000, 7, ids=("made-up-77",)).positions.tolist() == found.positions.tolist()


def test_best_are_rows_with_an_answer_that_came_through() -> None:
    frame = pd.DataFrame(
        {
            "status": ["converged", "max_steps", "converged", "converged"],
            "e_above_hull": [0.2, 0.0, 0.1, np.nan],
        },
        index=list("abcd"),
    )
    assert best_of(frame).tolist() == [2, 0, 3]
    assert best_of(frame, "-e_above_hull").tolist() == [0, 2, 3]
    assert best_of(frame.assign(passed=[True, False, False, True])).tolist() == [0, 3, 2]
