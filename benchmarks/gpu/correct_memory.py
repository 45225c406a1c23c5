"""What the engine does where memory ends, and whether its estimate of an evaluation is right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.model.chunks import MAX_ATOMS
from aiida_pet.engine.model.memory import calibrate, fit_to_memory, peak_bytes
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import RowStatus, Task
from aiida_pet.job.parameters import Derivation, Dtype, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import random_alloys
from benchmarks.gpu.checks import Check, compared, holds
from benchmarks.gpu.correctness import EXACT, UNITS, evaluated
from benchmarks.gpu.sides import Side

ESTIMATE = 0.1  # share by which an estimate may be off
ADAPTIVE = 1.8  # how many times too large it may be for a model whose atoms keep fewer neighbours than are planned for


def halving(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare an evaluation for which memory does not suffice in one piece, and a row that does not fit alone."""
    table = random_alloys(12 if quick else 400)
    known = evaluated(reference, reference.model(), table)
    model = tried.model(max_tokens=1e9)
    batch = tried.batch(table)
    pairs = NeighborList(model.cutoff).update(batch)
    with tried.memory_for(model, lambda: model.evaluate(batch, pairs), 0.6):
        model._planned = None
        said = model.evaluate(batch, pairs).cpu()
    yield holds("halving/chunks are cut", 1 <= model.halvings <= 3, f"{model.halvings} times")
    yield compared(
        "halving/energy", said.energy / batch.n_atoms.cpu(), known.energy / batch.n_atoms.cpu(),
        EXACT["energy"], UNITS["energy"],
    )  # fmt: skip
    yield compared("halving/forces", said.forces, known.forces, EXACT["forces"], UNITS["forces"])
    yield from _too_large(tried, 60 if quick else 2_000)


def _too_large(tried: Side, n_atoms: int) -> Iterator[Check]:
    """Let a crystal of so many atoms meet memory for a third of it: it says so, and the small ones get their answer."""
    small = random_alloys(3)
    edge = max(2, round((n_atoms / 2) ** (1 / 3)))
    large = next(iter(random_alloys(1, seed=5).iter_ase())) * (edge, edge, edge)
    large.rattle(0.02, seed=1)
    table = StructureTable.concatenate([small, StructureTable.from_ase([("large", large)])])
    model = tried.model(max_tokens=1e9)
    finished: list[StructureTable] = []
    driver = Static(table, model, parse_parameters(Task.STATIC, {"symprecs": []}), finished=finished.append)
    alone = tried.batch(table.select(["large"]))
    pairs = NeighborList(model.cutoff).update(alone)
    with tried.memory_for(model, lambda: model.evaluate(alone, pairs), 0.35):
        driver.run()
    results = StructureTable.concatenate(finished).select(table.ids)
    expected = [RowStatus.CONVERGED.value] * len(small) + [RowStatus.TOO_LARGE.value]
    yield compared(
        "halving/status of a row that does not fit", results.columns["status"].tolist(), expected, 0.0
    )


def estimate(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare the estimate of the memory of an evaluation with its peak, and fill the memory once."""
    table = random_alloys(16 if quick else 1_000)
    ways: dict[str, dict[str, Any]] = {"float64": {}}
    if not quick:
        ways["float32"] = {"dtype": Dtype.FLOAT32}
        ways["direct"] = {"forces": Derivation.DIRECT, "stress": Derivation.DIRECT}
    for name, options in ways.items():
        model = tried.model(max_tokens=1e9, **options)
        memory = calibrate(model)
        batch = tried.batch(table)
        pairs = NeighborList(model.cutoff).update(batch)
        model.evaluate(batch, pairs)
        taken = peak_bytes(
            lambda model=model, batch=batch, pairs=pairs: model.evaluate(batch, pairs), tried.device
        )
        assert model._planned is not None
        (chunk,) = model._planned[2]
        said = memory.bytes(chunk.tokens)
        told = f"{memory.per_token / 1e3:.3g} kB a token, {taken / 1e6:.0f} MB of {chunk.tokens:.0f} tokens"
        if np.isfinite(model.cost.widest):
            told += f", {said / taken:.2f} of it said"
            yield holds(f"estimate/{name}", 1.0 - ESTIMATE < said / taken < ADAPTIVE, told)
        else:
            yield compared(f"estimate/{name}", [said / taken], [1.0], ESTIMATE, "of the peak", note=told)
    if tried.device.type == "cuda":
        yield _filled(tried)


def _filled(tried: Side) -> Check:
    """Evaluate the largest chunk that a job would take on this device."""
    model = tried.model()
    memory = fit_to_memory(model)
    batch = _as_large_as(tried, model)
    pairs = NeighborList(model.cutoff).update(batch)
    torch.cuda.reset_peak_memory_stats(tried.device)
    answer = model.evaluate(batch, pairs)
    peak = torch.cuda.max_memory_allocated(tried.device)
    finite = bool(answer.energy.isfinite().all() & answer.forces.isfinite().all())
    told = (
        f"{len(batch.numbers)} atoms, {peak / 1e9:.1f} GB at the peak, chunks of up to {model.max_tokens:.3g} "
        f"tokens, {memory.per_token / 1e3:.3g} kB each, {model.halvings} halvings"
    )
    return holds("estimate/memory filled", finite and model.halvings == 0, told)


def _as_large_as(tried: Side, model: BatchModel) -> Batch:
    """Return as many alloys as go through in one chunk, which has a largest number of atoms too."""
    few = random_alloys(1_000)
    width = 45.0  # an atom of these alloys has at most some 40 neighbours within cutoff and skin
    n_atoms = min(float(MAX_ATOMS), model.max_tokens / width)
    copies = max(1, int(n_atoms / len(few.numbers)))
    batch = tried.batch(few)
    return Batch.cat([batch] * copies)
