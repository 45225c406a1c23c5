"""The two sides of a comparison, and the crystals that they look at.

A side is a device and what runs on it. The reference is the CPU, whose numbers the tests compare with ASE, phonopy and
closed forms.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.pair_search import FoundPairs, search_images
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.model.memory import peak_bytes
from aiida_pet.engine.model.metatomic import WrappedModel
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.run import Job
from aiida_pet.engine.symmetry.projection import SymmetryProjector
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec, Progress, Task
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import ELEMENTS, random_alloys, shipped


class Side:
    """A device and what runs on it.

    :param device: ``cpu``, ``cuda`` or ``cuda:N``.
    :param threads: cores of a CPU.
    """

    def __init__(self, device: str, threads: int = 1) -> None:
        self.device = torch.device(device)
        self.threads = threads

    def model(self, **options: Any) -> BatchModel:
        """Return the model that ships."""
        return BatchedPet(shipped(), device=self.device, threads=self.threads, **options)

    def wrapped(self, **options: Any) -> BatchModel:
        """Return the model that ships, by the road of those that are not plain PET."""
        return WrappedModel(shipped(), device=self.device, threads=self.threads, **options)

    def batch(self, table: StructureTable) -> Batch:
        """Return the rows of ``table`` on the device."""
        return Batch.from_table(table, self.device)

    def pairs(self, batch: Batch, cutoff: float) -> FoundPairs:
        """Return the neighbour pairs, by the search that devices other than the CPU use."""
        return search_images(batch, cutoff)

    def projector(self, operations: list[Operations | None], n_atoms: list[int]) -> SymmetryProjector:
        """Return the projector of a batch."""
        return SymmetryProjector.build(operations, n_atoms, self.device)

    def job(
        self, task: Task, parameters: dict[str, Any], table: StructureTable
    ) -> tuple[Progress, StructureTable]:
        """Run a job as ``pet-engine`` does and return its last heartbeat and its results.

        :raises RuntimeError: if it does not end well.
        """
        with tempfile.TemporaryDirectory(prefix="aiida-pet-gpu-") as path:
            folder = JobFolder(Path(path))
            settings = EngineSettings(device=str(self.device), threads=self.threads)
            sha256 = embedded_card()["sha256"]
            folder.write_inputs(
                JobSpec(task, parameters, sha256, str(embedded_path().resolve()), settings), table
            )
            status = Job(folder).run()
            progress, (results, _) = folder.read_progress(), folder.read_results()
        if status is not ExitStatus.OK or progress is None or results is None:
            raise RuntimeError(f"the job ended with {status.name}: {progress.message if progress else ''}")
        return progress, results.select(table.ids)

    @contextmanager
    def memory_for(self, model: BatchModel, work: Callable[[], Any], share: float) -> Iterator[None]:
        """Leave only so much memory that a ``share`` of what ``work`` takes is there.

        On a GPU this is a limit of the allocator. A CPU has no such limit: chunks of more tokens than that share fail
        there as they would.
        """
        if self.device.type != "cuda":
            with _failing_above(model, work, share):
                yield
            return
        taken = peak_bytes(work, self.device)
        torch.cuda.empty_cache()
        _, total = torch.cuda.mem_get_info(self.device)
        allowed = torch.cuda.memory_reserved(self.device) + share * taken
        index = torch.cuda.current_device() if self.device.index is None else self.device.index
        torch.cuda.set_per_process_memory_fraction(
            min(1.0, allowed / total), index
        )  # takes no device without index
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, index)
            torch.cuda.empty_cache()


@contextmanager
def _failing_above(model: Any, work: Callable[[], Any], share: float) -> Iterator[None]:
    whole, sizes = model._evaluate_chunk, []

    def measured(chunk: Any, batch: Batch) -> Any:
        sizes.append(chunk.tokens)
        return whole(chunk, batch)

    def failing(chunk: Any, batch: Batch) -> Any:
        if chunk.tokens > share * max(sizes):
            raise torch.OutOfMemoryError(
                f"no memory for {chunk.tokens:.0f} tokens, as the rehearsal wants it"
            )
        return whole(chunk, batch)

    model._evaluate_chunk = measured
    work()
    model._evaluate_chunk = failing
    try:
        yield
    finally:
        model._evaluate_chunk = whole


def odd_crystals() -> StructureTable:
    """Return crystals that go through the rarer branches: skewed, far from its cell, a slab, a wire, a molecule."""
    rng = np.random.default_rng(4)

    def rattled(atoms: Atoms) -> Atoms:
        atoms.numbers = rng.choice(ELEMENTS, len(atoms))
        atoms.rattle(0.05, rng=rng)
        return atoms

    cube = bulk("Mo", "bcc", a=3.2, cubic=True)
    skewed = rattled(cube.copy())
    cell = np.array(skewed.cell)
    cell[2] += 7 * cell[0] - 3 * cell[1]
    skewed.set_cell(cell)
    far = rattled(cube * (2, 1, 1))
    far.positions += [400 * 3.2, 0, -90 * 3.2]
    slab = rattled(cube * (2, 2, 2))
    slab.set_cell([6.4, 6.4, 30.0])
    slab.pbc = [True, True, False]
    wire = rattled(cube * (1, 1, 3))
    wire.set_cell([25.0, 25.0, 9.6])
    wire.pbc = [False, False, True]
    molecule = rattled(cube * (2, 2, 1))
    molecule.pbc = False
    named = {"skewed": skewed, "far": far, "slab": slab, "wire": wire, "molecule": molecule}
    return StructureTable.from_ase(named.items())


def symmetric_crystals() -> StructureTable:
    """Return exact crystals: bcc, B2 along the axes, and one turned against them."""
    turned = bulk("W", "bcc", a=3.18, cubic=True)
    turned.numbers[1] = 73
    turned.rotate(25, (1, 2, 3), rotate_cell=True)
    ordered = bulk("Mo", "bcc", a=3.2, cubic=True)
    ordered.numbers[1] = 41
    long = ordered * (1, 1, 2)
    long.numbers[2] = 74
    return StructureTable.from_ase(
        {"bcc": bulk("Mo", "bcc", a=3.15), "ordered": ordered, "long": long, "turned": turned}.items()
    )


def alloys_and_odd_ones(count: int) -> StructureTable:
    """Return ``count`` random alloys and the odd crystals."""
    return StructureTable.concatenate([random_alloys(count), odd_crystals()])
