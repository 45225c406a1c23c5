"""Quasi-harmonic properties against phonopy's PhonopyQHA, and an Einstein crystal in closed form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.units import GPa, kB
from phonopy import PhonopyQHA

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.crystals.qha.thermal import VolumeSeries, quasi_harmonic
from aiida_pet.job.choices import Equation

JOULE = 96485.33212  # J/mol of an eV
EOS = EquationOfState(Equation.VINET, -8.0, 16.0, 0.9, 4.4)
VOLUMES = np.linspace(14.6, 17.6, 9)
GRUNEISEN, QUANTUM = 2.1, 0.025  # of the frequency, and eV at 16 A^3


def einstein(
    temperatures: np.ndarray, volumes: np.ndarray = VOLUMES, gruneisen: float = GRUNEISEN
) -> VolumeSeries:
    """Three oscillators of one frequency that goes with the volume to a power."""
    quanta = (QUANTUM * (volumes / 16.0) ** -gruneisen)[:, None]
    t = np.maximum(temperatures, 1e-3)
    x = quanta / (kB * t)
    occupied = 1 / np.expm1(np.minimum(x, 500))
    free = 3 * (quanta / 2 + kB * t * np.log1p(-np.exp(-x)))
    entropy = 3 * kB * (x * occupied - np.log1p(-np.exp(-x)))
    capacity = 3 * kB * x**2 * occupied * (occupied + 1)
    return VolumeSeries(volumes, EOS.energies(volumes), temperatures, free, entropy, capacity)


@pytest.mark.parametrize("equation", list(Equation))
@pytest.mark.parametrize("pressure", [0.0, 6.0])
@pytest.mark.filterwarnings("ignore")
def test_properties_are_those_of_phonopy(equation, pressure):
    temperatures = np.arange(0.0, 1020.0, 5.0)
    series = einstein(temperatures)
    ours = quasi_harmonic(series, pressure=pressure * GPa, equation=equation)
    theirs = PhonopyQHA(
        volumes=VOLUMES,
        electronic_energies=series.energies,
        temperatures=temperatures,
        free_energy=series.free_energies.T * JOULE / 1000,
        cv=series.heat_capacities.T * JOULE,
        entropy=series.entropies.T * JOULE,
        pressure=pressure,
        eos=equation.value,
        t_max=1000,
    )
    some = np.arange(10, 195, 10)
    # under pressure phonopy fits F + P V, which is no equation of state: its numbers are off by as much
    near = 1.0 if not pressure else 30.0
    np.testing.assert_allclose(ours.volume[some], np.array(theirs.volume_temperature)[some], rtol=1e-6 * near)
    np.testing.assert_allclose(ours.gibbs[some], np.array(theirs.gibbs_temperature)[some], atol=1e-6 * near)
    np.testing.assert_allclose(
        ours.bulk_modulus[some] / GPa, np.array(theirs.bulk_modulus_temperature)[some], rtol=1e-4 * near
    )
    # theirs is a difference over 10 K, which at 50 K is off by more than a per cent
    np.testing.assert_allclose(
        ours.expansion[some], np.array(theirs.thermal_expansion)[some], rtol=2e-3, atol=5e-8
    )
    np.testing.assert_allclose(
        ours.heat_capacity_p[some] * JOULE, np.array(theirs.heat_capacity_P_polyfit)[some], rtol=2e-3
    )
    warm = some[1:]  # the same difference is in its Grueneisen parameter, which is 2.1 at all temperatures
    np.testing.assert_allclose(ours.gruneisen[warm], np.array(theirs.gruneisen_temperature)[warm], rtol=5e-3)


def test_an_einstein_crystal_has_its_own_gruneisen_parameter():
    ours = quasi_harmonic(einstein(np.array([0.0, 50.0, 300.0, 600.0])))
    np.testing.assert_allclose(ours.gruneisen[1:], GRUNEISEN, rtol=2e-3)
    assert np.isnan(ours.gruneisen[0])
    assert ours.expansion[0] == 0.0
    assert ours.heat_capacity_p[2] > ours.heat_capacity_v[2]
    assert (np.diff(ours.volume) > 0).all()
    assert (np.diff(ours.bulk_modulus) < 0).all()
    # zero-point motion alone makes it larger than its energies say
    assert ours.volume[0] > EOS.volume
    assert quasi_harmonic(einstein(np.array([300.0]), gruneisen=-1.0)).expansion[0] < 0


def test_the_expansion_is_that_of_volumes_at_near_temperatures():
    at = [quasi_harmonic(einstein(np.array([temperature]))) for temperature in (299.0, 300.0, 301.0)]
    slope = (at[2].volume - at[0].volume) / (2 * at[1].volume)
    np.testing.assert_allclose(at[1].expansion, slope, rtol=1e-4)
    # and C_p is T dS/dT along the path: -T d2G/dT2
    curvature = at[2].gibbs - 2 * at[1].gibbs + at[0].gibbs
    np.testing.assert_allclose(at[1].heat_capacity_p, -300 * curvature, rtol=1e-2)


def test_nothing_is_said_beyond_the_volumes():
    narrow = np.linspace(15.2, 16.25, 6)
    ours = quasi_harmonic(einstein(np.arange(0.0, 1500.0, 100.0), narrow))
    assert 100.0 <= ours.max_temperature < 1300.0
    known = np.isfinite(ours.volume)
    assert known.sum() == ours.max_temperature / 100 + 1
    assert ours.volume[known].max() <= narrow.max()
    assert not np.isfinite(ours.expansion[~known]).any()
    none = quasi_harmonic(einstein(np.array([300.0]), np.linspace(13.0, 15.0, 6)))
    assert np.isnan(none.max_temperature)


def test_too_few_volumes_and_other_shapes_are_refused():
    series = einstein(np.array([300.0]))
    with pytest.raises(ValueError, match="at least 5 volumes, got 4"):
        quasi_harmonic(series.take(np.arange(4)))
    with pytest.raises(ValueError, match=r"entropies must have shape \(9, 1\)"):
        replace(series, entropies=series.entropies.T)
