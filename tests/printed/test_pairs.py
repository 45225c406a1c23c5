"""Pairs and prose within a width."""

import pytest

from aiida_pet.printed.pairs import hanging, pair_lines, wrapped_rows

PAIRS = {"task": "relax", "parameters": ", ".join(f"name{i}={i}" for i in range(30))}


@pytest.mark.parametrize("width", [40, 80, 120])
def test_values_go_on_below_themselves(width):
    lines = pair_lines(PAIRS, width)
    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).endswith("name29=29")
    assert lines[0] == "task:       relax"
    assert all(line.startswith(" " * 12) for line in lines[2:])


def test_without_a_width_each_pair_is_a_line():
    assert len(pair_lines(PAIRS)) == 2


@pytest.mark.parametrize("width", [40, 80, None])
def test_prose_of_a_table_goes_on_below(width):
    rows = [("fmax", "0.02", "the largest force that is left on an atom at the end " * 3)]
    lines = wrapped_rows(rows, ("parameter", "default", "meaning"), width).splitlines()
    assert width is None or max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).count("largest force") == 3


def test_a_word_longer_than_the_line_is_cut_in_two():
    assert hanging("x: ", "a" * 30, 3, 20) == ["x: " + "a" * 17, "   " + "a" * 13]


def test_a_word_that_fits_into_a_line_stays_whole():
    path = "/scratch/" + "a" * 9
    assert hanging("folder: ", f"in {path} it is", 8, 20) == ["folder: in", "  " + path, "        it is"]
    assert hanging("", f"  {path}", 2, 20) == [f"  {path}"]
