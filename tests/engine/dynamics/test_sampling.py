"""Running means, errors by blocks and slopes, against numpy over all samples at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_pet.engine.dynamics.sampling import Blocks, Slope


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=70), st.integers(0, 99))
def test_running_numbers_are_those_of_all_samples(turns, seed):
    rng = np.random.default_rng(seed)
    blocks, slope = Blocks.start(2, 3), Slope.start(2)
    kept: list[list[np.ndarray]] = [[], []]
    points: list[list[tuple[float, float]]] = [[], []]
    for time, turn in enumerate(turns):
        values = rng.normal(size=(2, 3)) + 1e3
        rows = torch.tensor(turn)
        blocks = blocks.added(torch.as_tensor(values), rows)
        slope = slope.added(torch.full((2,), float(time)), torch.as_tensor(values[:, 0]), rows)
        for row in np.flatnonzero(turn):
            kept[row].append(values[row])
            points[row].append((time, values[row, 0]))
    for row in range(2):
        samples = np.array(kept[row])
        if len(samples) < 2:
            assert blocks.deviations[row].isnan().all()
            assert slope.values[row].isnan()
            continue
        np.testing.assert_allclose(blocks.means[row], samples.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(blocks.deviations[row], samples.std(axis=0, ddof=1), rtol=1e-9)
        for level in range(4):
            size = 2**level
            n = len(samples) // size
            assert int(blocks.count[row, level]) == n
            if n:
                means = samples[: n * size].reshape(n, size, 3).mean(axis=1)
                np.testing.assert_allclose(blocks.mean[row, level], means.mean(axis=0), rtol=1e-12)
                squares = ((means - means.mean(axis=0)) ** 2).sum(axis=0)
                np.testing.assert_allclose(blocks.squares[row, level], squares, rtol=1e-7, atol=1e-9)
        times, values = np.array(points[row]).T
        assert float(slope.values[row]) == pytest.approx(np.polyfit(times, values, 1)[0], rel=1e-6, abs=1e-9)


def test_errors_are_those_of_correlated_samples():
    """An autoregression of first order: the variance of its mean is known."""
    rng = np.random.default_rng(5)
    n, rows, kept = 4096, 40, 0.9
    values = np.zeros((n, rows))
    noise = rng.normal(size=(n, rows)) * np.sqrt(1 - kept**2)
    values[0] = rng.normal(size=rows)
    for time in range(1, n):
        values[time] = kept * values[time - 1] + noise[time]
    blocks = Blocks.start(rows, 1)
    for value in values:
        blocks = blocks.added(torch.as_tensor(value)[:, None], torch.ones(rows, dtype=torch.bool))
    expected = np.sqrt((1 + kept) / (1 - kept) / n)
    assert 0.9 * expected < float(blocks.errors.mean()) < 1.35 * expected
    naive = float(blocks.deviations.mean()) / np.sqrt(n)
    assert naive < 0.3 * expected


def test_few_samples_have_no_error():
    blocks = Blocks.start(1, 1)
    for _ in range(31):
        blocks = blocks.added(torch.ones(1, 1, dtype=torch.float64), torch.tensor([True]))
    assert blocks.errors.isnan().all()
