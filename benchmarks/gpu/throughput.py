"""How fast the engine is on the device: evaluations, relaxations and phonons of random alloys."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.model.memory import fit_to_memory
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import Dtype, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import random_alloys, shipped
from benchmarks.gpu.ceilings import Ceilings, asked_by, seconds_of, synchronize
from benchmarks.gpu.published_sizes import random_pet
from benchmarks.phonons import ordered_alloys

SHIPPED = "ships"
#: Crystals at most; phonopy takes some 60 ms of the host for each, whatever the device.
COUNTS = {Task.STATIC: 4_000, Task.RELAX: 2_000, Task.PHONONS: 256}
#: Atoms that are evaluated for a crystal of one of these tasks, roughly; what is static is evaluated ten times.
ATOMS = {Task.STATIC: 45.0, Task.RELAX: 200.0, Task.PHONONS: 700.0}
ATOMS_OF_RANDOM_RELAXATION = 50.0
LIMIT_S = 12.0  # of a task that is timed; slower models get fewer crystals
LIMIT_OF_RANDOM_WEIGHTS_S = 6.0
FEWEST = 8
PRECISIONS = ("float64", "float32", "mixed")
STEPS_OF_RANDOM_WEIGHTS = 10
TASKS: dict[Task, type[Static] | type[Relax] | type[Phonons]] = {
    Task.STATIC: Static,
    Task.RELAX: Relax,
    Task.PHONONS: Phonons,
}


@dataclass(frozen=True)
class Rate:
    """One throughput.

    :ivar model: ``ships``, or a published size with random weights.
    :ivar task: what was done.
    :ivar dtype: precision.
    :ivar n_crystals: how many got their answer.
    :ivar seconds: in all.
    :ivar evaluations: of one crystal each.
    :ivar detail: what explains it; ``absent`` says why there is none.
    """

    model: str
    task: str
    dtype: str
    n_crystals: int
    seconds: float
    evaluations: int
    detail: dict[str, Any]

    @property
    def ms_per_crystal(self) -> float:
        """Return the milliseconds of a crystal."""
        return 1e3 * self.seconds / max(1, self.n_crystals)

    def __str__(self) -> str:
        name = f"{self.model}, {self.task}, {self.dtype}"
        if "absent" in self.detail:
            return f"       {name}: {self.detail['absent']}"
        told = ", ".join(f"{key} {_short(value)}" for key, value in self.detail.items())
        return f"       {name}: {self.ms_per_crystal:.4g} ms per crystal of {self.n_crystals} ({told})"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def rates(
    name: str,
    tasks: tuple[Task, ...],
    device: torch.device,
    deadline: float,
    ceilings: Ceilings | None,
    *,
    quick: bool = False,
) -> Iterator[Rate]:
    """Measure the model ``name`` in all precisions, as long as there is time.

    :param tasks: what to do.
    :param deadline: of ``time.monotonic()``; a task that runs then is stopped and its finished rows count.
    :param ceilings: of the device, for shares; None if they were not measured.
    """
    models: dict[str, tuple[BatchModel, float]] = {}
    for task in tasks:
        for dtype in PRECISIONS:
            if dtype not in set(Dtype):
                yield _absent(name, task, dtype, f"the engine has no dtype={dtype}")
                continue
            if time.monotonic() > deadline:
                yield _absent(name, task, dtype, "the budget is spent")
                continue
            if dtype not in models:
                model = make(name, Dtype(dtype), device)
                models[dtype] = model, _seconds_per_atom(model, quick)
            model, per_atom = models[dtype]
            count = 2 if quick else _affordable(name, task, per_atom)
            if task is Task.STATIC:
                yield from evaluations(name, model, dtype, random_alloys(count), ceilings)
            yield _measured(name, task, dtype, model, count, deadline=deadline, quick=quick)


def _absent(name: str, task: Task, dtype: str, why: str) -> Rate:
    return Rate(name, task.value, dtype, 0, 0.0, 0, {"absent": why})


def _affordable(name: str, task: Task, per_atom: float) -> int:
    """Return the crystals for which there is time, given the seconds that the evaluation of an atom takes."""
    is_random = name != SHIPPED
    atoms = ATOMS_OF_RANDOM_RELAXATION if is_random and task is Task.RELAX else ATOMS[task]
    limit = LIMIT_OF_RANDOM_WEIGHTS_S if is_random else LIMIT_S
    return int(max(FEWEST, min(COUNTS[task], limit / (per_atom * atoms))))


def _seconds_per_atom(model: BatchModel, quick: bool) -> float:
    batch = Batch.from_table(random_alloys(2 if quick else 64), model.device)
    pairs = NeighborList(model.cutoff).update(batch)
    return seconds_of(_evaluating(model, batch, pairs), model.device, at_least_s=0.0) / len(batch.numbers)


def _measured(
    name: str, task: Task, dtype: str, model: BatchModel, count: int, *, deadline: float, quick: bool
) -> Rate:
    """Return what ``task`` takes from the first row to the last, with all that the engine does beside evaluations."""
    table = crystals_of_screening(count) if task is Task.PHONONS else random_alloys(count)
    driver_class, parameters = TASKS[task], parse_parameters(task, _parameters(name, task, dtype, quick))
    if not quick:  # what is loaded at the first call is loaded now
        driver_class(table.take([0]), model, parameters, finished=lambda rows: None).run()
    finished: list[StructureTable] = []
    driver = driver_class(
        table, model, parameters, finished=finished.append, proceed=lambda: time.monotonic() < deadline
    )
    synchronize(model.device)
    start = time.perf_counter()
    driver.run()
    synchronize(model.device)
    spent = time.perf_counter() - start
    done = sum(len(rows) for rows in finished)
    evaluated = driver.counters.evaluations
    detail = {
        "rows": count,
        "statuses": sorted({status for rows in finished for status in rows.columns["status"].tolist()}),
        "evaluations per crystal": evaluated / max(1, done),
        "ms per evaluation": 1e3 * spent / max(1, evaluated),
        "tokens in a chunk": float(model.max_tokens),
        "halvings": model.halvings,
    }
    return Rate(name, task.value, dtype, done, spent, evaluated, detail)


def crystals_of_screening(count: int) -> StructureTable:
    """Return ``count`` ordered alloys as a screening has them, 64 of them over and over with slightly other cells."""
    table = ordered_alloys()
    copies = []
    for copy in range(-(-count // len(table))):
        scale = 1.0 + 0.002 * copy
        ids = np.array([f"{name}-{copy}" for name in table.ids.tolist()])
        copies.append(replace(table, ids=ids, cells=table.cells * scale, positions=table.positions * scale))
    return StructureTable.concatenate(copies).take(range(count))


def make(name: str, dtype: Dtype, device: torch.device) -> BatchModel:
    """Return the model ``name``, the one that ships or a published size."""
    made = BatchedPet(shipped() if name == SHIPPED else random_pet(name), dtype=dtype, device=device)
    if device.type == "cuda":
        fit_to_memory(made)
    return made


def _parameters(name: str, task: Task, dtype: str, quick: bool) -> dict[str, Any]:
    given: dict[str, Any] = {"symprecs": [], "dtype": dtype}
    match task:
        case Task.RELAX if name == SHIPPED:
            return given | {"fmax": 0.02, "stress_max": 0.1, "max_steps": 3 if quick else 500}
        case Task.RELAX:  # random weights have no minimum to find
            return given | {"fmax": 1e-9, "stress_max": 1e-9, "max_steps": STEPS_OF_RANDOM_WEIGHTS}
        case Task.PHONONS:
            return given | {"relax_first": False, "min_image": 6.0 if quick else 10.0}
    return given


def evaluations(
    name: str, model: BatchModel, dtype: str, table: StructureTable, ceilings: Ceilings | None
) -> Iterator[Rate]:
    """Time one evaluation of some and of all rows, its pairs given, and what it reaches of the ceilings."""
    for count in sorted({min(64, len(table)), min(512, len(table)), len(table)}):
        batch = Batch.from_table(table.take(range(count)), model.device)
        fresh = seconds_of(_searching(model, batch), model.device)
        pairs = NeighborList(model.cutoff).update(batch)
        work = _evaluating(model, batch, pairs)
        spent = seconds_of(work, model.device)
        detail: dict[str, Any] = {
            "atoms": len(batch.numbers),
            "atoms per s": len(batch.numbers) / spent,
            "ms of a fresh neighbour list": 1e3 * fresh,
        }
        if ceilings is not None:
            asked = asked_by(work)
            products = (
                "float32" if dtype == "mixed" else dtype
            )  # of what precision the network's matrices are
            detail |= {
                "TFLOP/s": asked.operations / spent / 1e12,
                "share of the matrix peak": asked.operations / spent / ceilings.matrix[products],
                "GB/s": asked.bytes / spent / 1e9,
                "share of the bandwidth": asked.bytes / spent / ceilings.bandwidth,
            }
        yield Rate(name, f"evaluation of {count}", dtype, count, spent, count, detail)


def _searching(model: BatchModel, batch: Batch) -> Callable[[], Any]:
    return lambda: NeighborList(model.cutoff).update(batch)


def _evaluating(model: BatchModel, batch: Batch, pairs: Any) -> Callable[[], Any]:
    return lambda: model.evaluate(batch, pairs)
