"""The gate against the rules of the benchmark, written out."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.crystals.conductivity.gate import why_imaginary

POINTS = np.array([[0.0, 0, 0], [0.5, 0, 0]])
STABLE = np.array([[-1e-6, 0.0, 1e-6, 4.0, 4.0, 5.0], [0.5, 1.0, 2.0, 4.0, 4.0, 5.0]])


def changed(place: tuple[int, int], value: float) -> np.ndarray:
    frequencies = STABLE.copy()
    frequencies[place] = value
    return frequencies


def test_rounding_of_acoustic_modes_at_gamma_passes():
    assert why_imaginary(STABLE, POINTS) is None
    assert why_imaginary(changed((0, 0), -0.009), POINTS) is None


@pytest.mark.parametrize(
    ("place", "value"),
    [((0, 0), -0.011), ((0, 3), -1e-9), ((1, 0), -1e-9)],
    ids=["acoustic at Gamma", "optical at Gamma", "elsewhere"],
)
def test_imaginary_mode_closes_the_gate(place, value):
    reason = why_imaginary(changed(place, value), POINTS)
    assert reason is not None
    assert "1 of 12" in reason
    assert ("(0.5, 0, 0)" if place[0] else "(0, 0, 0)") in reason


def test_the_lowest_is_told():
    frequencies = changed((1, 0), -0.5)
    frequencies[0, 0] = -0.1
    assert "-0.5 THz at q = (0.5, 0, 0)" in (why_imaginary(frequencies, POINTS) or "")


def test_frequencies_that_are_no_numbers_close_the_gate():
    assert "1 of 12 frequencies" in (why_imaginary(changed((1, 2), np.nan), POINTS) or "")
