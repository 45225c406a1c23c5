import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core.elasticity import DeformedStructureSet, Strain
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_pet.crystals.elastic.strains import (
    PROTOCOLS,
    StrainAmounts,
    deformation_gradients,
    strain_tensors,
)
from aiida_pet.crystals.elastic.voigt import strain_to_voigt


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
