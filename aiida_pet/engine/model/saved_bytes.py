"""How much memory autograd keeps of what is computed, for the way back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import torch

from aiida_pet.engine.batch.batch import Tensor


class KeptBytes:
    """Counts, while it is entered, the bytes of the tensors that autograd keeps; each storage once.

    :param known: tensors that do not count, such as the weights of a model.
    :ivar total: bytes.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        self.total = 0
        self._kept = [tensor.untyped_storage() for tensor in known]  # held, so that no address is given twice
        self._seen = {storage.data_ptr() for storage in self._kept}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda tensor: tensor)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        self._hooks.__exit__(*reason)
        self._kept.clear()

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self._kept.append(storage)
            self.total += storage.nbytes()
        return tensor
