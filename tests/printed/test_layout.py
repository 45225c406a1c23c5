"""Tables fit: whatever the columns, no line is wider than the terminal, and nothing goes missing in silence."""

from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_pet.printed.layout import Printed, as_column, broken, lay_out, middle_cut, said_left_out, said_once

NAMES = st.from_regex(r"[a-z]{1,9}(_[a-z]{1,9}){0,4}", fullmatch=True)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=12, unique=True))
    rows = draw(st.integers(0, 5))
    text = st.text("abc-. ", max_size=60).map(str.strip)
    unit = st.sampled_from(["", "eV/atom"])
    return [
        Printed(name, tuple(draw(text) for _ in range(rows)), draw(unit), draw(st.booleans()))
        for name in names
    ]


@settings(deadline=None)
@given(tables(), st.integers(30, 130))
def test_no_line_is_wider_and_every_column_is_accounted_for(columns, width):
    laid = lay_out(columns, width)
    assert all(len(line) <= width or line.split()[0] == line for line in laid.text.splitlines()), laid.text
    there = len(columns) - len(laid.once) - len(laid.left_out)
    rule = next(line for line in laid.text.splitlines() if set(line) <= {"-", " "} and "-" in line)
    assert len(rule.split()) == there
    assert columns[0].name not in laid.once
    assert columns[0].name not in laid.left_out


@settings(deadline=None)
@given(tables())
def test_without_a_width_nothing_is_cut(columns):
    laid = lay_out(columns, None, once=False)
    assert not laid.left_out
    assert not laid.once
    assert not laid.shortened
    assert all(text in laid.text for column in columns for text in column.texts)


def test_what_is_the_same_in_all_rows_is_said_once():
    columns = [as_column("id", "abc"), as_column("heads", ["x"] * 3), as_column("reason", [""] * 3)]
    laid = lay_out(columns)
    assert laid.once == {"heads": "x", "reason": ""}
    assert laid.text.split() == ["id", "--", "a", "b", "c"]
    assert said_once(laid.once, 3) == ["in all 3 rows: heads x", "without a value in all 3 rows: reason"]


def test_of_one_row_everything_is_shown():
    assert lay_out([as_column("id", ["a"]), as_column("heads", ["x"])]).once == {}


def test_headings_break_before_columns_are_left_out():
    columns = [as_column("id", ["a", "b"]), as_column("is_dynamically_stable", ["yes", "no"])]
    laid = lay_out(columns, 20)
    assert not laid.left_out
    assert "dynamically_" in laid.text.split()


def test_words_go_before_numbers():
    columns = [
        as_column("id", ["a", "b"]),
        as_column("message", ["m" * 30, "n" * 30], rank=1),
        as_column("energy", ["1.000", "2.000"], right=True),
    ]
    laid = lay_out(columns, 24)
    assert laid.left_out == ("message",)
    assert "energy" in laid.text
    assert "message" in said_left_out(laid.left_out)


def test_names_join_again():
    assert "".join(broken("energy_above_hull", 5)) == "energy_above_hull"


def test_ids_keep_both_ends():
    text = middle_cut("wbm-1-000000000000000000000000000000000017", 20)
    assert len(text) == 20
    assert text.startswith("wbm-1-")
    assert text.endswith("17")
