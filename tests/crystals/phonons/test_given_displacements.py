"""Displacements of phonopy's files in supercells of ours: from their forces phonopy and this make the same."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.phonons.displacements import SupercellSites
from aiida_pet.crystals.phonons.force_constants import produce_force_constants
from aiida_pet.crystals.phonons.given_displacements import given_displacements, order_of_supercell
from aiida_pet.crystals.phonons.harmonic import make_phonopy
from aiida_pet.crystals.phonons.supercells import given_supercell

FCC = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def forces_of(springs: np.ndarray, cell: np.ndarray, positions: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """Return forces of springs between all atoms, the strength of which falls with their distance: O(3)-invariant."""
    moved = positions - ideal
    apart = ideal[None] - ideal[:, None]
    fractions = np.linalg.solve(cell.T, apart.reshape(-1, 3).T).T
    apart = ((fractions - np.round(fractions)) @ cell).reshape(apart.shape)
    distance = np.linalg.norm(apart, axis=2)
    # a spring to an image that is as near in another direction would have no direction
    strength = np.where((distance > 0.1) & (distance < 0.45 * np.linalg.norm(cell, axis=1).min()), 1.0, 0.0)
    strength = strength * np.exp(-distance) * springs[:, None] * springs[None]
    direction = apart / np.where(distance > 0.1, distance, 1.0)[..., None]
    stretch = np.einsum("ija,ija->ij", direction, moved[None] - moved[:, None])
    found: np.ndarray = np.einsum("ij,ija->ia", strength * stretch, direction)
    return found


def rocksalt(order: str) -> Atoms:
    """Return the cubic cell with its atoms in some order, so that other atoms stand for the sites."""
    atoms = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    return atoms if order == "as made" else atoms[[5, 3, 0, 7, 1, 6, 2, 4]]


@pytest.mark.parametrize("order", ["as made", "mixed"])
@pytest.mark.parametrize("plus_minus", [True, "auto"])
def test_force_constants_are_those_of_phonopy_from_its_own_displacements(order, plus_minus):
    atoms = rocksalt(order)
    unit_cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], positions=atoms.positions
    )
    matrix = np.diag([2, 2, 2])
    theirs = Phonopy(unit_cell, matrix, primitive_matrix=FCC)
    theirs.generate_displacements(distance=0.01, is_plusminus=plus_minus)
    ideal, cell = theirs.supercell.positions, theirs.supercell.cell
    springs = np.where(theirs.supercell.numbers == 12, 1.0, 1.5)
    theirs.forces = [
        forces_of(springs, cell, one.positions, ideal) for one in theirs.supercells_with_displacements
    ]
    theirs.produce_force_constants()
    theirs.symmetrize_force_constants()

    chosen = given_supercell(
        atoms.cell[:],
        atoms.positions,
        atoms.numbers,
        primitive_matrix=FCC,
        supercell=np.round(np.linalg.solve(FCC, matrix)),
    )
    ours = make_phonopy(
        chosen.primitive_matrix.T @ atoms.cell[:],
        atoms.positions[chosen.primitive_atoms],
        atoms.numbers[chosen.primitive_atoms],
        chosen.matrix,
        symprec=1e-5,
    )
    sites = SupercellSites.of(ours)
    order_of = order_of_supercell(ours, sites, unit_cell, matrix)
    # a permutation, of the same atoms at the same places
    assert sorted(order_of.tolist()) == list(range(64))
    there = np.linalg.solve(ours.supercell.cell.T, (ours.supercell.positions[order_of] - ideal).T)
    assert np.abs(there - np.round(there)).max() < 1e-8
    np.testing.assert_array_equal(ours.supercell.numbers[order_of], theirs.supercell.numbers)
    moved = np.array(
        [(n, one["number"], *one["displacement"]) for n, one in enumerate(theirs.dataset["first_atoms"])]
    )
    found = given_displacements(sites, ours.supercell.positions, moved, order_of)
    assert len(found) == len(moved)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 0.01)
    springs = np.where(ours.supercell.numbers == 12, 1.0, 1.5)
    forces = np.array(
        [forces_of(springs, ours.supercell.cell, one, ours.supercell.positions) for one in found.positions]
    )
    solved = produce_force_constants(ours, sites, found, forces)
    ours.force_constants = solved.values
    points = [[0, 0, 0], [0.5, 0.5, 0], [0.25, 0, 0.25], [0.1, 0.2, 0.3]]
    np.testing.assert_allclose(
        ours.run_qpoints(points).frequencies, theirs.run_qpoints(points).frequencies, atol=2e-3
    )


def test_what_does_not_determine_force_constants_is_refused():
    atoms = bulk("W", a=3.18)
    phonopy = make_phonopy(atoms.cell[:], atoms.positions, atoms.numbers, 2 * np.eye(3, dtype=int))
    sites = SupercellSites.of(phonopy)
    order, positions = np.arange(8), phonopy.supercell.positions
    one = np.array([[0.0, 3.0, 0.01, 0.0, 0.0]])
    found = given_displacements(sites, positions, one, order)
    assert found.atoms.tolist() == [0]  # by a translation
    with pytest.raises(ValueError, match="do not give three independent directions"):
        given_displacements(sites.without_symmetry(), positions, one, order)
    with pytest.raises(ValueError, match="several atoms of a supercell are displaced"):
        given_displacements(sites, positions, np.concatenate([one, one]), order)
    with pytest.raises(ValueError, match="atom 8 is displaced, but the supercell has atoms 0 to 7"):
        given_displacements(sites, positions, np.array([[0.0, 8.0, 0.01, 0.0, 0.0]]), order)
