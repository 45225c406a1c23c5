"""Displacements and force constants against phonopy driven by hand, on its own symmetry of the supercell."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ase.build import bulk
from phonopy import Phonopy
from phonopy.harmonic.force_constants import compact_fc_to_full_fc, symmetrize_force_constants
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.phonons.displacements import SupercellSites, generate_displacements
from aiida_pet.crystals.phonons.force_constants import produce_force_constants, solve_finite_differences
from aiida_pet.crystals.phonons.harmonic import make_phonopy
from aiida_pet.crystals.phonons.supercells import choose_supercell
from aiida_pet.job.parameters import ForceConstants
from support.pair_forces import displaced_forces

# of all crystal systems, one and many Wyckoff positions, primitive and conventional cells
NAMES = [
    "bcc", "bcc 1x1x2", "diamond cubic", "perovskite", "a15", "d0_3", "fesi", "mosi2", "chalcopyrite", "p41", "i-4",
    "hcp 2x1x1", "wurtzite", "corundum", "quartz", "bi2te3", "cementite", "fdd2", "ibam", "c2m", "p21c", "p-1", "p1",
]  # fmt: skip
MATRICES = {
    "by rule": None,
    "less symmetric": np.diag([2, 1, 1]),
    "not diagonal": np.array([[1, 1, 0], [-1, 1, 0], [0, 1, 2]]),
}


def by_hand(atoms, matrix, symprec=1e-5) -> Phonopy:
    """Return phonopy's own object of the primitive cell of ``atoms``."""
    chosen = choose_supercell(atoms.cell[:], atoms.positions, atoms.numbers, min_image=6.0, max_atoms=60)
    kept = chosen.primitive_atoms
    unit = PhonopyAtoms(
        numbers=atoms.numbers[kept],
        cell=chosen.primitive_matrix.T @ atoms.cell[:],
        positions=atoms.positions[kept],
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # that the supercell has fewer operations is what is tested
        return Phonopy(
            unit, chosen.matrix if matrix is None else matrix, primitive_matrix="P", symprec=symprec
        )


def quick(hand: Phonopy) -> Phonopy:
    unit = hand.unitcell
    return make_phonopy(
        unit.cell, unit.positions, unit.numbers, hand.supercell_matrix, symprec=hand.symmetry.tolerance
    )


def sites_and_displacements(phonopy: Phonopy, distance=0.03):
    sites = SupercellSites.of(phonopy)
    return sites, generate_displacements(sites, phonopy.supercell.positions, distance)


def test_phonopy_looks_for_no_symmetry_of_the_supercell_until_asked():
    """Fails if a version of phonopy no longer calls what is overridden: then every crystal costs 0.6 s more."""
    hand = by_hand(bulk("W", "bcc", a=3.17), np.diag([3, 3, 3]))
    phonopy = quick(hand)
    sites_and_displacements(phonopy)
    assert "_symmetry" not in vars(phonopy)
    ours, theirs = phonopy.symmetry.symmetry_operations, hand.symmetry.symmetry_operations
    np.testing.assert_array_equal(ours["rotations"], theirs["rotations"])
    ours, theirs = phonopy.primitive_symmetry, hand.primitive_symmetry
    np.testing.assert_array_equal(ours.atomic_permutations, theirs.atomic_permutations)
    assert ours.dataset.number == theirs.dataset.number
    assert ours.tolerance == theirs.tolerance


@pytest.mark.parametrize("kind", list(MATRICES))
@pytest.mark.parametrize("name", NAMES)
def test_displacements_and_force_constants_are_phonopys(prototypes, name, kind):
    """From any forces whatever, not only from those that have the symmetry."""
    hand = by_hand(prototypes[name], MATRICES[kind])
    phonopy = quick(hand)
    sites, displacements = sites_and_displacements(phonopy)
    hand.generate_displacements(distance=0.03, is_plusminus=True)
    theirs = hand.dataset["first_atoms"]
    assert len(displacements) == len(theirs)
    assert displacements.atoms.tolist() == [entry["number"] for entry in theirs]
    np.testing.assert_allclose(np.linalg.norm(displacements.vectors, axis=1), 0.03)
    moved = displacements.positions - phonopy.supercell.positions
    np.testing.assert_allclose(
        moved[np.arange(len(moved)), displacements.atoms], displacements.vectors, atol=1e-12
    )
    assert np.count_nonzero(np.linalg.norm(moved, axis=2) > 1e-12) == len(moved)

    forces = np.random.default_rng(0).normal(size=displacements.positions.shape)
    ours = produce_force_constants(phonopy, sites, displacements, forces)
    net = forces.sum(axis=1)
    assert ours.net_force == pytest.approx(np.linalg.norm(net, axis=1).max())
    hand.dataset = displacements.dataset(forces - net[:, None] / forces.shape[1])
    hand.produce_force_constants(calculate_full_force_constants=False)
    raw = solve_finite_differences(sites, displacements, forces - net[:, None] / forces.shape[1])
    np.testing.assert_allclose(raw, hand.force_constants, rtol=0, atol=1e-10)

    full = compact_fc_to_full_fc(hand.primitive, hand.force_constants.copy())
    asymmetry = np.abs(full - full.transpose(1, 0, 3, 2)).max()
    assert ours.asymmetry == pytest.approx(asymmetry, abs=1e-10)
    assert ours.relative_asymmetry == pytest.approx(asymmetry / np.abs(full).max(), abs=1e-10)
    assert ours.sum_rule_before == pytest.approx(
        max(np.abs(full.sum(axis=0)).max(), np.abs(full.sum(axis=1)).max()), abs=1e-9
    )
    symmetrize_force_constants(full)
    np.testing.assert_allclose(ours.values, full[hand.primitive.p2s_map], rtol=0, atol=1e-10)
    assert ours.sum_rule < 1e-10


@pytest.mark.parametrize("name", ["bcc", "hcp", "p-1"])
def test_directions_are_phonopys(prototypes, name):
    hand = by_hand(prototypes[name], None)
    _, displacements = sites_and_displacements(quick(hand))
    hand.generate_displacements(distance=0.03, is_plusminus=True)
    np.testing.assert_allclose(
        displacements.vectors, [entry["displacement"] for entry in hand.dataset["first_atoms"]], atol=1e-12
    )


@pytest.mark.parametrize("name", ["bcc", "hcp", "b32", "p-1"])
def test_symfc_is_symfc(prototypes, name):
    hand = by_hand(prototypes[name], None)
    phonopy = quick(hand)
    sites, displacements = sites_and_displacements(phonopy)
    forces = displaced_forces(phonopy, displacements.positions)
    ours = produce_force_constants(phonopy, sites, displacements, forces, ForceConstants.SYMFC)
    hand.dataset = displacements.dataset(forces - forces.mean(axis=1)[:, None])
    hand.produce_force_constants(fc_calculator="symfc", calculate_full_force_constants=False)
    np.testing.assert_allclose(ours.values, hand.force_constants, rtol=0, atol=1e-10)
    traditional = produce_force_constants(phonopy, sites, displacements, forces)
    assert ours.sum_rule_before == traditional.sum_rule_before
    assert ours.sum_rule < 1e-10
    # another fit of the same forces, which are harmonic but for displacements of 0.03 A
    assert 0 < np.abs(ours.values - traditional.values).max() < 0.02 * np.abs(traditional.values).max()


def test_symmetrised_is_what_the_projector_of_symfc_makes_of_them(prototypes):
    hand = by_hand(prototypes["mosi2"], np.diag([2, 2, 2]))
    sites, displacements = sites_and_displacements(hand)
    forces = np.random.default_rng(1).normal(size=displacements.positions.shape)
    ours = produce_force_constants(hand, sites, displacements, forces)
    hand.dataset = displacements.dataset(forces - forces.mean(axis=1)[:, None])
    hand.produce_force_constants(calculate_full_force_constants=False)
    hand.symmetrize_force_constants(use_symfc_projector=True)
    np.testing.assert_allclose(ours.values, hand.force_constants, rtol=0, atol=1e-10)


def test_net_force_is_removed_and_reported(prototypes):
    hand = by_hand(prototypes["hcp"], None)
    sites, displacements = sites_and_displacements(hand)
    forces = displaced_forces(hand, displacements.positions)
    clean = produce_force_constants(hand, sites, displacements, forces)
    drifted = produce_force_constants(hand, sites, displacements, forces + np.array([0.1, 0, 0]))
    assert clean.net_force < 1e-12
    assert drifted.net_force == pytest.approx(0.1 * len(hand.supercell))
    np.testing.assert_allclose(drifted.values, clean.values, atol=1e-12)


def test_forces_that_are_no_derivative_show(prototypes):
    """A push to the side of a displaced atom's neighbours breaks the symmetry of the Hessian and nothing else."""
    hand = by_hand(prototypes["p1"], np.diag([2, 2, 2]))
    sites, displacements = sites_and_displacements(hand)
    forces = displaced_forces(hand, displacements.positions)
    clean = produce_force_constants(hand, sites, displacements, forces)
    forces[:, sites.first[0]] += np.cross(displacements.vectors, [0, 0, 1.0]) * 5.0
    bent = produce_force_constants(hand, sites, displacements, forces)
    assert clean.relative_asymmetry < 0.02
    assert bent.asymmetry > 1.0
    assert bent.asymmetry > 10 * clean.asymmetry


def test_nearly_symmetric_crystal_needs_as_few_displacements():
    atoms = bulk("NbTa", "cesiumchloride", a=3.3)
    atoms.positions[1] += [0.002, -0.001, 0.001]
    assert len(sites_and_displacements(quick(by_hand(atoms, np.diag([2, 2, 2]), symprec=0.01)))[1]) == 4
    assert len(sites_and_displacements(quick(by_hand(atoms, np.diag([2, 2, 2]), symprec=1e-5)))[1]) > 4


def test_forces_of_another_shape_or_not_finite_are_refused(prototypes):
    hand = by_hand(prototypes["bcc"], None)
    sites, displacements = sites_and_displacements(hand)
    forces = np.zeros(displacements.positions.shape)
    with pytest.raises(ValueError, match="forces must have shape"):
        produce_force_constants(hand, sites, displacements, forces[:-1])
    forces[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not all finite"):
        produce_force_constants(hand, sites, displacements, forces)


def test_crystal_that_phonopy_cannot_take_is_a_value_error():
    with pytest.raises(ValueError, match="phonopy cannot take this crystal"):
        make_phonopy(np.eye(3) * 3, np.zeros((2, 3)), np.array([74, 74]), np.eye(3, dtype=int))
