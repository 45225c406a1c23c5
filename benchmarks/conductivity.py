"""Both jobs of thermal conductivities: forces of displaced supercells, and the transport of four crystals.

Forces of all crystals go through one run in float64, beside metatomic-ase over a sample of the same supercells, with
one core or all for each operation, whichever is faster, and beside the rate of the model alone on a batch of them. The
transport runs with one process and with one per core, two at most; memory is the peak of the largest process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.tasks.conductivity import ThirdOrderForces
from aiida_pet.engine.tasks.static import Static
from aiida_pet.engine.tasks.waiting import WaitingRows, neighbor_counts
from aiida_pet.job.folder import TRANSPORT_FILE, EngineSettings, JobFolder, JobSpec
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched, device, seconds
from benchmarks.harness import Measurement, lanes, threads

GIVEN: dict[str, Any] = {
    "relax_first": False,
    "symprecs": [],
    "opposites": "auto",
    "temperatures": [300.0],
    "fc2_supercell": [4, 4, 4],
    "fc3_supercell": [3, 3, 3],
    "mesh": [13, 13, 13],
}
QUICK: dict[str, Any] = {"fc2_supercell": [3, 3, 3], "pair_cutoff": 3.0, "mesh": [5, 5, 5]}
N_WITH_ASE = 24  # supercells


def crystals() -> dict[str, Atoms]:
    """Return four crystals of two atoms with B2 structure, near their lattice constants."""
    lengths = {"MoTa": 3.24, "TaW": 3.24, "NbW": 3.24, "NbMo": 3.23}
    return {name: bulk(name, "cesiumchloride", a=a) for name, a in lengths.items()}


def run(quick: bool = False) -> Iterator[Measurement]:
    """Compute forces and transport of four crystals.

    :param quick: smaller supercells, pairs of neighbours only, and a coarse mesh.
    :raises RuntimeError: if a crystal has no forces or no conductivity, or forces differ from ASE's.
    """
    given = GIVEN | (QUICK if quick else {})
    model = batched(Dtype.FLOAT64)
    table = StructureTable.from_ase(crystals().items())
    with_forces(table.take([0]), model, given | QUICK)  # what is loaded at the first call is loaded now
    spent, rows = with_forces(table, model, given)
    yield from _of_forces(table, model, given, spent, rows)
    yield from _of_transport(rows, given)


def with_forces(
    table: StructureTable, model: BatchModel, given: dict[str, Any]
) -> tuple[float, StructureTable]:
    """Return the seconds that the forces of ``table`` take, and the rows.

    :raises RuntimeError: if a row has none.
    """
    finished: list[StructureTable] = []
    start = time.perf_counter()
    ThirdOrderForces(table, model, parse_parameters(Task.CONDUCTIVITY, given), finished=finished.append).run()
    spent = time.perf_counter() - start
    rows = StructureTable.concatenate(finished).select(table.ids)
    if set(rows.columns["status"]) != {"converged"}:
        raise RuntimeError(f"not every crystal has forces: {set(rows.columns['message'])}")
    return spent, rows


def _of_forces(
    table: StructureTable, model: BatchModel, given: dict[str, Any], spent: float, rows: StructureTable
) -> Iterator[Measurement]:
    parameters = parse_parameters(Task.CONDUCTIVITY, given)
    driver = ThirdOrderForces(table, model, parameters, finished=lambda _: None)
    children, _ = driver.expand(table.take([0]))
    n_atoms = sum(len(rows.ragged[name].values) for name in ("fc2_forces", "fc3_forces"))
    per_atom = 1e3 * spent / n_atoms
    third = children.take(np.flatnonzero([name.startswith("3") for name in children.ids.tolist()]))
    ceiling = through_model(third, model)
    by_ase, difference = min(through_ase(third, model, cores) for cores in {1, threads()})
    largest = float(np.abs(rows.ragged["fc3_forces"].values).max())
    if difference > 1e-6 or not largest > 1e-3:
        raise RuntimeError(
            f"forces up to {largest:.3g} eV/A differ from ASE's by {difference:.3g} eV/A: one of them is wrong"
        )
    detail = {
        "n_crystals": len(table),
        "n_supercells": int(
            rows.columns["n_fc2_displacements"].sum() + rows.columns["n_fc3_displacements"].sum()
        ),
        "n_atoms": n_atoms,
        "threads": threads(),
        "device": device(),
        "largest_force_ev_per_a": largest,
        "largest_difference_ev_per_a": difference,
    }
    for name, words, other in (
        ("ase", "metatomic-ase one by one", by_ase),
        ("evaluate", "the model alone on a batch of these supercells", ceiling),
    ):
        yield Measurement(
            f"conductivity/forces/{name}",
            per_atom,
            "ms/atom",
            f"{words}: {other:.3g} ms/atom",
            other / per_atom,
            detail,
        )


def through_model(children: StructureTable, model: BatchModel) -> float:
    """Return the ms per atom of an evaluation of as many supercells as a run takes at once."""
    places = list(range(len(children)))
    counts = neighbor_counts(children, model.cutoff, places, model.device)
    waiting = WaitingRows(children.n_atoms, model.cost.per_atom(counts), places)
    batch = Batch.from_table(children.take(waiting.admit([], model.tokens_in_flight)), model.device)
    pairs = NeighborList(model.cutoff, Static.SKIN).update(batch)
    model.evaluate(batch, pairs)
    return 1e3 * seconds(lambda: model.evaluate(batch, pairs), 3) / len(batch.numbers)


def through_ase(children: StructureTable, model: BatchModel, cores: int) -> tuple[float, float]:
    """Return ms per atom by metatomic's calculator, and the largest difference of a force, eV/A."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from aiida_pet.engine.model.ase_calculator import pet_calculator

        calculator = pet_calculator(embedded_path(), embedded_card()["sha256"], device=device())
        sample = children.take(np.unique(np.linspace(0, len(children) - 1, N_WITH_ASE).astype(int)))
        batch = Batch.from_table(sample, model.device)
        ours = model.evaluate(batch, NeighborList(model.cutoff).update(batch)).forces.cpu().numpy()
        torch.set_num_threads(cores)
        spent, forces = 0.0, []
        for place, atoms in enumerate([sample.ase_at(0), *sample.iter_ase()]):
            atoms.calc = calculator
            start = time.perf_counter()
            found = atoms.get_forces()
            if place:  # the first call loads
                spent += time.perf_counter() - start
                forces.append(found)
    torch.set_num_threads(1)
    return 1e3 * spent / len(sample.numbers), float(np.abs(np.concatenate(forces) - ours).max())


def _of_transport(rows: StructureTable, given: dict[str, Any]) -> Iterator[Measurement]:
    alone, memory = with_transport(rows, given, 1)
    together, memory_each = with_transport(rows, given, lanes())
    yield Measurement(
        "conductivity/transport",
        together,
        "s",
        f"one process: {alone:.3g} s",
        alone / together,
        {"n_crystals": len(rows), "processes": lanes(), "mb_one": memory, "mb_each": memory_each},
    )


def with_transport(rows: StructureTable, given: dict[str, Any], processes: int) -> tuple[float, float]:
    """Return the seconds of a job with so many processes, and the peak memory of the largest, MB.

    :raises RuntimeError: if a row has no conductivity.
    """
    with tempfile.TemporaryDirectory(prefix="aiida-pet-bench-") as name:
        folder = JobFolder(Path(name) / "job")
        settings = EngineSettings(threads=processes)
        folder.write_inputs(JobSpec(Task.CONDUCTIVITY, given, "", settings=settings), rows)
        (folder.path / TRANSPORT_FILE).write_text("{}\n")
        # a program of its own, whose memory is not that of torch
        status = subprocess.run([sys.executable, "-m", "aiida_pet.engine", str(folder.path)], check=False)
        found, _ = folder.read_results()
        beat = folder.read_progress()
        if status.returncode or found is None or beat is None:
            raise RuntimeError(f"the transport ended with {status.returncode}")
        if not np.isfinite(found.columns["kappa_300"]).all():
            raise RuntimeError(f"no conductivity: {found.columns['conductivity_skipped'].tolist()}")
        return beat.compute_s, beat.memory_mb
