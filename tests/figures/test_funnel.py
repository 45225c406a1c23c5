"""The funnel of a screening's table and of a single task, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from aiida_pet.figures.funnel import WENT_ON, funnel_of, kind_of_reason
from aiida_pet.figures.source import NotDrawnError


def screened() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "stage": ["relax", "hull", "hull", "done", "done", "hull"],
            "reason": [
                "unsupported_element: no Si",
                "not e_above_hull <= 0.1 (e_above_hull = 0.13)",
                "not e_above_hull <= 0.1 (e_above_hull = 0.27)",
                "",
                "",
                "no_reference: no reference for Pu",
            ],
        },
        index=list("abcdef"),
    )


def test_rows_and_reasons_of_each_stage() -> None:
    funnel = funnel_of(screened())
    assert [(s.name, s.rows_in, s.rows_out) for s in funnel.stages] == [("relax", 6, 5), ("hull", 5, 2)]
    assert funnel.stages[1].reasons == {"not e_above_hull <= 0.1": 2, "no_reference": 1}


def test_planned_stage_that_stops_nobody_is_seen_only_if_it_is_named() -> None:
    names = [stage.name for stage in funnel_of(screened(), ["relax", "hull", "phonons"]).stages]
    assert names == ["relax", "hull", "phonons"]
    assert funnel_of(screened(), ["relax", "hull", "phonons"]).stages[2].rows_in == 2


def test_single_task_is_a_funnel_of_one_stage() -> None:
    frame = pd.DataFrame({"status": ["converged", "left", "left", "max_steps"]})
    (stage,) = funnel_of(frame, ["static"]).stages
    assert (stage.name, stage.rows_in, stage.rows_out) == ("static", 4, 1)
    assert stage.reasons == {"left": 2, "max_steps": 1}


def test_rows_of_the_csv_sum_up_to_those_that_came_in() -> None:
    frame = funnel_of(screened()).to_frame()
    assert (frame.groupby("stage")["rows"].sum() == frame.groupby("stage")["rows_in"].first()).all()
    assert frame.loc[frame["outcome"] == WENT_ON, "rows"].tolist() == [5, 2]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("not a < 1 (a = 2); not b == 'x' (b = y)", "not a < 1; not b == 'x'"),
        ("not (a < 1 or b < 2) (a = 3, b = 4)", "not (a < 1 or b < 2)"),
        ("not a < 1 (a is missing)", "not a < 1 (a is missing)"),
        ("max_steps", "max_steps"),
        ("not reached: stage hull failed (process <5>)", "not reached: stage hull failed (process <5>)"),
    ],
)
def test_reasons_that_differ_in_a_value_are_one(reason: str, kind: str) -> None:
    assert kind_of_reason(reason) == kind


def test_table_without_stage_and_status_is_no_funnel() -> None:
    with pytest.raises(NotDrawnError, match=r"the column stage \(from a screening\) or the column status"):
        funnel_of(pd.DataFrame({"energy": [1.0]}))
