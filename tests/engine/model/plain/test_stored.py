"""A checkpoint is opened without running what it holds."""

from __future__ import annotations

import io
from typing import Any

import metatensor.torch as mts
import numpy as np
import pytest
import torch

from aiida_pet.engine.model.plain.stored import NotPlainError, only_block, read_stored

CALLED = []


class Evil:
    """An object whose pickle calls a function."""

    def __reduce__(self) -> Any:
        return CALLED.append, (1,)


def saved(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def block(values: list[float], samples: list[int]) -> mts.TensorBlock:
    return mts.TensorBlock(
        torch.tensor(values, dtype=torch.float64)[:, None],
        mts.Labels(["center_type"], torch.tensor(samples)[:, None]),
        [],
        mts.Labels(["energy"], torch.zeros((1, 1), dtype=torch.int64)),
    )


def test_nothing_is_called():
    class_of_a_stranger = saved({"model": torch.nn.Linear(2, 2)})
    for content in (saved({"evil": Evil()}), class_of_a_stranger):
        with pytest.raises(NotPlainError, match="cannot be opened without metatrain"):
            read_stored(content)
    assert CALLED == []


def test_numbers_and_tensors_are_read_and_others_refused():
    tensor = torch.arange(3.0)
    checkpoint = read_stored(saved({"best_metric": np.float64(0.5), "weights": {"a": tensor}}))
    assert checkpoint["best_metric"] == 0.5
    assert torch.equal(checkpoint["weights"]["a"], tensor)
    with pytest.raises(NotPlainError, match="it holds a list"):
        read_stored(saved([tensor]))
    with pytest.raises(NotPlainError, match="cannot be opened without metatrain"):
        read_stored(b"PK\x03\x04 and so on")


def test_block_of_metatensor_is_read_as_metatensor_wrote_it():
    keys = mts.Labels(["_"], torch.tensor([[0]]))
    buffer = mts.save_buffer(mts.TensorMap(keys, [block([-3.5, 2.25], [41, 74])]))
    values, samples = only_block(buffer)
    assert values.tolist() == [[-3.5], [2.25]]
    assert samples.tolist() == [41, 74]
    two = mts.TensorMap(mts.Labels(["_"], torch.tensor([[0], [1]])), [block([1.0], [0]), block([2.0], [0])])
    with pytest.raises(NotPlainError, match="several blocks"):
        only_block(mts.save_buffer(two))
    with pytest.raises(NotPlainError, match="cannot be read"):
        only_block(buffer[:100])
