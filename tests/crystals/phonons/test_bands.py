"""Band paths and densities of states by atom, against seekpath and phonopy driven by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import seekpath
from ase import Atoms
from ase.build import bulk, make_supercell
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.phonons.bands import band_path, band_structure, projected_dos
from aiida_pet.crystals.phonons.displacements import SupercellSites, generate_displacements
from aiida_pet.crystals.phonons.force_constants import produce_force_constants
from aiida_pet.crystals.phonons.harmonic import harmonic_properties, make_phonopy, nac_parameters
from aiida_pet.crystals.symmetry.spacegroup import spacegroup_numbers
from aiida_pet.tables.crystals import StructureTable
from support.pair_forces import displaced_forces


def parts(atoms: Atoms):
    return atoms.cell[:], atoms.positions, atoms.numbers


def with_forces(atoms: Atoms, matrix=2):
    phonopy = make_phonopy(*parts(atoms), np.eye(3, dtype=int) * matrix)
    sites = SupercellSites.of(phonopy)
    displacements = generate_displacements(sites, phonopy.supercell.positions, 0.01)
    forces = displaced_forces(phonopy, displacements.positions)
    phonopy.force_constants = produce_force_constants(phonopy, sites, displacements, forces).values
    return phonopy


def cartesian(path, cell) -> dict[str, np.ndarray]:
    return {label: np.linalg.inv(cell) @ point for label, point in path.points.items()}


@pytest.mark.parametrize(
    ("name", "number"), [("fcc", 225), ("bcc", 229), ("hcp", 194), ("mosi2", 139), ("p-1", 2)]
)
def test_path_is_that_of_seekpath(prototypes, name, number):
    atoms = prototypes[name]
    path = band_path(*parts(atoms), symprec=1e-3)
    expected = seekpath.get_path_orig_cell(
        (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
    )
    assert path.spacegroup == number
    assert list(path.segments) == expected["path"]
    assert not path.is_supercell
    for label, point in expected["point_coords"].items():
        np.testing.assert_allclose(path.points[label], point, atol=1e-12)


def test_points_of_fcc_are_those_of_the_textbook():
    """X = (0, 0, 1) 1/a and L = (1/2, 1/2, 1/2) 1/a, up to the cube's operations."""
    atoms = bulk("Al", "fcc", a=4.0)
    path = band_path(*parts(atoms))
    points = cartesian(path, atoms.cell[:])
    np.testing.assert_allclose(np.sort(np.abs(points["X"]) * 4.0), [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(np.abs(points["L"]) * 4.0, [0.5] * 3, atol=1e-9)


def test_tolerance_decides_which_path_it_is():
    atoms = bulk("NbTa", "cesiumchloride", a=3.3)
    atoms.positions[1] += [0.0, 0.0, 0.02]
    assert band_path(*parts(atoms), symprec=0.001).spacegroup == 99
    assert band_path(*parts(atoms), symprec=0.1).spacegroup == 221


def test_supercell_at_the_tolerance_of_the_path_says_so():
    atoms = bulk("W", "bcc", a=3.17, cubic=True)
    atoms.positions[1] += 0.01
    with pytest.warns(seekpath.SupercellWarning):
        path = band_path(*parts(atoms), symprec=0.1)
    assert path.is_supercell
    assert not band_path(*parts(atoms), symprec=1e-4).is_supercell


def strained(atoms: Atoms) -> Atoms:
    """Return it sheared by 2 % and with atoms moved, so that nothing is left of its group but the lattice."""
    cell = atoms.cell[:] @ (np.eye(3) + 0.02 * np.array([[0, 1, 0.3], [1, 0.5, 0.2], [0.3, 0.2, -0.4]]))
    moved = Atoms(atoms.numbers, scaled_positions=atoms.get_scaled_positions(), cell=cell, pbc=True)
    moved.rattle(0.03, seed=1)
    return moved


def test_parents_path_has_the_parents_labels_and_places(prototypes):
    """In the basis of the crystal, and in Cartesian axes but for the strain."""
    parent = prototypes["b2"]
    crystal = strained(parent)
    own, borrowed = band_path(*parts(crystal)), band_path(*parts(crystal), parent=parts(parent))
    assert own.spacegroup == 1
    assert borrowed.spacegroup == 221
    expected = cartesian(band_path(*parts(parent)), parent.cell[:])
    got = cartesian(borrowed, crystal.cell[:])
    assert set(got) == set(expected)
    for label, point in expected.items():
        assert np.linalg.norm(got[label] - point) < 0.05 * max(np.linalg.norm(point), 0.1)


@pytest.mark.parametrize("basis", [np.eye(3, dtype=int), np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]])])
def test_parent_may_have_another_basis_or_a_conventional_cell(prototypes, basis):
    """The same points in space, whatever cells the two are given in."""
    primitive = prototypes["rocksalt"]
    crystal = make_supercell(primitive, basis)
    expected = cartesian(band_path(*parts(primitive)), primitive.cell[:])
    for parent in (primitive, prototypes["rocksalt cubic"]):
        path = band_path(*parts(crystal), parent=parts(parent))
        got = cartesian(path, crystal.cell[:])
        assert path.spacegroup == 225
        # up to the cube's operations, since a path may start in any of equivalent directions
        for label, point in expected.items():
            np.testing.assert_allclose(np.sort(np.abs(got[label])), np.sort(np.abs(point)), atol=1e-9)


def test_points_of_the_parent_are_its_high_symmetry_points_in_the_crystal(prototypes):
    """Bands of the parent itself on its own path and of a copy in another basis on the borrowed one are the same."""
    parent = prototypes["rocksalt"]
    copy = make_supercell(parent, [[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    own = band_structure(with_forces(parent, 3), band_path(*parts(parent)), spacing=0.05)
    borrowed = band_structure(
        with_forces(copy, 3), band_path(*parts(copy), parent=parts(parent)), spacing=0.05
    )
    np.testing.assert_allclose(borrowed.distances, own.distances, atol=1e-9)
    # supercells of 3x3x3 cells in two bases are the same lattice
    np.testing.assert_allclose(borrowed.frequencies, own.frequencies, atol=1e-3)


def test_parent_with_another_lattice_is_refused(prototypes):
    with pytest.raises(ValueError, match="another lattice"):
        band_path(*parts(prototypes["bcc"]), parent=parts(prototypes["a15"]))


def test_parent_that_is_turned_is_refused(prototypes):
    parent = prototypes["b2"]
    turn = Rotation.from_rotvec([0, 0, 0.3]).as_matrix()
    turned = Atoms(
        parent.numbers, positions=parent.positions @ turn.T, cell=parent.cell[:] @ turn.T, pbc=True
    )
    with pytest.raises(ValueError, match="strained or rotated by"):
        band_path(*parts(turned), parent=parts(parent))


def test_crystal_without_a_path_is_a_value_error():
    overlap = Atoms("W2", positions=np.zeros((2, 3)), cell=np.eye(3) * 3, pbc=True)
    with pytest.raises(ValueError, match="no band path: too close"):
        band_path(*parts(overlap))


def test_bands_are_phonopys_at_each_point(prototypes):
    phonopy = with_forces(prototypes["b2"])
    path = band_path(*parts(prototypes["b2"]))
    bands = band_structure(phonopy, path, spacing=0.03)
    np.testing.assert_allclose(
        bands.frequencies, phonopy.run_qpoints(bands.qpoints).frequencies, rtol=0, atol=1e-4
    )
    assert bands.frequencies.shape == (len(bands.qpoints), 6)
    labels = bands.labels
    for index, label in labels:
        np.testing.assert_allclose(bands.qpoints[index], path.points[label], atol=1e-12)
    assert bands.offsets[0] == 0
    assert bands.offsets[-1] == len(bands.qpoints)


@pytest.mark.parametrize("name", ["b2", "bcc"])
def test_each_point_has_its_label_once_as_in_seekpath(prototypes, name):
    """seekpath's own list of points has each once where the path goes on; AiiDA's plots join labels side by side."""
    crystal = prototypes[name]
    bands = band_structure(with_forces(crystal), band_path(*parts(crystal)), spacing=0.05)
    labels = bands.labels
    given = (crystal.cell[:], crystal.get_scaled_positions(), crystal.numbers)
    reference = seekpath.get_explicit_k_path_orig_cell(given, recipe="hpkot")
    assert [label for _, label in labels] == [
        label for label in reference["explicit_kpoints_labels"] if label
    ]
    breaks = [(a, b) for (i, a), (j, b) in pairwise(labels) if j == i + 1]
    segments = bands.path.segments
    assert breaks == [(a[1], b[0]) for a, b in pairwise(segments) if a[1] != b[0]]


def test_distances_are_lengths_in_reciprocal_space_and_spacing_bounds_them(prototypes):
    phonopy = with_forces(prototypes["b2"])
    bands = band_structure(phonopy, band_path(*parts(prototypes["b2"])), spacing=0.02)
    reciprocal = np.linalg.inv(prototypes["b2"].cell[:])
    for first, last in zip(bands.offsets[:-1], bands.offsets[1:], strict=True):
        steps = np.linalg.norm(np.diff(bands.qpoints[first:last], axis=0) @ reciprocal.T, axis=1)
        np.testing.assert_allclose(np.diff(bands.distances[first:last]), steps, atol=1e-12)
        assert steps.max() <= 0.02 + 1e-12
    coarse = band_structure(phonopy, bands.path, spacing=0.1)
    assert len(coarse.qpoints) < len(bands.qpoints)


def test_bands_reach_gamma_from_the_side_of_the_path_where_that_matters(prototypes):
    """With the non-analytical correction the longitudinal branch is continuous up to Gamma along each segment."""
    phonopy = with_forces(prototypes["rocksalt"])
    phonopy.nac_params = nac_parameters([np.eye(3) * 1.1, -np.eye(3) * 1.1], np.eye(3) * 2.4, 2)
    bands = band_structure(phonopy, band_path(*parts(prototypes["rocksalt"])), spacing=0.002)
    index = next(i for i, label in bands.labels if label == "GAMMA")
    assert index == 0
    assert np.abs(bands.frequencies[0] - bands.frequencies[1])[5] < 0.01
    # without a direction Gamma has no longitudinal mode of its own
    assert np.abs(bands.frequencies[0, 5] - phonopy.run_qpoints([[0, 0, 0]]).frequencies[0, 5]) > 0.1


def test_densities_of_the_atoms_sum_up_to_the_total(prototypes):
    phonopy = with_forces(prototypes["b2"])
    grid = np.linspace(-10.0, 20.0, 301)
    found = projected_dos(phonopy, grid, mesh=20.0, sigma=0.1)
    assert found.atoms.shape == (2, len(grid))
    total = harmonic_properties(phonopy, frequencies=grid, mesh=20.0, dos_sigma=0.1).phonon_dos
    np.testing.assert_allclose(found.total, total, atol=1e-6)
    np.testing.assert_allclose(np.trapezoid(found.atoms, grid, axis=1), 3.0, rtol=1e-6)
    np.testing.assert_array_equal(found.frequencies, grid)
    assert np.abs(found.atoms[0] - found.atoms[1]).max() > 0.01


def test_path_near_the_tolerance_is_of_the_group_that_the_engine_finds():
    """Seekpath left to itself takes the crystals to be of other groups, at the same tolerance."""
    found, of_seekpath = [], []
    for seed in range(10):
        atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
        atoms.rattle(0.002, seed=seed)
        table = StructureTable.from_ase([("a", atoms)])
        ((number,),) = spacegroup_numbers(table, [0.01]).values()
        path = band_path(*parts(atoms), symprec=0.01)
        assert path.spacegroup == number
        ideal = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
        if number == 225:
            assert path.segments == band_path(*parts(ideal)).segments
        found.append(int(number))
        cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
        of_seekpath.append(seekpath.get_path_orig_cell(cell, symprec=0.01)["spacegroup_number"])
    assert 225 in found
    assert of_seekpath != found
