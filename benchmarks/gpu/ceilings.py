"""What the device can do at most, measured on it, and what an evaluation asks of it.

Bandwidth: a copy of a buffer far larger than any cache, counting what is read and what is written. Matrix peak: a
product of two large matrices of random numbers. What an evaluation asks: the operations of its matrix products, counted
by torch's counter, and the bytes that its operations read and write if each goes to memory and back, as operations that
are not fused do. The share of a ceiling that is reached is such a number over the time and over the ceiling.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

COPIED = 2**30  # bytes
EDGE = 8192  # of the matrices
_MODES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Ceilings:
    """What a device can do.

    :ivar bandwidth: bytes/s.
    :ivar matrix: precision -> operations/s; ``tf32`` is float32 at the precision that the engine never uses.
    """

    bandwidth: float
    matrix: dict[str, float]


@dataclass(frozen=True)
class Work:
    """What an evaluation asks for.

    :ivar operations: of matrix products, a multiplication and an addition being two.
    :ivar bytes: read and written by all operations.
    """

    operations: float
    bytes: float


def synchronize(device: torch.device) -> None:
    """Wait until ``device`` has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(
    work: Callable[[], Any], device: torch.device, *, at_least_s: float = 0.3, warm: int = 1
) -> float:
    """Return the median seconds of ``work``, run until ``at_least_s`` are spent, and three times at least."""
    for _ in range(warm):
        work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < at_least_s:
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def measure(device: torch.device, quick: bool = False) -> Ceilings:
    """Return the ceilings of ``device``."""
    bandwidth = _copy(device, 2**22 if quick else COPIED)
    matrix = {name: _product(device, dtype, quick) for name, dtype in _MODES.items()}
    if device.type == "cuda":
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = True
        try:
            matrix["tf32"] = _product(device, torch.float32, quick)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before
    return Ceilings(bandwidth, matrix)


def _copy(device: torch.device, n_bytes: int) -> float:
    source = torch.rand(n_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2.0 * n_bytes / seconds_of(lambda: target.copy_(source), device)


def _product(device: torch.device, dtype: torch.dtype, quick: bool) -> float:
    edge = 128 if quick else EDGE
    a, b = (torch.rand((edge, edge), device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2.0 * edge**3 / seconds_of(lambda: torch.mm(a, b, out=out), device)


def asked_by(work: Callable[[], Any]) -> Work:
    """Return what ``work`` asks for."""
    with FlopCounterMode(display=False) as operations:
        work()
    with _Traffic() as traffic:
        work()
    return Work(float(operations.get_total_flops()), float(traffic.bytes))


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of the tensors that operations take and give, but for those that only look at a tensor anew."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view and not func.name().startswith(
            ("aten::empty", "aten::detach", "aten::_unsafe_view")
        ):
            seen = {
                id(leaf): leaf for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, torch.Tensor)
            }
            self.bytes += sum(_stored(leaf) for leaf in seen.values())
        return out


def _stored(tensor: torch.Tensor) -> int:
    """Return the bytes of ``tensor`` in memory; what is expanded is there once."""
    sizes = [size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride]
    return int(torch.Size(sizes).numel()) * tensor.element_size()
