"""The same evaluations by metatomic's torch-sim wrapper, where it is installed; where the time of ours goes, and which
way of attention is faster.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.job.parameters import Dtype
from benchmarks.engine import batched, random_alloys, states_of_relaxation
from benchmarks.evaluate import through_engine, through_wrapper
from benchmarks.gpu.ceilings import seconds_of
from benchmarks.gpu.checks import Check, compared
from benchmarks.gpu.throughput import SHIPPED, Rate, make

TORCH_SIM_WRITES_WITH = (
    "tables"  # PyTables, for trajectories, of which there are none here: imported, never called
)


def against_the_wrapper(quick: bool) -> Iterator[Rate | Check]:
    """Time the states of a relaxation both ways in one batch, neighbour lists included, and compare the energies."""
    missing = [name for name in ("torch_sim", "metatomic_torchsim") if importlib.util.find_spec(name) is None]
    if missing:
        why = f"{' and '.join(missing)} not installed"
        yield Rate("ships", "evaluation by metatomic's wrapper", "", 0, 0.0, 0, {"absent": why})
        return
    if importlib.util.find_spec(TORCH_SIM_WRITES_WITH) is None:
        sys.modules[TORCH_SIM_WRITES_WITH] = MagicMock()
    n_crystals, n_states = (2, 3) if quick else (1_000, 5)
    table = random_alloys(n_crystals)
    for dtype in (Dtype.FLOAT64, Dtype.FLOAT32):
        model = batched(dtype)
        states = states_of_relaxation(table, model, n_states)
        mine, wrapper = through_engine(model, states), through_wrapper(states, dtype)
        tolerance = 1e-8 if dtype is Dtype.FLOAT64 else 1e-3
        yield compared(
            f"wrapper/energy/{dtype.value}", mine["energies"], wrapper["energies"], tolerance, "eV"
        )
        for name, way in (("the engine", mine), ("metatomic's wrapper", wrapper)):
            detail = {"of the engine's time": way["seconds"] / mine["seconds"]}
            task = f"state of a relaxation by {name}"
            yield Rate("ships", task, dtype.value, n_crystals, way["seconds"], n_crystals, detail)


def ways_of_attention(device: torch.device, quick: bool) -> Iterator[Rate | Check]:
    """Time an evaluation with PyTorch's fused attention and with the one that is written out; both must agree."""
    batch = Batch.from_table(random_alloys(4 if quick else 2_000), device)
    for dtype, tolerance in (("float64", 1e-8), ("float32", 1e-3)):
        model: Any = make(SHIPPED, Dtype(dtype), device)
        pairs = NeighborList(model.cutoff).update(batch)
        forces = []
        for name, is_fused in (("fused", True), ("written out", False)):
            for block in model._backend.modules():
                block.is_fused = is_fused

            def work(model: Any = model, pairs: Any = pairs) -> Any:
                return model.evaluate(batch, pairs)

            forces.append(work().forces)
            spent = seconds_of(work, device)
            yield Rate(SHIPPED, f"evaluation, attention {name}", dtype, len(batch), spent, len(batch), {})
        yield compared(f"attention/forces/{dtype}", *forces, tolerance=tolerance, unit="eV/A")


def profile(device: torch.device, quick: bool) -> dict[str, Any]:
    """Return where the time of an evaluation goes on the device, by kernel, and how long the device idles."""
    model = make(SHIPPED, Dtype.FLOAT32, device)
    batch = Batch.from_table(random_alloys(4 if quick else 2_000), device)
    pairs = NeighborList(model.cutoff).update(batch)
    model.evaluate(batch, pairs)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
        torch.cuda.synchronize(device)
    with torch.profiler.profile(activities=activities, acc_events=True) as record:
        model.evaluate(batch, pairs)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    events = [event for event in record.events() if event.device_type == _kind(device)]
    spans = np.array([(event.time_range.start, event.time_range.end) for event in events], dtype=float)
    if not len(spans):
        return {"problem": "the profiler saw nothing"}
    spans = spans[np.argsort(spans[:, 0])]
    latest = np.maximum.accumulate(spans[:, 1])
    gaps = np.clip(spans[1:, 0] - latest[:-1], 0.0, None).sum()
    by_name: dict[str, float] = {}
    for event in events:
        own = event.self_cpu_time_total if device.type == "cpu" else event.time_range.elapsed_us()
        by_name[event.name] = by_name.get(event.name, 0.0) + own
    longest = sorted(by_name.items(), key=lambda item: -item[1])[:20]
    whole = latest[-1] - spans[0, 0]
    return {
        "kernels": len(events),
        "ms": whole / 1e3,
        "share of time the device idles": gaps / whole,
        "ms by name": {name[:120]: spent / 1e3 for name, spent in longest},
    }


def _kind(device: torch.device) -> Any:
    kinds = torch.autograd.DeviceType
    return kinds.CUDA if device.type == "cuda" else kinds.CPU
