from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiida_pet.data.filter import FilterError, check_condition, conjuncts, filter_frame


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "status": ["converged", "max_steps", "left", "converged"],
            "energy": [-1.0, -2.0, np.nan, -3.5],
            "n_atoms": [1, 2, 3, 4],
            "kept": [True, False, False, True],
        },
        index=pd.Index(["a", "wbm-1-2", "c", "d"], name="id"),
    )


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("status != converged", ["wbm-1-2", "c"]),
        ("status == 'converged'", ["a", "d"]),
        ('status == "converged" and energy < -2', ["d"]),
        ("status == converged & energy < -2", ["d"]),
        ("(status == left) | (energy > -1.5)", ["a", "c"]),
        ("status in [left, max_steps]", ["wbm-1-2", "c"]),
        ("status not in ('left', max_steps)", ["a", "d"]),
        ("converged == status", ["a", "d"]),
        ("kept", ["a", "d"]),
        ("not kept", ["wbm-1-2", "c"]),
        ("~kept", ["wbm-1-2", "c"]),
        ("kept == True", ["a", "d"]),
        ("energy / n_atoms < -0.9", ["a", "wbm-1-2"]),
        ("-2.5 < energy <= -1", ["a", "wbm-1-2"]),
        ("energy != energy", ["c"]),
        ("id == 'wbm-1-2'", ["wbm-1-2"]),
        ("id in [a, d]", ["a", "d"]),
        ("n_atoms > 2 and not kept", ["c"]),
        ("energy > 100", []),
    ],
)
def test_condition_chooses_rows(frame: pd.DataFrame, where: str, expected: list[str]) -> None:
    assert filter_frame(frame, where).index.tolist() == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("enrgy < 0", r"no column 'enrgy' .*did you mean energy\?.*id, status, energy, n_atoms, kept"),
        ("energy < low", "no column 'low'"),
        ("@x > 1", "cannot read"),
        ("energy.abs() > 1", "call"),
        ("__import__('os').system('true') == 0", "call"),
        ("status.__class__ == 1", "attribute"),
        ("[x for x in status]", "listcomp"),
        ("(lambda: 1)", "lambda"),
        ("energy[0] > 1", "subscript"),
        ("9 ** 9 ** 9 > energy", "pow"),
        ("status = converged", "equality is =="),
        ("id == wbm-1-2", "need quotes|no column"),
        ("energy <", "cannot read"),
        ("", "cannot read"),
        ("energy", "is no condition"),
        ("1 == 1", "is no condition"),
        ("status > 3", "cannot apply"),
        ("(" * 300 + "kept" + ")" * 300, "cannot read"),
    ],
)
def test_what_is_not_understood_is_refused(frame: pd.DataFrame, where: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        filter_frame(frame, where)


def test_frame_itself_is_not_changed(frame: pd.DataFrame) -> None:
    before = frame.copy()
    part = filter_frame(frame, "energy < -1")
    part["energy"] = 0.0
    pd.testing.assert_frame_equal(frame, before)


def test_a_condition_is_checked_without_values() -> None:
    columns = ["status", "energy", "n_atoms"]
    check_condition("status == converged and energy < -1", columns)
    check_condition("status in (converged, 'max_steps') or not n_atoms > 2", columns)
    with pytest.raises(FilterError, match=r"no column 'enrgy' .*did you mean energy.*columns are status"):
        check_condition("enrgy < 1", columns)
    with pytest.raises(FilterError):
        check_condition("energy <", columns)
    with pytest.raises(FilterError, match="no column 'converged'"):
        check_condition("converged", columns)


def test_parts_of_a_condition_are_those_joined_by_and() -> None:
    frame = pd.DataFrame({"a": [1.0], "b": [2.0], "status": ["x"]})
    assert conjuncts("a < 1 and (b > 2 or a == 3) and status == x", frame) == [
        ("a < 1", ["a"]),
        ("b > 2 or a == 3", ["b", "a"]),
        ("status == x", ["status"]),
    ]
    assert conjuncts("a < 1 or b > 2", frame) == [("a < 1 or b > 2", ["a", "b"])]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("kept", ["a"]),
        ("not kept", ["b"]),
        ("kept == False", ["b"]),
        ("kept != True", ["b"]),
        ("kept == True or n_atoms == 3", ["a", "c"]),
    ],
)
def test_a_flag_that_is_missing_is_neither_true_nor_false(where: str, expected: list[str]) -> None:
    flags = pd.array([True, False, None], dtype="boolean")
    frame = pd.DataFrame({"kept": flags, "n_atoms": [1, 2, 3]}, index=pd.Index(["a", "b", "c"], name="id"))
    assert list(filter_frame(frame, where).index) == expected
