"""Sums over modes against the formulae written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.crystals.conductivity.modes import cumulative, mode_totals, tensors


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_mode_totals_are_those_of_the_benchmark(rng):
    matrix = rng.random((2, 3, 4, 4, 6))
    matrix = matrix + matrix.transpose(0, 1, 3, 2, 4)
    capacities = rng.random((2, 3, 4))
    capacities[0, 0] = 0.0
    expected = np.zeros((2, 3, 4, 6))
    for t, q, s in np.ndindex(2, 3, 4):
        expected[t, q, s] = matrix[t, q, s, s] if capacities[t, q, s] else 0
        for other in range(4):
            total = capacities[t, q, s] + capacities[t, q, other]
            if other != s and total:
                expected[t, q, s] += 2 * matrix[t, q, s, other] * capacities[t, q, s] / total
    found = mode_totals(matrix, capacities)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(found[1].sum((0, 1)), matrix[1].sum((0, 1, 2)), rtol=1e-12)


def test_cumulative_ends_at_the_whole_and_begins_at_nothing(rng):
    values, kappa, weights = rng.random((5, 6)), rng.random((5, 6, 6)), np.array([1, 2, 3, 4, 5])
    grid = np.array([-1.0, 0.25, 0.5, 2.0])
    found = cumulative(values, kappa, weights, grid)
    expected = [kappa[values <= limit][:, :3].mean(axis=1).sum() / 15 for limit in grid]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert found[0] == 0


def test_tensors_are_symmetric_in_the_order_of_voigt():
    assert tensors(np.arange(6)).tolist() == [[0, 5, 4], [5, 1, 3], [4, 3, 2]]
