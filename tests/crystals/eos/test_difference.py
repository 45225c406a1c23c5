"""Differences of equations of state against plain sums over a fine grid, and against what they must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiida_pet.crystals.eos.difference import eos_difference
from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.job.choices import Equation

ONE = EquationOfState(Equation.BIRCH_MURNAGHAN, -7.25, 16.1, 0.81, 4.7)
OTHER = EquationOfState(Equation.BIRCH_MURNAGHAN, -3.0, 16.5, 0.74, 4.2)


def test_delta_and_epsilon_are_those_of_a_fine_grid():
    volumes = np.linspace(0.94 * 16.3, 1.06 * 16.3, 100_001)
    a, b = ONE.energies(volumes) + 7.25, OTHER.energies(volumes) + 3.0
    found = eos_difference(ONE, OTHER)
    assert found.delta == pytest.approx(
        np.sqrt(np.trapezoid((a - b) ** 2, volumes) / np.ptp(volumes)), rel=1e-8
    )
    a, b = a - np.trapezoid(a, volumes) / np.ptp(volumes), b - np.trapezoid(b, volumes) / np.ptp(volumes)
    squares = [np.trapezoid(y**2, volumes) for y in (a - b, a, b)]
    assert found.epsilon == pytest.approx(np.sqrt(squares[0] / np.sqrt(squares[1] * squares[2])), rel=1e-7)


def test_nu_is_a_per_cent_for_a_per_cent_of_volume():
    larger = replace(ONE, volume=ONE.volume * 1.01)
    assert eos_difference(ONE, larger).nu == pytest.approx(1.0, rel=0.01)
    harder = replace(ONE, bulk_modulus=ONE.bulk_modulus * 1.2)
    assert eos_difference(ONE, harder).nu == pytest.approx(1.0, rel=0.1)


def test_an_equation_does_not_differ_from_itself_nor_from_itself_at_another_energy():
    found = eos_difference(ONE, replace(ONE, energy=12.0))
    assert (found.delta, found.epsilon, found.nu) == pytest.approx((0, 0, 0), abs=1e-12)
    with pytest.raises(ValueError, match="width = 2"):
        eos_difference(ONE, OTHER, 2)
