from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiida_pet.tables.condition_values import Kind
from aiida_pet.tables.filter import (
    FilterError,
    check_condition,
    columns_in,
    conjuncts,
    filter_frame,
    no_such_column,
)


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
        ("id == wbm-1-2", "needs quotes|no column"),
        ("energy <", "cannot read"),
        ("", "cannot read"),
        ("energy", "is not a condition"),
        ("1 == 1", "is not a condition"),
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


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("status == 3", r"status holds texts, but 3 is a number: write status == '3'"),
        ("energy < 'low'", r"energy holds numbers, but 'low' is a text"),
        ("status in [1, 2]", "status holds texts"),
        ("energy", "is not a condition"),
        ("status + 1 > 2", "status holds texts, expected numbers"),
        ("energy and kept", "energy holds numbers and is not a condition"),
        ("1 < 2", "is not a condition"),
    ],
)
def test_kinds_are_compared_before_there_are_values_as_with_them(where: str, told: str) -> None:
    kinds = {"status": Kind.TEXT, "energy": Kind.NUMBER, "kept": Kind.TRUTH}
    frame = pd.DataFrame({"status": ["left"], "energy": [1.0], "kept": [True]})
    for check in (lambda: check_condition(where, kinds), lambda: filter_frame(frame, where)):
        with pytest.raises(FilterError, match=told):
            check()


@pytest.mark.parametrize(
    "where",
    [
        "status == left and energy < -1",
        "kept",
        "kept == 1 or status in [left, failed]",
        "rough in status",
        "other == 3 and other == 'three' or other",  # nobody knows what it holds
    ],
)
def test_conditions_that_fit_the_kinds_pass(where: str) -> None:
    check_condition(
        where, {"status": Kind.TEXT, "energy": Kind.NUMBER, "kept": Kind.TRUTH, "other": Kind.UNKNOWN}
    )


def test_parts_of_a_condition_are_those_joined_by_and() -> None:
    frame = pd.DataFrame({"a": [1.0], "b": [2.0], "status": ["x"]})
    assert conjuncts("a < 1 and (b > 2 or a == 3) and status == x", frame) == [
        ("a < 1", ["a"]),
        ("b > 2 or a == 3", ["b", "a"]),
        ("status == x", ["status"]),
    ]
    assert conjuncts("a < 1 or b > 2", frame) == [("a < 1 or b > 2", ["a", "b"])]


# -- texts against numbers, words that are columns, missing values -------------------------------------------------


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """Ids that look like numbers, a column that is called as a status, and values that are missing."""
    return pd.DataFrame(
        {
            "status": ["converged", "left", None],
            "left": ["a", "b", "c"],
            "e": [0.05, 0.5, np.nan],
            "stable": pd.Series([True, False, None], dtype=object).to_numpy(),
            "warnings": ["rough symmetry_lowered", "roughness", ""],
            "a b": [1.0, 2.0, 3.0],
            "nothing": pd.Series([None, None, None], dtype=object).to_numpy(),
        },
        index=pd.Index(["123", "124", "125"], name="id"),
    )


@pytest.mark.parametrize(
    ("where", "remedy"),
    [
        ("id == 123", "id holds texts, but 123 is a number: write id == '123'"),
        ("id != 123", "write id != '123'"),
        ("123 == id", "write '123' == id"),
        ("id == -1", "write id == '-1'"),
        ("id > 100", "write id > '100'"),
        ("id in [123]", r"write id in \['123'\]"),
        ("id not in ['123', 124]", r"write id in \['123', '124'\]"),
        ("status == e", "can be read in two ways.*status == 'e'"),
        ("id == e + 1", "id holds texts and the other side numbers"),
        ("e < '0.1'", "e holds numbers, but '0.1' is a text: write e < 0.1"),
        ("e == 'small'", "compare it with a number"),
        ("e in ['0.1', 2]", r"write e in \[0.1, 2\]"),
        ("stable == 'yes'", "write stable or not stable"),
        ("status + 1 == 2", "status holds texts, expected numbers"),
        ("status and e < 1", "status holds texts and is not a condition"),
        ("rough in e", "wants a list on its right"),
        ("e == [1]", "write `in`"),
        ("e in [left]", "e holds numbers|can be|left"),
    ],
)
def test_texts_are_not_compared_with_numbers_and_the_remedy_is_told(
    mixed: pd.DataFrame, where: str, remedy: str
) -> None:
    with pytest.raises(FilterError, match=remedy):
        filter_frame(mixed, where)


def test_a_word_that_is_a_column_too_is_refused_with_both_readings(mixed: pd.DataFrame) -> None:
    with pytest.raises(FilterError, match=r"two ways.*status == 'left'.*status == column\(left\)"):
        filter_frame(mixed, "status == left")
    assert filter_frame(mixed, "status == 'left'").index.tolist() == ["124"]
    assert filter_frame(mixed, "status == column(left)").index.tolist() == []
    assert filter_frame(mixed, "status in [left]").index.tolist() == ["124"]
    assert filter_frame(mixed, "column('a b') > 1.5").index.tolist() == ["124", "125"]
    with pytest.raises(FilterError, match="no column 'a c'"):
        filter_frame(mixed, "column('a c') > 1.5")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("e < 0.1 && status == converged", ["123"]),
        ("e < 0.1||status == 'left'", ["123", "124"]),
        ("!stable", ["124"]),
        ("!(e < 0.1)", ["124", "125"]),
        ("status == '&&'", []),
        # what is missing fulfils no comparison but !=
        ("e != 0.05", ["124", "125"]),
        ("e <= 0.1", ["123"]),
        ("e > 0.1", ["124"]),
        ("not e <= 0.1", ["124", "125"]),
        ("e not in [0.05]", ["124", "125"]),
        ("e == e and not e <= 0.1", ["124"]),
        ("status != converged", ["124", "125"]),
        ("stable", ["123"]),
        ("stable == False", ["124"]),
        ("not stable", ["124"]),
        ("stable != True or e != e", ["124", "125"]),
        ("not (stable and e < 0.01)", ["123", "124", "125"]),
        ("nothing == 3", []),
        ("nothing == word", []),
        ("nothing != 3", ["123", "124", "125"]),
        # words of a text
        ("rough in warnings", ["123"]),
        ("'rough' in warnings", ["123"]),
        ("symmetry in warnings", []),
        ("rough not in warnings", ["124", "125"]),
        ("warnings != ''", ["123", "124"]),
        ("id in ['123', '125']", ["123", "125"]),
        ("status < m", ["123", "124"]),
    ],
)
def test_signs_missing_values_and_words_of_texts(
    mixed: pd.DataFrame, where: str, expected: list[str]
) -> None:
    assert filter_frame(mixed, where).index.tolist() == expected


def test_an_error_tells_close_names_and_not_all_of_hundreds() -> None:
    frame = pd.DataFrame({f"elastic_tensor_{i}": [0.0] for i in range(300)} | {"energy": [1.0]})
    with pytest.raises(FilterError, match=r"name one of elastic_tensor_0 to elastic_tensor_299") as caught:
        filter_frame(frame, "elastic_tensor > 1")
    assert str(caught.value).endswith("columns are elastic_tensor, energy")
    many = pd.DataFrame({f"column_of_{i:03d}": [0.0] for i in range(300)})
    with pytest.raises(FilterError, match=r"did you mean column_of_\d") as caught:
        filter_frame(many, "column_of > 1")
    assert len(str(caught.value)) < 600
    assert "and 288 more" in str(caught.value)
    with pytest.raises(FilterError, match=r"columns are id, a, b"):
        filter_frame(pd.DataFrame({"a": [1.0]}, index=pd.Index(["x"], name="id")), "a < abc", ["a", "b"])


def test_names_of_version_0_1_0_go_on_to_be_understood() -> None:
    frame = pd.DataFrame({"C44": [60.0, 90.0], "C11_ieee": [1.0, 2.0]}, index=pd.Index(["a", "b"], name="id"))
    assert filter_frame(frame, "elastic_tensor_21 > 80").index.tolist() == ["b"]
    assert columns_in("elastic_tensor_ieee_0 < 2 and C44 > 0", frame.columns) == ["C11_ieee", "C44"]
    assert "(it is called C44 now)" in no_such_column("elastic_tensor_21", list(frame.columns))
    # a frame that has them keeps them
    own = pd.DataFrame({"elastic_tensor_21": [1.0], "C44": [90.0]}, index=pd.Index(["a"], name="id"))
    assert filter_frame(own, "elastic_tensor_21 > 80").empty


@pytest.mark.parametrize(
    "where", ["1" + "+1" * 5000 + " > energy", "9" * 500 + " > energy", "not " * 3000 + "kept"]
)
def test_what_is_too_long_is_refused(frame: pd.DataFrame, where: str) -> None:
    with pytest.raises(FilterError):
        filter_frame(frame, where)


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
