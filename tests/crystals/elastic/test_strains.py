import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core.elasticity import DeformedStructureSet, Strain
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.elastic.fit import fit_elastic_tensor, symmetrize_tensor
from aiida_pet.crystals.elastic.strains import (
    PROTOCOLS,
    StrainAmounts,
    deformation_gradients,
    equivalent_pairs,
    independent_directions,
    strain_tensors,
)
from aiida_pet.crystals.elastic.voigt import strain_to_voigt, voigt_to_stress
from aiida_pet.crystals.symmetry.spacegroup import find_operations


def point_group(atoms, rotation=None) -> np.ndarray:
    """Return the point group (n, 3, 3) of ``atoms``, turned by ``rotation``."""
    turn = np.eye(3) if rotation is None else rotation
    cell, positions = atoms.cell[:] @ turn.T, atoms.positions @ turn.T
    return find_operations(cell, positions, atoms.numbers, 1e-3).cartesian


def test_strains_of_materials_project_are_those_of_pymatgen():
    """matcalc's ElasticityCalc strains by pymatgen's DeformedStructureSet, whose defaults it has."""
    theirs = DeformedStructureSet(AseAtomsAdaptor.get_structure(bulk("W"))).deformations
    theirs = np.array([strain_to_voigt(np.asarray(Strain.from_deformation(f))) for f in theirs])
    ours = strain_to_voigt(strain_tensors(PROTOCOLS["materials_project"]))
    assert ours.shape == (24, 6)
    order = np.lexsort(np.round(theirs, 9).T)
    np.testing.assert_allclose(ours[np.lexsort(np.round(ours, 9).T)], theirs[order], atol=1e-14)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_strains_of_a_protocol_come_as_plus_and_minus(name):
    strains = strain_tensors(PROTOCOLS[name])
    np.testing.assert_allclose(strains.sum(axis=0), 0, atol=1e-15)
    np.testing.assert_array_equal(strains, strains.transpose(0, 2, 1))
    assert np.linalg.matrix_rank(strain_to_voigt(strains)) == 6


def test_orb_strains_are_large_along_normals_and_small_in_shear():
    strains = strain_tensors(PROTOCOLS["orb_v3"])
    assert sorted(set(strains[:, 0, 0].tolist())) == [-0.1, -0.05, 0.0, 0.05, 0.1]
    assert sorted(set(strains[:, 0, 1].tolist())) == [-0.02, -0.01, 0.0, 0.01, 0.02]


def test_deformation_has_the_strain_and_turns_nothing():
    root = np.random.default_rng(0).normal(scale=0.05, size=(7, 3, 3))
    strains = (root + root.transpose(0, 2, 1)) / 2
    deformations = deformation_gradients(strains)
    np.testing.assert_allclose(deformations, deformations.transpose(0, 2, 1), atol=1e-15)  # no rotation in it
    for strain, deformation in zip(strains, deformations, strict=True):
        np.testing.assert_allclose(Strain.from_deformation(deformation), strain, atol=1e-14)
        np.testing.assert_allclose(
            Strain(strain).get_deformation_matrix("symmetric"), deformation, atol=1e-12
        )


def test_strain_that_flattens_a_crystal_raises():
    with pytest.raises(ValueError, match=r"principal value -0\.6 flattens a crystal"):
        deformation_gradients(np.diag([0.0, -0.6, 0.0]))


@pytest.mark.parametrize(
    ("normal", "shear", "message"),
    [
        ((), (0.01,), "no normal strains"),
        ((0.01,), (), "no shear strains"),
        ((0.0, 0.01), (0.01,), r"normal strains must be .* not zero, got \[0.0\]"),
        ((0.01,), (0.01, 0.5), r"shear strains must be between -0.5 and 0.5 .* got \[0.5\]"),
        ((0.01, 0.01), (0.01,), "normal strains must differ"),
    ],
)
def test_impossible_amounts_raise(normal, shear, message):
    with pytest.raises(ValueError, match=message):
        StrainAmounts(normal, shear)


def test_strains_along_given_directions_only():
    strains = strain_tensors(StrainAmounts((0.01,), (0.02, -0.02)), (1, 4))
    expected = np.zeros((3, 3, 3))
    expected[0, 1, 1] = 0.01
    expected[1, 0, 2] = expected[1, 2, 0] = 0.02
    expected[2] = -expected[1]
    np.testing.assert_allclose(strains, expected)


@pytest.mark.parametrize(
    ("name", "count"),
    [("bcc cubic", 2), ("pyrite", 2), ("hcp", 3), ("quartz", 3), ("l1_0", 4), ("marcasite", 6), ("p1", 6)],
)
def test_directions_that_the_point_group_leaves(prototypes, name, count):
    assert len(independent_directions(point_group(prototypes[name]))) == count


def test_equivalent_pairs_give_the_tensor_of_all_strains(prototypes):
    """For a crystal that has the group exactly, whatever its axes: the same least-squares problem, solved with less."""
    rng = np.random.default_rng(1)
    fewer = 0
    for name in ("bcc", "pyrite", "hcp", "quartz", "ilmenite", "l1_0", "i-4", "marcasite", "c2m", "p-1"):
        rotations = point_group(prototypes[name], Rotation.random(rng=rng).as_matrix())
        root = rng.normal(size=(6, 6))
        tensor = symmetrize_tensor(10 * root @ root.T + 50 * np.eye(6), rotations)
        directions = independent_directions(rotations)
        fewer += len(directions) < 6
        strains = strain_tensors(PROTOCOLS["linear"], directions)
        stresses = voigt_to_stress(strain_to_voigt(strains) @ tensor)
        fit = fit_elastic_tensor(*equivalent_pairs(strains, stresses, rotations), np.zeros((3, 3)))
        np.testing.assert_allclose(fit.tensor, tensor, atol=1e-8, err_msg=name)
        assert len(strains) == 4 * len(directions)
    assert fewer >= 8
