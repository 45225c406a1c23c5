"""Pressures and bulk moduli against differences of energies, and volumes at pressures."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.job.choices import Equation

VOLUMES = np.linspace(12.0, 21.0, 7)


@pytest.fixture(params=list(Equation))
def eos(request) -> EquationOfState:
    return EquationOfState(request.param, -7.25, 16.1, 0.81, 4.7)


def test_pressures_and_bulk_moduli_are_derivatives_of_the_energy(eos):
    step = 1e-4
    slope = (eos.energies(VOLUMES + step) - eos.energies(VOLUMES - step)) / (2 * step)
    np.testing.assert_allclose(eos.pressures(VOLUMES), -slope, atol=1e-9)
    slope = (eos.pressures(VOLUMES + step) - eos.pressures(VOLUMES - step)) / (2 * step)
    np.testing.assert_allclose(eos.bulk_moduli(VOLUMES), -VOLUMES * slope, atol=1e-8)
    # and the fourth number is dB/dP at the minimum
    at = eos.volume + np.array([-step, step])
    change = np.diff(eos.bulk_moduli(at)) / np.diff(eos.pressures(at))
    assert change[0] == pytest.approx(eos.derivative, abs=1e-5)
    assert eos.bulk_moduli(eos.volume) == pytest.approx(eos.bulk_modulus)


def test_vinets_equation_has_its_limit_where_the_derivative_is_one():
    near, at = (EquationOfState(Equation.VINET, 0.0, 16.1, 0.81, value) for value in (1.001, 1.0))
    np.testing.assert_allclose(near.energies(VOLUMES), at.energies(VOLUMES), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("pressure", [0.0, 0.3, 2.0, -0.05])
def test_the_volume_at_a_pressure_has_that_pressure(eos, pressure):
    volume = eos.volume_at(pressure)
    assert eos.pressures(volume) == pytest.approx(pressure, abs=1e-12)
    assert np.sign(eos.volume - volume) == np.sign(pressure)
    assert eos.bulk_moduli(volume) > 0


def test_a_crystal_that_would_come_apart_has_no_volume(eos):
    with pytest.raises(ValueError, match=r"does not have a pressure of -5 eV/A\^3"):
        eos.volume_at(-5.0)
