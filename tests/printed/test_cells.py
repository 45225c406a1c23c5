"""Numbers are rounded by what they mean, and never to nothing."""

import math

import numpy as np
import pytest

from aiida_pet.printed.cells import DECIMALS, largest_of, shown, shown_beside


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0249123, "eV/atom", "0.0249"),
        (-12.43731, "eV", "-12.437"),
        (145.0911, "GPa", "145.1"),
        (3.16199, "A", "3.162"),
        (0.00120993, "eV/A", "0.0012"),
        (1.5, "", "1.5"),
        (0.123456789, "", "0.1235"),
        (300.0, "K", "300"),
        (float("nan"), "eV", "-"),
        (None, "eV", "-"),
        (np.float64(2.0), "THz", "2.00"),
        (True, "", "yes"),
        (64, "eV", "64"),
    ],
)
def test_digits_follow_the_unit(value, unit, text):
    assert shown(value, unit) == text


@pytest.mark.parametrize("unit", DECIMALS)
def test_what_is_not_zero_is_never_shown_as_zero(unit):
    for exponent in range(-12, 12):
        for value in (1.7 * 10.0**exponent, -1.7 * 10.0**exponent):
            assert math.copysign(1, float(shown(value, unit))) == math.copysign(1, value)
            assert float(shown(value, unit)) != 0
    assert float(shown(0.0, unit)) == 0
    assert not shown(-0.0, unit).startswith("-")


def test_long_times_are_said_in_minutes():
    assert shown(75.4, "s", "wall_time_s") == "1 min 15 s"
    assert shown(3.14159, "s", "wall_time_s") == "3.142"


@pytest.mark.parametrize(
    ("values", "unit", "texts"),
    [
        ([1.2, -0.0023], "GPa", ["1.2", "0.0"]),
        ([1.5e-05, -1.1e-20], "eV/A^3", ["1.5e-05", "0"]),
        ([-0.0023, 0.001], "GPa", ["-0.0023", "0.001"]),  # small as all of them are, they say something
        ([1e-20, 2e-20], "eV/A", ["1e-20", "2e-20"]),
    ],
)
def test_values_of_an_array_have_the_digits_of_its_largest(values, unit, texts):
    assert [shown_beside(value, largest_of(values), unit) for value in values] == texts
