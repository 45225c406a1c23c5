"""What the benchmarks of the engine share: crystals, the model that ships by each road, states of a relaxation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import ase.build
import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.model.metatrain_pet import pet_of
from aiida_pet.engine.model.pet import BatchedPet, load_model, load_plain
from aiida_pet.engine.model.plain.pet import PlainPet
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from benchmarks.harness import threads

ELEMENTS = (41, 42, 73, 74)


def device() -> str:
    """Return where to run: on the GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def random_alloys(count: int, seed: int = 0) -> StructureTable:
    """Return ``count`` bcc alloys of 1 to 8 atoms, random in their elements, strained by 2 % and rattled by 0.05 A."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        atoms = ase.build.bulk("Mo", a=3.2) * tuple(int(n) for n in rng.integers(1, 3, 3))
        atoms.numbers = rng.choice(ELEMENTS, len(atoms))
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.05, rng=rng)
        rows.append((f"alloy-{i:05d}", atoms))
    return StructureTable.from_ase(rows)


def shipped() -> Any:
    """Return metatrain's PET of the checkpoint that ships, without its uncertainty, so that it may be made float64."""
    return pet_of(load_model(embedded_path(), embedded_card()["sha256"]))


def shipped_plain() -> PlainPet:
    """Return the checkpoint that ships as plain PET."""
    return load_plain(embedded_path(), embedded_card()["sha256"])


def batched(dtype: Dtype, **options: Any) -> BatchedPet:
    """Return the model that ships, as the engine runs it."""
    torch.set_num_threads(1)  # as the engine does: evaluations share out the cores
    return BatchedPet(shipped_plain(), dtype=dtype, device=device(), **({"threads": threads()} | options))


def synchronize() -> None:
    """Wait until the GPU, if there is one, has done all it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], repeats: int = 1) -> float:
    """Return the seconds that ``work`` takes, the mean over ``repeats``."""
    synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronize()
    return (time.perf_counter() - start) / repeats


class _Recorder(Relax):
    """A relaxation that keeps the geometries it goes through."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.states: list[Batch] = []

    def advance(self, evaluation: Evaluation) -> None:
        self.states.append(self.batch)
        super().advance(evaluation)


def states_of_relaxation(table: StructureTable, model: BatchedPet, n_states: int) -> list[Batch]:
    """Return the batches of the first ``n_states`` steps of a relaxation of ``table``, all rows in each."""
    parameters = {"fmax": 1e-6, "stress_max": 1e-6, "max_steps": n_states, "symprecs": []}
    driver = _Recorder(table, model, parse_parameters(Task.RELAX, parameters), finished=lambda rows: None)
    driver.model.max_tokens, limit = 1e9, driver.model.max_tokens  # all rows at once
    driver.run()
    driver.model.max_tokens = limit
    states = [state for state in driver.states if len(state) == len(table)]
    if len(states) < n_states:
        raise RuntimeError(f"{len(states)} of {n_states} steps with all {len(table)} rows in flight")
    return states[:n_states]
