import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from pymatgen.core.elasticity import ElasticTensor, Strain, Stress
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.elastic.voigt import (
    from_mandel,
    mandel_rotations,
    rotate_tensor,
    strain_to_voigt,
    stress_to_voigt,
    to_mandel,
    voigt_to_stress,
)
from aiida_pet.units import VOIGT, VOIGT_PAIRS, VOIGT_PLACES


def symmetric(seed: int, *shape: int) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(*shape, 3, 3))
    return values + np.swapaxes(values, -1, -2)


def test_voigt_forms_are_those_of_pymatgen():
    tensor = symmetric(0)
    np.testing.assert_allclose(stress_to_voigt(tensor), Stress(tensor).voigt, rtol=1e-14)
    np.testing.assert_allclose(strain_to_voigt(tensor), Strain(tensor).voigt, rtol=1e-14)


def test_voigt_form_of_a_stress_comes_back():
    tensors = symmetric(1, 4, 2)
    np.testing.assert_array_equal(voigt_to_stress(stress_to_voigt(tensors)), tensors)


def test_mandel_form_comes_back_and_keeps_the_energy():
    tensor = np.random.default_rng(2).normal(size=(6, 6))
    np.testing.assert_allclose(from_mandel(to_mandel(tensor)), tensor, rtol=1e-14)
    strain = symmetric(3)
    mandel = stress_to_voigt(strain) * np.sqrt([1, 1, 1, 2, 2, 2])
    voigt = strain_to_voigt(strain)
    np.testing.assert_allclose(mandel @ to_mandel(tensor) @ mandel, voigt @ tensor @ voigt, rtol=1e-12)


def test_mandel_rotations_are_orthogonal_and_turn_tensors():
    rotations = Rotation.random(5, rng=0).as_matrix() * np.array([1, -1, 1, -1, 1])[:, None, None]
    turns = mandel_rotations(rotations)
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.tile(np.eye(6), (5, 1, 1)), atol=1e-14)
    tensor, scale = symmetric(4), np.sqrt([1, 1, 1, 2, 2, 2])
    turned = stress_to_voigt(rotations @ tensor @ rotations.transpose(0, 2, 1)) * scale
    np.testing.assert_allclose(turns @ (stress_to_voigt(tensor) * scale), turned, atol=1e-13)


def test_rotated_tensors_are_those_of_pymatgen():
    rng = np.random.default_rng(5)
    tensors = rng.normal(size=(3, 6, 6))
    tensors = tensors + tensors.transpose(0, 2, 1)
    rotations = Rotation.random(3, rng=rng).as_matrix()
    expected = [ElasticTensor.from_voigt(c).rotate(r).voigt for c, r in zip(tensors, rotations, strict=True)]
    np.testing.assert_allclose(rotate_tensor(tensors, rotations), expected, atol=1e-12)


def test_places_and_pairs_are_those_of_ase():
    assert full_3x3_to_voigt_6_stress(np.array(VOIGT_PLACES)).tolist() == [0, 1, 2, 3, 4, 5]
    assert [VOIGT_PLACES[i][j] for i, j in VOIGT_PAIRS] == list(range(6))
    assert ["".join("xyz"[axis] for axis in pair) for pair in VOIGT_PAIRS] == list(VOIGT)
