"""A device that is none: tensors that claim to be elsewhere and lie on the CPU, to find what a GPU would refuse.

While :class:`PretendedDevice` is entered, tensors made on torch's ``meta`` device keep their numbers, in a tensor on
the CPU behind them. Operations run there. As on a GPU, operations on tensors of two devices fail, but for what CUDA
takes: numbers without dimensions, copies, indices from the host; and numpy gets nothing without ``cpu()``.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default, _aten.copy.default}
_INDEXING = {
    _aten.index.Tensor,
    _aten.index_put_.default,
    _aten.index_put.default,
    _aten._index_put_impl_.default,
}


class Pretended(torch.Tensor):
    """A tensor that claims to be on :data:`DEVICE`.

    :ivar kept: the numbers, on the CPU.
    """

    kept: torch.Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> Pretended:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            real.shape,
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            device=DEVICE,
            requires_grad=False,
        )
        made.kept = real
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})

    def tolist(self) -> Any:
        """Return the numbers as lists, which torch gives of any device but refuses for classes of one's own."""
        return self.kept.tolist()

    def untyped_storage(self) -> torch.UntypedStorage:
        """Return where the numbers are."""
        return self.kept.untyped_storage()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretended({self.kept!r})"


class _FromData(TorchFunctionMode):
    """Makes tensors of numbers on the CPU first: torch makes them where no mode sees it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        if func not in (torch.tensor, torch.as_tensor) or device is None or torch.device(device) != DEVICE:
            return func(*args, **kwargs)
        return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)


class PretendedDevice(TorchDispatchMode):
    """Lets tensors be made on the device; those that are there go on without."""

    def __enter__(self) -> Self:
        self._from_data = _FromData()
        self._from_data.__enter__()
        return super().__enter__()

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)
        self._from_data.__exit__(*reason)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operation on the CPU and return what it gives, on the device it would be on.

    :raises RuntimeError: if its tensors are on two devices, which it does not take.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    there = [tensor for tensor in tensors if isinstance(tensor, Pretended)]
    asked = kwargs.get("device")
    if asked is not None and torch.device(asked).type == DEVICE.type:
        kwargs = kwargs | {"device": torch.device("cpu")}
    if there and len(there) < len(tensors):
        _check(func, args, tensors)
    out = func(*tree_map(_real, args), **tree_map(_real, kwargs))
    goes_there = bool(there) if asked is None else torch.device(asked).type == DEVICE.type
    if func is _aten.copy_.default:
        goes_there = isinstance(args[0], Pretended)
    if not goes_there:
        return out
    known = {id(tensor.kept): tensor for tensor in there}
    return tree_map(lambda leaf: _there(leaf, known), out)


def _real(leaf: Any) -> Any:
    return leaf.kept if isinstance(leaf, Pretended) else leaf


def _there(leaf: Any, known: dict[int, Pretended]) -> Any:
    if not isinstance(leaf, torch.Tensor):
        return leaf
    return known[id(leaf)] if id(leaf) in known else Pretended(leaf)


def _check(func: Any, args: Any, tensors: list[torch.Tensor]) -> None:
    here = [tensor for tensor in tensors if not isinstance(tensor, Pretended) and tensor.ndim]
    if not here or func in _COPIES:
        return
    if func in _INDEXING and isinstance(args[0], Pretended):  # CUDA takes indices from the host
        here = [tensor for tensor in here if tensor.dtype.is_floating_point]
    if here:
        shapes = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in tensors)
        raise RuntimeError(f"{func.name()}: expected all tensors to be on the same device, found {shapes}")
