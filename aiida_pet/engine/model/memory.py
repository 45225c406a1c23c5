"""How much memory an evaluation takes, measured once for a model on its device, and how many tokens fit therefore.

The peak of forward and backward is linear in the tokens of a chunk (:class:`~aiida_pet.engine.model.chunks.Cost`): for
the model that ships, 13.7 kB a token in float64 from 500 to 8,500 tokens, within 0.1 %. Two small batches give the
slope and what is taken whatever the size. With an adaptive cutoff tokens are those of the most neighbours that an atom
may keep, and crystals whose atoms keep fewer take less: ordered alloys 8.7 kB. Peaks are those of torch's allocators,
without the weights; what glibc keeps for later comes on top, up to half as much for large chunks, next to nothing for
those that a CPU is given.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from aiida_pet.engine.batch.batch import Batch, rows_of_atoms
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.model.chunks import plan

logger = logging.getLogger(__name__)

SHARE = 0.8  # of the free memory that may be planned with: allocators fragment, others live there too
_NEIGHBORS = 40  # of an atom in the crystal that is measured
_ROWS = (16, 64)  # of the two batches, one atom each


@dataclass(frozen=True)
class MemoryModel:
    """What a chunk takes.

    :ivar fixed: bytes, whatever its size.
    :ivar per_token: bytes.
    """

    fixed: float
    per_token: float

    def bytes(self, tokens: float) -> float:
        """Return the peak of a chunk of ``tokens``."""
        return self.fixed + self.per_token * tokens

    def tokens(self, available: float) -> float:
        """Return the tokens of the largest chunk whose peak is at most ``available`` bytes; at least 1."""
        return max(1.0, (available - self.fixed) / self.per_token)


def calibrate(model: BatchModel) -> MemoryModel:
    """Return the memory model of ``model`` on its device.

    :raises torch.OutOfMemoryError: if not even some thousand tokens fit.
    """
    limit, model.max_tokens = model.max_tokens, float("inf")
    points = []
    try:
        for n_rows in _ROWS:
            batch = _crystals(model, n_rows)
            pairs = NeighborList(model.cutoff).update(batch)
            (chunk,) = plan(batch, pairs, range(n_rows), model.max_tokens, cost=model.cost)

            def work(batch: Batch = batch, pairs: Any = pairs) -> None:
                model.evaluate(batch, pairs)

            work()  # what is taken once, such as workspaces of libraries
            points.append((chunk.tokens, peak_bytes(work, model.device)))
    finally:
        model.max_tokens = limit
    (few, small), (many, large) = points
    per_token = (large - small) / (many - few)
    return MemoryModel(max(0.0, small - per_token * few), per_token)


def fit_to_memory(model: BatchModel) -> MemoryModel:
    """Let the chunks of ``model`` be as large as the free memory of its device allows; on a CPU at most as they are.

    :return: what it was measured to take.
    """
    memory = calibrate(model)
    if model.device.type == "cuda":
        torch.cuda.empty_cache()  # what torch keeps for later is not free to the device, but it is to the model
        free, _ = torch.cuda.mem_get_info(model.device)
        model.max_tokens = memory.tokens(SHARE * free)
    else:
        free = psutil.virtual_memory().available
        model.max_tokens = min(model.max_tokens, memory.tokens(SHARE * free / model.n_side_by_side))
    logger.info(
        "%.3g kB per token, %.3g GB free on %s: chunks of up to %.0f tokens",
        memory.per_token / 1e3, free / 1e9, model.device, model.max_tokens,
    )  # fmt: skip
    return memory


def peak_bytes(work: Callable[[], Any], device: torch.device) -> int:
    """Return the most bytes of tensors that ``work`` holds at a time beyond those there are."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as record:
        work()
    events = [
        (event.start_ns(), event.nbytes())
        for event in record.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    held, peak = 0, 0
    for _, change in sorted(events):
        held += change
        peak = max(peak, held)
    return peak


def _crystals(model: BatchModel, n_rows: int) -> Batch:
    """Return ``n_rows`` simple cubic crystals of one atom, of elements in turn, with some 40 neighbours each."""
    elements = sorted(model.atomic_numbers)
    edge = model.cutoff * (4.0 / 3.0 * torch.pi / _NEIGHBORS) ** (1.0 / 3.0)
    ones = torch.ones(n_rows, dtype=torch.int64, device=model.device)
    numbers = torch.tensor([elements[row % len(elements)] for row in range(n_rows)], device=model.device)
    return Batch(
        numbers=numbers,
        positions=torch.zeros((n_rows, 3), dtype=torch.float64, device=model.device),
        cells=edge * torch.eye(3, dtype=torch.float64, device=model.device).repeat(n_rows, 1, 1),
        pbc=torch.ones((n_rows, 3), dtype=torch.bool, device=model.device),
        n_atoms=ones,
        row_of_atom=rows_of_atoms(ones),
    )
