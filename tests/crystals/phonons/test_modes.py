"""Modes and the structures along them, against the dynamical matrix and the energy of the supercell."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase.build import bulk
from phonopy import Phonopy
from phonopy.harmonic.force_constants import compact_fc_to_full_fc
from phonopy.physical_units import get_physical_units

from aiida_pet.crystals.phonons.displacements import SupercellSites, generate_displacements
from aiida_pet.crystals.phonons.force_constants import produce_force_constants
from aiida_pet.crystals.phonons.harmonic import harmonic_properties, make_phonopy
from aiida_pet.crystals.phonons.modes import commensurate_matrix, modes_at, softest_mode
from support.pair_forces import displaced_forces


def with_forces(atoms, matrix=2, sign=1.0) -> Phonopy:
    phonopy = make_phonopy(atoms.cell[:], atoms.positions, atoms.numbers, np.eye(3, dtype=int) * matrix)
    sites = SupercellSites.of(phonopy)
    displacements = generate_displacements(sites, phonopy.supercell.positions, 0.01)
    forces = sign * displaced_forces(phonopy, displacements.positions)
    phonopy.force_constants = produce_force_constants(phonopy, sites, displacements, forces).values
    return phonopy


@pytest.fixture(scope="module")
def soft(prototypes) -> dict[str, Phonopy]:
    """Crystals with imaginary modes."""
    return {
        "fcc": with_forces(bulk("Cu", "fcc", a=3.6), 4, sign=-1.0),
        "b2": with_forces(prototypes["b2"], 2),
        "mosi2": with_forces(prototypes["mosi2"], 2),
    }


@pytest.mark.parametrize("q", [[0, 0, 0], [0.5, 0, 0], [0.1, 0.27, -0.4]])
def test_modes_solve_the_dynamical_matrix(soft, q):
    phonopy = soft["mosi2"]
    modes = modes_at(phonopy, q)
    matrix = phonopy.get_dynamical_matrix_at_q(q)
    factor = get_physical_units().DefaultToTHz
    for frequency, vector, displacement in zip(
        modes.frequencies, modes.eigenvectors, modes.displacements, strict=True
    ):
        e = vector.reshape(-1)
        value = np.sign(frequency) * (frequency / factor) ** 2
        np.testing.assert_allclose(matrix @ e, value * e, atol=1e-8)
        assert np.linalg.norm(e) == pytest.approx(1)
        assert np.linalg.norm(displacement, axis=1).max() == pytest.approx(1)
        ratio = displacement * np.sqrt(phonopy.primitive.masses)[:, None]
        overlap = np.vdot(ratio, vector) / np.linalg.norm(ratio)
        assert abs(overlap) == pytest.approx(1)
    assert (np.diff(modes.frequencies) >= 0).all()


@pytest.mark.parametrize("name", ["fcc", "b2", "mosi2"])
def test_softest_mode_is_the_lowest_of_the_hessian(soft, name):
    """Of the supercell, by numpy; and the structure moves along a vector of that curvature."""
    phonopy = soft[name]
    found = softest_mode(phonopy, 0.1)
    masses = phonopy.supercell.masses
    full = compact_fc_to_full_fc(phonopy.primitive, phonopy.force_constants)
    hessian = (full / np.sqrt(np.outer(masses, masses))[:, :, None, None]).transpose(0, 2, 1, 3)
    lowest = np.linalg.eigvalsh(hessian.reshape(3 * len(masses), -1))[0]
    factor = get_physical_units().DefaultToTHz
    assert found.frequency == pytest.approx(-np.sqrt(-lowest) * factor, abs=1e-6)
    assert phonopy.run_qpoints([found.q]).frequencies.min() == pytest.approx(found.frequency, abs=1e-6)

    # laid out over phonopy's supercell, the displacements have that Rayleigh quotient
    small = found.atoms
    undisplaced = small.positions - found.displacements
    spread = np.zeros((len(masses), 3))
    for atom, position in enumerate(phonopy.supercell.positions):
        apart = (position - undisplaced) @ np.linalg.inv(small.cell[:])
        match = np.flatnonzero(np.abs(apart - np.round(apart)).max(axis=1) < 1e-6)
        assert len(match) == 1
        spread[atom] = found.displacements[match[0]]
    energy = np.einsum("ia,ijab,jb->", spread, full, spread)
    assert energy / (masses @ (spread**2).sum(axis=1)) == pytest.approx(lowest, rel=1e-6)


@pytest.mark.parametrize("amplitude", [0.05, 0.3])
def test_amplitude_is_the_largest_displacement(soft, amplitude):
    found = softest_mode(soft["b2"], amplitude)
    assert np.linalg.norm(found.displacements, axis=1).max() == pytest.approx(amplitude)


def test_supercell_is_the_smallest_in_which_the_mode_repeats(soft):
    """At X of fcc, (1/2, 1/2, 0) of the primitive cell, two cells are enough, where 2x2x1 would be four."""
    found = softest_mode(soft["fcc"], 0.1)
    repeats = found.matrix.T @ found.q
    np.testing.assert_allclose(repeats, np.round(repeats), atol=1e-9)
    assert round(np.linalg.det(found.matrix)) == len(found.atoms) < 8
    np.testing.assert_allclose(found.atoms.cell[:], found.matrix.T @ soft["fcc"].primitive.cell, atol=1e-9)


@pytest.mark.parametrize("q", list(product((0, 0.25, 0.5, 0.75), (0, 0.5), (0, 1 / 3))))
def test_matrix_for_a_wave_has_as_many_cells_as_its_period(q):
    cell = np.array([[3.0, 0, 0], [0.4, 3.3, 0], [-0.3, 0.2, 4.1]])
    order = next(n for n in range(1, 13) if np.allclose(np.multiply(n, q), np.round(np.multiply(n, q))))
    matrix = commensurate_matrix(np.array(q), cell, order)
    assert round(np.linalg.det(matrix)) == order
    repeats = matrix.T @ q
    np.testing.assert_allclose(repeats, np.round(repeats), atol=1e-9)


def test_no_imaginary_mode_is_a_value_error(soft):
    stable = with_forces(bulk("Cu", "fcc", a=3.6), 4)
    assert harmonic_properties(stable, frequencies=np.linspace(0, 10, 11), mesh=20.0).n_imaginary == 0
    with pytest.raises(ValueError, match="no mode to follow"):
        softest_mode(stable, 0.1, imaginary_threshold=0.1)
    with pytest.raises(ValueError, match="the threshold is -1000 THz"):
        softest_mode(soft["b2"], 0.1, imaginary_threshold=1e3)
