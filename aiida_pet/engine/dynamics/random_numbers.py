"""Random numbers that follow from a row, a step and an atom, and from nothing else.

Philox4x32-10 (Salmon et al., SC11, doi:10.1145/2063384.2063405) turns a counter and a key into four words of 32 bits.
The key is that of a row (its id and seed), the counter holds the step, the atom within its row and what the numbers are
for. So a row has the same numbers alone, in any batch, and after a restart, with nothing to be kept.
"""

from __future__ import annotations

import hashlib
import math
from enum import IntEnum

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor

_FACTORS = (0xD2511F53, 0xCD9E8D57)
_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
_ROUNDS = 10


class Stream(IntEnum):
    """What numbers are for; no two uses share some."""

    VELOCITIES = 0
    THERMOSTAT = 1
    BAROSTAT = 2


def key_of(name: str, seed: int) -> tuple[int, int]:
    """Return the two words of 32 bits that are the key of the row whose id is ``name``."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Return four (K,) tensors of words of 32 bits, as int64.

    :param counter: four (K,) int64 tensors of words of 32 bits.
    :param key: two of them.
    """
    a, b, c, d = counter
    k, m = key
    for _ in range(_ROUNDS):
        # the product of two words has 64 bits: int64 wraps, and the mask takes away what the sign has filled in
        first, second = _FACTORS[0] * a, _FACTORS[1] * c
        a, b, c, d = (
            ((second >> 32) & _WORD) ^ b ^ k,
            second & _WORD,
            ((first >> 32) & _WORD) ^ d ^ m,
            first & _WORD,
        )
        k, m = (k + _INCREMENTS[0]) & _WORD, (m + _INCREMENTS[1]) & _WORD
    return a, b, c, d


def normals_of(keys: Tensor, steps: Tensor, places: Tensor, stream: Stream) -> Tensor:
    """Return (K, 4) independent normal numbers, float64, by the method of Box and Muller; none is beyond 6.8.

    :param keys: (K, 2) int64, of rows.
    :param steps: (K,) int64.
    :param places: (K,) int64, atoms within their rows, or any other count.
    """
    counter = (steps & _WORD, places, torch.full_like(places, int(stream)), steps >> 32)
    uniform = (torch.stack(philox(counter, (keys[:, 0], keys[:, 1])), dim=1).double() + 0.5) * 2.0**-32
    radius = torch.sqrt(-2.0 * torch.log(uniform[:, :2]))
    angle = 2.0 * math.pi * uniform[:, 2:]
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)


def normals_of_atoms(batch: Batch, keys: Tensor, steps: Tensor, stream: Stream) -> Tensor:
    """Return (A, 3) independent normal numbers, float64.

    :param keys: (N, 2) int64, of the rows of ``batch``.
    :param steps: (N,) int64.
    """
    row = batch.row_of_atom
    return normals_of(keys[row], steps[row], places_in_rows(batch), stream)[:, :3]


def normals_of_rows(keys: Tensor, steps: Tensor, count: int, stream: Stream) -> Tensor:
    """Return (N, ``count``) independent normal numbers, float64, for N rows."""
    blocks = -(-count // 4)
    places = torch.arange(blocks, device=keys.device).repeat(len(keys))
    found = normals_of(keys.repeat_interleave(blocks, dim=0), steps.repeat_interleave(blocks), places, stream)
    return found.reshape(len(keys), 4 * blocks)[:, :count]


def places_in_rows(batch: Batch) -> Tensor:
    """Return the (A,) place of each atom within its row."""
    starts = torch.cumsum(batch.n_atoms, 0) - batch.n_atoms
    return torch.arange(len(batch.row_of_atom), device=batch.device) - starts[batch.row_of_atom]
