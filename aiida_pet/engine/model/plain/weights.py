"""The tensors of a checkpoint by name, given out once each: what is left over in the end was not understood."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.plain.stored import NotPlainError


class Weights:
    """Tensors whose names begin alike.

    :param tensors: all tensors by name.
    :param prefix: with which the names begin.
    """

    def __init__(self, tensors: Mapping[str, Tensor], prefix: str = "", used: set[str] | None = None) -> None:
        self._tensors, self._prefix = tensors, prefix
        self._used = set() if used is None else used

    def at(self, *names: str | int) -> Weights:
        """Return those whose names go on with ``names``."""
        return Weights(self._tensors, self._prefix + "".join(f"{name}." for name in names), self._used)

    def take(self, name: str, *shape: int) -> torch.nn.Parameter:
        """Return the tensor ``name``.

        :raises NotPlainError: if there is none, or its shape is not ``shape``; -1 stands for any length.
        """
        whole = self._prefix + name
        tensor = self._tensors.get(whole)
        if tensor is None:
            raise NotPlainError(f"it has no {whole}")
        fits = len(tensor.shape) == len(shape) and all(
            wanted in (-1, found) for wanted, found in zip(shape, tensor.shape, strict=True)
        )
        if not fits:
            raise NotPlainError(f"its {whole} has the shape {tuple(tensor.shape)}, expected {shape}")
        self._used.add(whole)
        return torch.nn.Parameter(tensor, requires_grad=False)

    def names(self) -> list[str]:
        """Return how names go on, without what comes after the next dot."""
        start = len(self._prefix)
        found = (name[start:].partition(".")[0] for name in self._tensors if name.startswith(self._prefix))
        return list(dict.fromkeys(found))

    def left(self) -> list[str]:
        """Return the names of the tensors that nobody took."""
        return [name for name in self._tensors if name not in self._used]
