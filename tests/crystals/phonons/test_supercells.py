"""The rule by which supercells are chosen, against brute force and phonopy's own symmetry."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.phonons.supercells import choose_supercell, given_supercell, shortest_image

NAMES = ["bcc", "fcc", "hcp", "d0_3", "mosi2", "anatase", "bi2te3", "ibam", "c2m", "c2c", "p-1", "p1"]


def choose(atoms: Atoms, **options):
    return choose_supercell(atoms.cell[:], atoms.positions, atoms.numbers, **options)


def unit_cell(atoms: Atoms, chosen) -> Atoms:
    kept = chosen.primitive_atoms
    cell = chosen.primitive_matrix.T @ atoms.cell[:]
    return Atoms(atoms.numbers[kept], positions=atoms.positions[kept], cell=cell, pbc=True)


def brute_image(cell: np.ndarray) -> float:
    """Return the shortest of many lattice vectors."""
    grid = np.array([n for n in product(range(-6, 7), repeat=3) if any(n)])
    return np.linalg.norm(grid @ cell, axis=1).min()


@pytest.mark.parametrize("name", NAMES)
def test_supercell_has_the_distance_and_the_point_group(prototypes, name):
    atoms = prototypes[name]
    chosen = choose(atoms, min_image=8.0)
    unit = unit_cell(atoms, chosen)
    cell = chosen.matrix.T @ unit.cell[:]
    assert chosen.n_atoms == len(unit) * round(np.linalg.det(chosen.matrix))
    assert not chosen.capped
    assert chosen.min_image >= 8.0
    assert chosen.min_image == pytest.approx(brute_image(cell), abs=1e-9)
    given = PhonopyAtoms(
        numbers=unit.numbers, cell=unit.cell[:], scaled_positions=unit.get_scaled_positions()
    )
    phonopy = Phonopy(given, chosen.matrix, primitive_matrix="P", symprec=1e-3)
    assert len(phonopy.symmetry.pointgroup_operations) == len(
        phonopy.primitive_symmetry.pointgroup_operations
    )


@pytest.mark.parametrize("name", NAMES)
def test_no_smaller_multiple_of_the_primitive_cell_would_do(prototypes, name):
    atoms = prototypes[name]
    chosen = choose(atoms, min_image=8.0)
    unit = unit_cell(atoms, chosen)
    times = next(n for n in range(1, 20) if brute_image(n * unit.cell[:]) >= 8.0)
    assert chosen.n_atoms <= len(unit) * times**3


def test_bcc_and_fcc_take_the_basis_that_costs_less():
    """bcc: 5x5x5 primitive cells, 13.7 A, have 125 atoms, 4x4x4 cubic cells 128. fcc: 3x3x3 cubic cells have 108."""
    assert choose(bulk("W", "bcc", a=3.17)).n_atoms == 125
    fcc = bulk("Al", "fcc", a=4.05)
    chosen = choose(fcc)
    cell = chosen.matrix.T @ fcc.cell[:]
    assert chosen.n_atoms == 108
    np.testing.assert_allclose(cell @ cell.T, np.eye(3) * 12.15**2, atol=1e-9)


def test_cap_takes_the_largest_distance_that_is_allowed(prototypes):
    atoms = prototypes["rutile"]
    chosen = choose(atoms, min_image=12.0, max_atoms=100)
    assert chosen.capped
    assert chosen.n_atoms <= 100
    assert chosen.min_image < 12.0
    # diag(a, a, c) has the tetragonal point group
    allowed = [
        brute_image(np.diag([a, a, c]) @ atoms.cell[:])
        for a, c in product(range(1, 5), repeat=2)
        if 6 * a * a * c <= 100
    ]
    assert chosen.min_image == pytest.approx(max(allowed))


def test_primitive_cell_is_always_allowed(prototypes):
    chosen = choose(prototypes["cementite"], max_atoms=3)
    assert chosen.capped
    assert chosen.n_atoms == 16
    assert round(np.linalg.det(chosen.matrix)) == 1


def test_distance_wanted_decides_the_size():
    atoms = bulk("W", "bcc", a=3.17)
    sizes = [choose(atoms, min_image=wanted).n_atoms for wanted in (3.0, 6.0, 9.0, 12.0)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


@pytest.mark.parametrize("matrix", [np.diag([2, 2, 2]), np.array([[1, 1, 0], [-1, 1, 0], [0, 0, 3]])])
def test_primitive_cell_is_found_without_a_rotation_or_a_move(matrix):
    """Repeated by the cell given, the primitive cell is the crystal again, atom by atom."""
    turn = Rotation.from_rotvec([0.3, -0.7, 1.1]).as_matrix()
    primitive = bulk("NbTa", "cesiumchloride", a=3.3)
    primitive.positions += 0.123
    primitive.set_cell(primitive.cell[:] @ turn.T, scale_atoms=True)
    given = make_supercell(primitive, matrix)
    chosen = choose(given)
    unit = unit_cell(given, chosen)
    assert len(unit) == 2
    assert np.linalg.det(unit.cell[:]) > 0
    back = np.round(given.cell[:] @ np.linalg.inv(unit.cell[:])).astype(int)
    np.testing.assert_allclose(back @ unit.cell[:], given.cell[:], atol=1e-9)
    again = make_supercell(unit, back)
    for number, position in zip(given.numbers, given.positions, strict=True):
        apart = (again.positions - position) @ np.linalg.inv(given.cell[:])
        distances = np.linalg.norm((apart - np.round(apart)) @ given.cell[:], axis=1)
        assert distances.min() < 1e-9
        assert again.numbers[distances.argmin()] == number


def test_conventional_cell_of_a_primitive_one_is_the_cube():
    atoms = bulk("W", "bcc", a=3.17)
    cell = choose(atoms).conventional_matrix.T @ atoms.cell[:]
    np.testing.assert_allclose(cell @ cell.T, np.eye(3) * 3.17**2, atol=1e-9)


def test_left_handed_cell_becomes_right_handed():
    atoms = bulk("Ti", "hcp", a=2.95, c=4.68)
    left = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell[[1, 0, 2]], pbc=True)
    chosen = choose(left)
    assert np.linalg.det(unit_cell(left, chosen).cell[:]) > 0
    assert np.linalg.det(chosen.matrix) > 0
    assert chosen.n_atoms == choose(atoms).n_atoms


def test_size_does_not_depend_on_the_basis_of_the_cell(prototypes):
    atoms = prototypes["anatase"]
    skewed = make_supercell(atoms, [[1, 0, 0], [2, 1, 0], [-1, 3, 1]])
    assert choose(skewed).n_atoms == choose(atoms).n_atoms
    assert choose(skewed).min_image == pytest.approx(choose(atoms).min_image)


def test_shortest_image_of_a_skewed_cell_is_no_row_of_it():
    cell = np.array([[3.0, 0, 0], [7.0, 3.0, 0], [1.0, 5.0, 4.0]])
    assert shortest_image(cell) == pytest.approx(brute_image(cell))
    assert shortest_image(10 * np.eye(3)) == pytest.approx(10.0)
    assert shortest_image(np.array([[1, 0, 0], [50, 0.5, 0], [0, 0, 1.0]])) == pytest.approx(0.5)


@pytest.mark.parametrize("supercell", [(3, 3, 3), 3 * np.eye(3), (-3, 3, 3)])
def test_given_supercell_is_of_the_primitive_cell(supercell):
    atoms = bulk("W", "bcc", a=3.17, cubic=True)
    chosen = choose(atoms, supercell=supercell, max_atoms=2)
    nearest = 3.17 * np.sqrt(3) / 2
    assert chosen.n_atoms == 27
    assert chosen.capped
    assert chosen.min_image == pytest.approx(3 * nearest)
    assert not choose(atoms, supercell=supercell, min_image=8.0).capped


def test_given_matrix_is_phonopys():
    """Columns are the new vectors in the old basis: (a b c) M."""
    atoms = Atoms("W", cell=[3.0, 4.0, 5.0], pbc=True)
    matrix = [[1, 0, 0], [2, 1, 0], [0, 0, 1]]
    chosen = choose(atoms, supercell=matrix)
    np.testing.assert_allclose(
        chosen.matrix.T @ unit_cell(atoms, chosen).cell[:], np.transpose(matrix) @ atoms.cell[:]
    )


def test_supercell_of_too_many_atoms_is_refused_unless_the_limit_is_raised() -> None:
    with pytest.raises(ValueError, match=r"makes a supercell of 5,832 atoms: expected at most 5,000"):
        choose(bulk("Cu"), supercell=(18, 18, 18))
    with pytest.raises(ValueError, match=r"5,832 atoms: expected at most 5,831"):
        choose(bulk("Cu"), supercell=(18, 18, 18), max_atoms=5831)
    assert choose(bulk("Cu"), supercell=(18, 18, 18), max_atoms=5832).n_atoms == 5832


@pytest.mark.parametrize("supercell", [(2, 2), (2, 2, 0), (1.5, 2, 2), [[1, 0, 0], [1, 0, 0], [0, 0, 1]]])
def test_bad_supercell_is_named(supercell):
    with pytest.raises(ValueError, match=r"supercell = .*: expected 3 whole numbers"):
        choose(bulk("W"), supercell=supercell)


def test_loose_tolerance_finds_the_smaller_primitive_cell():
    atoms = bulk("W", "bcc", a=3.17, cubic=True)
    atoms.positions[1] += 0.005
    assert len(choose(atoms, symprec=0.05).primitive_atoms) == 1
    assert len(choose(atoms, symprec=1e-4).primitive_atoms) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_supercell_that_was_chosen_is_the_same_when_it_is_given(prototypes, name):
    atoms = prototypes[name]
    chosen = choose(atoms, min_image=8.0)
    given = given_supercell(
        atoms.cell[:],
        atoms.positions,
        atoms.numbers,
        primitive_matrix=chosen.primitive_matrix,
        supercell=chosen.matrix,
        min_image=8.0,
    )
    np.testing.assert_allclose(given.primitive_matrix, chosen.primitive_matrix, atol=1e-12)
    np.testing.assert_array_equal(given.primitive_atoms, chosen.primitive_atoms)
    np.testing.assert_array_equal(given.matrix, chosen.matrix)
    assert (given.n_atoms, given.min_image, given.capped) == (chosen.n_atoms, chosen.min_image, chosen.capped)


def test_a_primitive_cell_that_is_none_is_refused():
    atoms = bulk("W", a=3.18, cubic=True)
    of = (atoms.cell[:], atoms.positions, atoms.numbers)
    # a unit cell of a reference need not be as small as it could be
    larger = given_supercell(*of, primitive_matrix=np.eye(3), supercell=(2, 2, 2))
    assert (larger.n_atoms, len(larger.primitive_atoms)) == (16, 2)
    with pytest.raises(ValueError, match="inverse has whole numbers"):
        given_supercell(*of, primitive_matrix=0.7 * np.eye(3), supercell=(2, 2, 2))
    with pytest.raises(ValueError, match="inverse has whole numbers"):
        given_supercell(*of, primitive_matrix=np.zeros((3, 3)), supercell=(2, 2, 2))
    with pytest.raises(ValueError, match="its 2 atoms are not periodic images"):
        given_supercell(*of, primitive_matrix=0.5 * np.eye(3), supercell=(2, 2, 2))
