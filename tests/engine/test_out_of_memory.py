"""What stays in memory when memory does not suffice."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList

ERRORS = (
    (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB"),
    (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
)


@pytest.mark.parametrize(("kind", "message"), ERRORS)
def test_tensors_of_a_chunk_that_failed_are_gone_before_its_halves_run(load_pet, alloys, kind, message):
    pet = load_pet(threads=1, max_tokens=1e9)
    answer, held, alive = pet._answer, [], []

    def failing(prepared: Any, turn: Any) -> Any:
        if not held:
            large = torch.ones(1_000)  # what the frame of a failed evaluation holds
            held.append(weakref.ref(large))
            raise kind(message)
        alive.append(held[0]() is not None)
        return answer(prepared, turn)

    pet._answer = failing
    batch = Batch.from_table(alloys(4))
    energies = pet.evaluate(batch, NeighborList(pet.cutoff).update(batch)).energy
    assert pet.halvings == 1
    assert alive
    assert not any(alive)
    pet._answer = answer
    assert torch.equal(energies, pet.evaluate(batch, NeighborList(pet.cutoff).update(batch)).energy)


def test_other_errors_of_a_model_are_raised(load_pet, alloys):
    pet = load_pet(threads=1)

    def failing(prepared: Any, turn: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    pet._answer = failing
    batch = Batch.from_table(alloys(2))
    with pytest.raises(RuntimeError, match="device-side assert"):
        pet.evaluate(batch, NeighborList(pet.cutoff).update(batch))
