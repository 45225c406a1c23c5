"""Whether a table may hold a row that fulfils a condition, as its attributes tell."""

from __future__ import annotations

import pandas as pd
import pytest

from aiida_pet.tables.filter import FilterError, filter_frame
from aiida_pet.tables.ranges import may_fulfil, read_condition


@pytest.mark.parametrize(
    ("where", "possible"),
    [
        ("x < 1", False),
        ("x <= 1", True),
        ("1 > x", False),
        ("x > 3", False),
        ("x >= 3 and y == 1", True),
        ("x == 0.5", False),
        ("x < 1 or y == 1", True),
        ("not x < 1", True),
        ("x < -1", False),
        ("s == a", True),
        ("s == b", False),
        ("'b' == s", False),
        ("s != a", True),
        ("s in [b, c]", True),
        ("flag", False),
        ("not flag", True),
        ("x < y", True),
    ],
)
def test_attributes_tell_what_no_row_can_fulfil(where: str, possible: bool) -> None:
    attributes = {"ranges": {"x": [1.0, 3.0]}, "counts": {"s": {"a": 2}, "flag": {"false": 2}}}
    assert may_fulfil(where, ["x", "y", "s", "flag"], attributes) is possible


def test_what_no_row_fulfils_is_told_of_tables_without_such_rows_only() -> None:
    frame = pd.DataFrame({"x": [1.0, 3.0], "s": ["a", "a"]}, index=pd.Index(["one", "two"], name="id"))
    attributes = {"ranges": {"x": [1.0, 3.0]}, "counts": {"s": {"a": 2}}}
    for sign in ("<", "<=", ">", ">=", "=="):
        for value in (0.5, 1, 2, 3, 3.5):
            where = f"x {sign} {value}"
            assert may_fulfil(where, ["x", "s"], attributes) or filter_frame(frame, where).empty


def test_formulas_are_left_for_the_last_step() -> None:
    condition = read_condition("formula == MoW and x < 1", ("formula", "x"))
    assert condition.columns == ("formula", "x")
    assert [" ".join(step.split()) for step in condition.steps()] == ["(x < 1)", "(formula == MoW)"]


def test_condition_on_another_column_is_refused() -> None:
    with pytest.raises(FilterError, match="no column 'y'"):
        read_condition("y < 1", ("x",))
