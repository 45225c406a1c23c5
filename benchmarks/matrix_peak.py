"""Which share of the machine's peak of matrix products an evaluation reaches, and where the rest of the time goes.

The peak is a product of two matrices in the same precision, on the same threads. What an evaluation asks are the
operations of its own matrix products, forward and backward. Both take turns, and seconds of CPU count, over all
threads: so the share is the same when others keep the machine busy, and does not see threads that wait.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.job.parameters import Dtype
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched
from benchmarks.gpu.ceilings import asked_by
from benchmarks.harness import Measurement

EDGE = 1024  # of the matrices
_PARTS = {  # what names of torch's operations have in them -> part; the first that fits
    "products": ("mm", "bmm", "matmul", "linear"),
    "norms": ("norm",),
    "softmax": ("softmax",),
    "activations": ("silu", "sigmoid"),
    "copies": ("copy", "cat", "index", "gather", "scatter", "pad", "clone", "contiguous", "fill", "zero", "stack"),
    "arithmetic": ("add", "mul", "sub", "div", "sum", "where", "neg", "exp", "log", "pow", "sqrt", "clamp"),
}  # fmt: skip


def shares_of_peak(table: StructureTable, n_pairs: int) -> Iterator[Measurement]:
    """Yield ``evaluate/peak`` for float32 and float64, on one thread and on two."""
    batch = Batch.from_table(table)
    operations = 0.0
    for dtype in (Dtype.FLOAT32, Dtype.FLOAT64):
        for n_threads in (1, 2):
            model = batched(dtype, threads=n_threads)
            pairs = NeighborList(model.cutoff).update(batch)

            def work(model: Any = model, pairs: Any = pairs) -> None:
                torch.set_num_threads(1)
                model.evaluate(batch, pairs)

            work()
            product = _product(model.dtype)
            n_products = 8
            taken = []
            for _ in range(n_pairs):
                of_work = _cpu_seconds(work)
                torch.set_num_threads(n_threads)
                taken.append((of_work, _cpu_seconds(product, n_products) / n_products))
            if n_threads == 1:
                operations = asked_by(work).operations
            peaks = [2.0 * EDGE**3 / of_product for _, of_product in taken]
            rates = [operations / of_work for of_work, _ in taken]
            suffix = "" if dtype is Dtype.FLOAT64 else "/float32"
            yield Measurement(
                f"evaluate/peak{suffix}/{n_threads}",
                1e-9 * statistics.median(rates),
                "GFLOP/s of CPU",
                f"a product of {EDGE} x {EDGE} matrices: {1e-9 * statistics.median(peaks):.4g} GFLOP/s of CPU",
                statistics.median(rate / peak for rate, peak in zip(rates, peaks, strict=True)),
                {"threads": n_threads, "operations": operations} | (_parts(work) if n_threads == 1 else {}),
            )


def _product(dtype: torch.dtype) -> Callable[[], Any]:
    a, b = (torch.rand((EDGE, EDGE), dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def _cpu_seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    start = time.process_time()
    for _ in range(repeats):
        work()
    return time.process_time() - start


def _parts(work: Callable[[], Any]) -> dict[str, float]:
    """Return the percentages of the time of ``work`` by kind of operation; ``rest`` is Python and what is not named."""
    start = time.process_time()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        work()
    found = dict.fromkeys(_PARTS, 0.0) | {"rest": 0.0}
    for event in record.key_averages():
        name = event.key.removeprefix("aten::").lower()
        part = next((part for part, words in _PARTS.items() if any(word in name for word in words)), "rest")
        found[part] += event.self_cpu_time_total * 1e-6
    total = max(sum(found.values()), time.process_time() - start)
    found["rest"] = total - sum(value for part, value in found.items() if part != "rest")
    return {f"{part}_percent": 100.0 * value / total for part, value in found.items()}
