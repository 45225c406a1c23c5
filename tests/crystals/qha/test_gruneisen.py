"""Mode Grueneisen parameters of springs that harden by a known power, and against differences of frequencies."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from phonopy import Phonopy

from aiida_pet.crystals.phonons.harmonic import make_phonopy
from aiida_pet.crystals.qha.gruneisen import mode_gruneisen

RATIOS = (0.97, 1.0, 1.03)


def springs(ratio: float, power: float, transverse: float) -> Phonopy:
    """fcc with springs between nearest neighbours, along and across, that go with the volume to a power."""
    atoms = bulk("Al", a=4.05 * np.cbrt(ratio))
    phonopy = make_phonopy(atoms.cell[:], atoms.positions, atoms.numbers, 3 * np.eye(3, dtype=int))
    supercell = phonopy.supercell
    constants = np.zeros((len(supercell), len(supercell), 3, 3))
    inverse = np.linalg.inv(supercell.cell)
    for i, origin in enumerate(supercell.positions):
        apart = (supercell.positions - origin) @ inverse
        vectors = (apart - np.round(apart)) @ supercell.cell
        lengths = np.linalg.norm(vectors, axis=1)
        for j in np.flatnonzero((lengths > 0.1) & (lengths < 1.05 * 4.05 * np.cbrt(ratio) / np.sqrt(2))):
            along = np.outer(vectors[j], vectors[j]) / lengths[j] ** 2
            spring = 1.3 * ratio**-power * along + transverse * (np.eye(3) - along)
            constants[i, j] -= spring
            constants[i, i] += spring
    phonopy.force_constants = constants
    return phonopy


def test_springs_of_one_power_have_one_gruneisen_parameter():
    """Frequencies go with V^(-p / 2), and what is taken is the difference over 3 % to either side."""
    found = mode_gruneisen(*(springs(ratio, 3.0, 0.0) for ratio in RATIOS), mesh=(7, 7, 7))
    expected = -(1.03**-3.0 - 0.97**-3.0) / (2 * 0.06)
    known = np.isfinite(found.gruneisen)
    np.testing.assert_allclose(found.gruneisen[known], expected, rtol=1e-6)
    assert found.mean(300.0) == pytest.approx(expected)
    # only the acoustic modes at Gamma have none
    assert (~known).sum() == 3
    assert found.weights.sum() == round(found.weights.sum()) > 20


def test_parameters_of_modes_are_differences_of_their_frequencies():
    crystals = [springs(ratio, 3.0, 0.1) for ratio in RATIOS]
    found = mode_gruneisen(*crystals, mesh=(7, 7, 7))
    frequencies = []
    for phonopy in crystals:
        phonopy.run_qpoints(found.q_points)
        frequencies.append(phonopy.get_qpoints_dict()["frequencies"])
    slope = -(frequencies[2] ** 2 - frequencies[0] ** 2) / (2 * 0.06 * frequencies[1] ** 2)
    away = np.abs(found.q_points).max(axis=1) > 1e-6
    # branches that cross in between would be told apart by neither
    np.testing.assert_allclose(found.gruneisen[away], slope[away], rtol=2e-2)
    assert np.ptp(found.gruneisen[away]) > 0.05
    assert found.gruneisen[away].min() < found.mean(300.0) < found.gruneisen[away].max()
    # soft modes carry the heat at low temperatures
    assert found.mean(20.0) != pytest.approx(found.mean(1000.0), rel=1e-4)
