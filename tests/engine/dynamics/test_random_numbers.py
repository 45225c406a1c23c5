from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.dynamics.random_numbers import (
    Stream,
    key_of,
    normals_of,
    normals_of_atoms,
    normals_of_rows,
    philox,
)
from aiida_pet.testing.crystals import random_alloys

ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_known_answers_of_random123(counter, key, expected):
    words = philox(
        tuple(torch.tensor([word]) for word in counter), tuple(torch.tensor([word]) for word in key)
    )
    assert tuple(int(word) for word in words) == expected


def test_numbers_are_normal_and_independent():
    n = 20_000
    keys = torch.tensor([key_of("a", 1)]).expand(n, 2)
    drawn = normals_of(keys, torch.arange(n), torch.zeros(n, dtype=torch.long), Stream.THERMOSTAT).numpy()
    for column in drawn.T:
        assert scipy.stats.kstest(column, "norm").pvalue > 1e-3
    correlation = np.corrcoef(np.hstack([drawn[:-1], drawn[1:]]).T) - np.eye(8)
    assert np.abs(correlation).max() < 5 / np.sqrt(n)
    squares = np.corrcoef((drawn**2).T) - np.eye(4)
    assert np.abs(squares).max() < 5 / np.sqrt(n)


def test_numbers_of_a_row_do_not_depend_on_the_batch():
    batch = Batch.from_table(random_alloys(5, seed=3))
    keys = torch.tensor([key_of(name, 7) for name in "abcde"])
    steps = torch.tensor([5, 2**33 + 1, 0, 9, 9])
    together = normals_of_atoms(batch, keys, steps, Stream.THERMOSTAT)
    for row in range(5):
        which = torch.tensor([row])
        alone = normals_of_atoms(batch.take(which), keys[which], steps[which], Stream.THERMOSTAT)
        assert torch.equal(alone, together[batch.atoms_of(which)])
    of_rows = normals_of_rows(keys, steps, 9, Stream.BAROSTAT)
    assert of_rows.shape == (5, 9)
    assert torch.equal(normals_of_rows(keys[3:4], steps[3:4], 9, Stream.BAROSTAT)[0], of_rows[3])


def test_keys_steps_and_streams_all_matter():
    one = torch.tensor([key_of("a", 0)]), torch.tensor([4]), torch.tensor([2])
    numbers = normals_of(*one, Stream.THERMOSTAT)
    others = [
        normals_of(*one, Stream.BAROSTAT),
        normals_of(torch.tensor([key_of("a", 1)]), *one[1:], Stream.THERMOSTAT),
        normals_of(torch.tensor([key_of("b", 0)]), *one[1:], Stream.THERMOSTAT),
        normals_of(one[0], one[1] + 2**32, one[2], Stream.THERMOSTAT),
        normals_of(one[0], one[1], one[2] + 1, Stream.THERMOSTAT),
    ]
    assert not any(torch.equal(numbers, other) for other in others)
