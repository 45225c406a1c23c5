"""Sets of rotations against metatomic's grid, Wigner matrices and the group axioms."""

from __future__ import annotations

import numpy as np
import pytest
from metatomic_ase._symmetry import _choose_quadrature, _get_quadrature
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from aiida_pet.crystals.symmetry.rotation_sets import (
    RotationSet,
    icosahedral,
    lebedev,
    octahedral,
    random_rotation,
    random_rotations,
)

Array = NDArray[np.float64]
SETS = [lebedev(1), lebedev(3), lebedev(4), icosahedral(), octahedral()]
GROUPS = [icosahedral(), octahedral()]


def by_name(rotations: RotationSet) -> str:
    return rotations.name


def harmonics(degree: int, points: Array) -> NDArray[np.complex128]:
    """Return (n, 2 degree + 1) spherical harmonics of points (n, 3) on the unit sphere."""
    theta, phi = np.arccos(points[:, 2]), np.arctan2(points[:, 1], points[:, 0])
    return np.stack([sph_harm_y(degree, m, theta, phi) for m in range(-degree, degree + 1)], axis=1)


def wigner(degree: int, matrices: Array) -> NDArray[np.complex128]:
    """Return (K, 2 degree + 1, 2 degree + 1) matrices D that take Y(x) to Y(R x), from values at points."""
    points = np.random.default_rng(0).normal(size=(4 * degree + 4, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    inverse = np.linalg.pinv(harmonics(degree, points))
    return np.stack([inverse @ harmonics(degree, points @ matrix.T) for matrix in matrices])


def wigner_mean(rotations: RotationSet, degree: int) -> float:
    """Return the largest element of the mean of D^degree over the proper rotations, 0 over all of SO(3).

    The improper ones would cancel odd degrees by their sign alone.
    """
    proper = np.linalg.det(rotations.matrices) > 0
    matrices = wigner(degree, rotations.matrices[proper])
    return float(2 * np.abs(np.einsum("k,kab->ab", rotations.weights[proper], matrices)).max())


@pytest.mark.parametrize("rotations", SETS, ids=by_name)
def test_set_is_of_orthogonal_matrices_half_of_them_improper(rotations: RotationSet) -> None:
    matrices = rotations.matrices
    assert np.abs(matrices @ matrices.mT - np.eye(3)).max() < 1e-14
    assert rotations.weights[np.linalg.det(matrices) < 0].sum() == pytest.approx(0.5, abs=1e-14)
    assert rotations.weights.min() > 0
    assert rotations.weights.sum() == pytest.approx(1, abs=1e-14)
    assert len(rotations) == len(matrices)


@pytest.mark.parametrize(("l_max", "size"), [(1, 36), (2, 60), (3, 84), (4, 252), (5, 308), (6, 676)])
def test_lebedev_equals_metatomic(l_max: int, size: int) -> None:
    matrices, weights = _get_quadrature(*_choose_quadrature(l_max), include_inversion=True)
    rotations = lebedev(l_max)
    distance = cdist(rotations.matrices.reshape(-1, 9), matrices.reshape(-1, 9))
    match = distance.argmin(axis=1)
    assert sorted(match) == list(range(size))
    assert distance.min(axis=1).max() < 1e-13
    # metatomic's weights sum to 1 within 1e-12 before it divides by their sum
    np.testing.assert_allclose(rotations.weights, weights[match] / weights.sum(), rtol=1e-13)


@pytest.mark.parametrize(("l_max", "size"), [(1, 18), (3, 42)])
def test_lebedev_without_inversion_equals_metatomic_without(l_max: int, size: int) -> None:
    matrices, weights = _get_quadrature(*_choose_quadrature(l_max), include_inversion=False)
    rotations = lebedev(l_max, inversion=False)
    assert len(rotations) == size
    assert (np.linalg.det(rotations.matrices) > 0).all()
    distance = cdist(rotations.matrices.reshape(-1, 9), matrices.reshape(-1, 9))
    match = distance.argmin(axis=1)
    assert sorted(match) == list(range(size))
    assert distance.min(axis=1).max() < 1e-13
    np.testing.assert_allclose(rotations.weights, weights[match] / weights.sum(), rtol=1e-13)


@pytest.mark.parametrize("l_max", [0, -3, 132])
def test_lebedev_of_no_rule_says_what_there_is(l_max: int) -> None:
    with pytest.raises(ValueError, match=f"l_max is {l_max}; there are Lebedev sets for 1 to 131"):
        lebedev(l_max)


@pytest.mark.parametrize(
    ("rotations", "exact"),
    [(lebedev(l_max), l_max) for l_max in (1, 2, 3, 4, 5)] + [(icosahedral(), 5), (octahedral(), 3)],
    ids=lambda value: getattr(value, "name", None),
)
def test_set_is_exact_to_its_degree(rotations: RotationSet, exact: int) -> None:
    assert max(wigner_mean(rotations, degree) for degree in range(1, exact + 1)) < 1e-12


@pytest.mark.parametrize(("rotations", "degree"), [(icosahedral(), 6), (octahedral(), 4)])
def test_group_is_not_exact_beyond_its_degree(rotations: RotationSet, degree: int) -> None:
    assert wigner_mean(rotations, degree) > 0.1


def test_lebedev_integrates_a_product_of_harmonics() -> None:
    # the mean over rotations of Y_a(R x)* Y_b(R y) is delta_ab P_l(x . y) / 4 pi (addition theorem), for
    # l + l <= l_max: here l = 2, l_max = 4
    x, y = np.array([[0.6, 0.0, 0.8]]), np.array([[0.0, 1.0, 0.0]])
    rotations = lebedev(4)
    turned = rotations.matrices.mT
    mean = np.einsum(
        "k,ka,kb->ab",
        rotations.weights,
        harmonics(2, (x @ turned)[:, 0]).conj(),
        harmonics(2, (y @ turned)[:, 0]),
    )
    assert np.abs(mean - np.eye(5) * -0.5 / (4 * np.pi)).max() < 1e-14  # P_2(0) = -1/2


@pytest.mark.parametrize(("rotations", "size"), [(icosahedral(), 120), (octahedral(), 48)])
def test_group_is_closed(rotations: RotationSet, size: int) -> None:
    assert len(rotations) == size
    matrices = rotations.matrices
    products = (matrices[:, None] @ matrices[None]).reshape(-1, 9)
    distance = cdist(products, matrices.reshape(-1, 9))
    assert distance.min(axis=1).max() < 1e-14
    assert (np.bincount(distance.argmin(axis=1)) == size).all()
    np.testing.assert_allclose(rotations.weights, 1 / size, rtol=1e-14)


def test_icosahedral_lies_as_documented() -> None:
    matrices = icosahedral().matrices
    golden = (1 + np.sqrt(5)) / 2
    axes = [(np.roll((1, 0, 0), i), np.pi) for i in range(3)]
    axes += [(np.roll((0, 1, sign * golden), i), 2 * np.pi / 5) for i in range(3) for sign in (1, -1)]
    for axis, angle in axes:
        matrix = Rotation.from_rotvec(angle * axis / np.linalg.norm(axis)).as_matrix()
        assert np.abs(matrices - matrix).max(axis=(1, 2)).min() < 1e-14, axis


def test_octahedral_is_the_signed_permutations() -> None:
    matrices = octahedral().matrices
    assert set(matrices.ravel()) == {-1.0, 0.0, 1.0}
    assert (np.abs(matrices).sum(axis=1) == 1).all()


def largest_mean(matrices: Array) -> float:
    """Return the largest mean of Wigner elements to degree 3, and of the determinant, in standard errors."""
    proper = np.linalg.det(matrices)[:, None, None] * matrices
    means = [
        np.abs(wigner(degree, proper).mean(axis=0)).max() * np.sqrt(2 * degree + 1) for degree in (1, 2, 3)
    ]
    return float(max(*means, abs(np.linalg.det(matrices).mean())) * np.sqrt(len(matrices)))


def test_random_rotation_is_uniform() -> None:
    rng = np.random.default_rng(0)
    matrices = np.stack([random_rotation(rng) for _ in range(4096)])
    assert np.abs(matrices @ matrices.mT - np.eye(3)).max() < 1e-14
    # Wigner elements have the variance 1 / (2 l + 1); 5 standard errors are not met by chance in 84 of them
    assert largest_mean(matrices) < 5


def test_random_rotations_are_uniform_and_independent() -> None:
    keys = np.arange(4096)
    first, second = random_rotations(keys, seed=0, step=0), random_rotations(keys, seed=0, step=1)
    assert np.abs(first @ first.mT - np.eye(3)).max() < 1e-14
    assert largest_mean(first) < 5
    assert largest_mean(first.mT @ second) < 5, "between steps"
    assert largest_mean(first.mT @ random_rotations(keys, seed=1, step=0)) < 5, "between seeds"
    assert largest_mean(first[:-1].mT @ first[1:]) < 5, "between rows"
    over_steps = np.concatenate([random_rotations(keys[7:8], seed=0, step=step) for step in range(2048)])
    assert largest_mean(over_steps) < 5, "of one row"


def test_random_rotations_do_not_depend_on_the_batch() -> None:
    keys = np.array([5, 2**63 + 11, 0, 7], dtype=np.uint64)
    together = random_rotations(keys, seed=3, step=4)
    for key, expected in zip(keys[::-1], together[::-1], strict=True):
        assert (random_rotations(np.array([key]), seed=3, step=4)[0] == expected).all()
    assert random_rotations(keys[:0], seed=3, step=4).shape == (0, 3, 3)
