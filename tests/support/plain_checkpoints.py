"""Plain checkpoints opened by the engine against the same opened by metatrain."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import BatchedPet, load_model
from aiida_pet.engine.model.plain.pet import PlainPet
from aiida_pet.engine.model.plain.stored import read_stored
from aiida_pet.job.parameters import Output
from aiida_pet.tables.crystals import StructureTable

LLPR = {"outputs": [Output.UNCERTAINTY, Output.FEATURES, Output.ENSEMBLE]}


def written(checkpoint: dict[str, Any]) -> bytes:
    """Return the bytes of ``checkpoint`` as torch saves it."""
    file = io.BytesIO()
    torch.save(checkpoint, file)
    return file.getvalue()


def crystals(numbers: list[int]) -> StructureTable:
    """Return crystals of 1 to 5 atoms on random places, a molecule and an atom alone."""
    rng = np.random.default_rng(3)
    rows = []
    for size in (1, 2, 4, 5):
        cell = np.eye(3) * (2.0 * size ** (1 / 3) + 0.5) + 0.3 * rng.random((3, 3))
        atoms = Atoms(rng.choice(numbers, size), scaled_positions=rng.random((size, 3)), cell=cell, pbc=True)
        rows.append((f"crystal-{size}", atoms))
    rows.append(("molecule", Atoms(numbers[:2], [[0, 0, 0], [1.5, 0.2, 0.1]])))
    rows.append(("atom", Atoms(numbers[:1], [[0, 0, 0]])))
    return StructureTable.from_ase(rows)


def compare(content: bytes, path: Path, **options: Any) -> None:
    path.write_bytes(content)
    mine = BatchedPet(PlainPet(read_stored(content)), **options)
    reference = BatchedPet(load_model(path, hashlib.sha256(content).hexdigest()), **options)
    assert mine.atomic_numbers == reference.atomic_numbers
    assert (mine.cutoff, mine.cost.widest) == (reference.cutoff, reference.cost.widest)
    batch = Batch.from_table(crystals(sorted(mine.atomic_numbers)))
    pairs = NeighborList(mine.cutoff).update(batch)
    said, expected = mine.evaluate(batch, pairs), reference.evaluate(batch, pairs)
    assert expected.forces.abs().max() > 1e-6
    for name in ("energy", "forces", "stress"):
        np.testing.assert_allclose(getattr(said, name), getattr(expected, name), rtol=0, atol=1e-10)
    for name, values in (expected.rows | expected.atoms).items():
        np.testing.assert_allclose((said.rows | said.atoms)[name], values, rtol=1e-10, atol=1e-10)
