"""Relaxation end to end: 256 alloys to 0.02 eV/A and 0.1 GPa, same model, precision, cores and criteria each way.

The engine runs as a job does, by ``pet-engine`` on a job folder; ASE runs FIRE on a FrechetCellFilter, one crystal
after another; torch-sim runs ``ts.optimize`` with metatomic's wrapper, FIRE and its Frechet filter, and looks for
convergence every five steps, as it does by default. The time is the computing alone: neither imports nor the loading of
the model are in it. The ceiling is what the model's backend alone would take for as many evaluations.
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

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.job.folder import EngineSettings, JobFolder, JobSpec, Progress, Task
from aiida_pet.job.parameters import Dtype
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import GPA
from benchmarks.engine import batched, device, random_alloys, shipped
from benchmarks.evaluate import through_backend
from benchmarks.harness import Measurement, threads

N_CRYSTALS = 256
N_WITH_ASE = 64
FMAX = 0.02  # eV/A
STRESS_MAX = 0.1  # GPa
MAX_STEPS = 500
N_ROUNDS = 2  # engine and torch-sim take turns; the best of each counts
TOLERANCE = 1e-4  # eV/atom


def run(quick: bool = False) -> Iterator[Measurement]:
    """Relax the same alloys each way, those of ASE a fourth of them.

    :param quick: a sixteenth of the crystals.
    :raises RuntimeError: if two ways disagree by more than 0.1 meV/atom, or not all converged.
    """
    n_crystals, n_with_ase = (N_CRYSTALS // 16, N_WITH_ASE // 16) if quick else (N_CRYSTALS, N_WITH_ASE)
    table = random_alloys(n_crystals)
    some = table.take(np.linspace(0, n_crystals - 1, n_with_ase).astype(int))
    of_some, ase = in_batch(some), with_ase(some)
    rounds = [(in_batch(table), with_torch_sim(table)) for _ in range(1 if quick else N_ROUNDS)]
    batch, torch_sim = (min(ways, key=lambda way: way["seconds"]) for ways in zip(*rounds, strict=True))
    model = batched(Dtype.FLOAT64)
    torch.set_num_threads(threads())
    per_atom = through_backend(model, Batch.from_table(table, device()))[0] / len(table.numbers)
    ceiling = 1e3 * per_atom * batch["atoms_evaluated"] / n_crystals
    detail = {
        "n_crystals": n_crystals,
        "threads": threads(),
        "device": device(),
        "evaluations_per_crystal": batch["evaluations"] / n_crystals,
        "ms_per_evaluation": 1e3 * batch["seconds"] / batch["evaluations"],
        "ms_per_evaluation_of_backend": ceiling * n_crystals / batch["evaluations"],
    }
    per_crystal = 1e3 * batch["seconds"] / n_crystals
    for name, other, n_others, energies in (
        ("ase", ase, n_with_ase, of_some["energies"]),
        ("torch_sim", torch_sim, n_crystals, batch["energies"]),
    ):
        difference = np.abs(energies - other["energies"]).max()
        if difference > TOLERANCE:
            raise RuntimeError(
                f"batch and {name} differ by {1e3 * difference:.3g} meV/atom: one of them is wrong"
            )
        reference = 1e3 * other["seconds"] / n_others
        words = {"ase": "ASE one by one", "torch_sim": "ts.optimize with metatomic's wrapper"}[name]
        extra = {
            "largest_difference_mev_per_atom": 1e3 * float(difference),
            "evaluations_of_peer_per_crystal": other["evaluations"] / n_others,
        }
        yield Measurement(
            f"relax/{name}",
            per_crystal,
            "ms/crystal",
            f"{words}: {reference:.3g} ms/crystal",
            reference / per_crystal,
            detail | extra,
        )
    words = f"as many evaluations of as many atoms by the backend alone: {ceiling:.3g} ms/crystal"
    yield Measurement("relax/ceiling", per_crystal, "ms/crystal", words, ceiling / per_crystal, detail)


def run_engine(table: StructureTable, parameters: dict[str, Any]) -> tuple[Progress, StructureTable]:
    """Run ``pet-engine`` on ``table`` and return its last heartbeat and its results, in the order of ``table``."""
    with tempfile.TemporaryDirectory(prefix="aiida-pet-bench-") as folder:
        job = JobFolder(Path(folder))
        settings = EngineSettings(device=device(), threads=threads())
        sha256 = embedded_card()["sha256"]
        spec = JobSpec(Task.RELAX, parameters, sha256, model_path=str(embedded_path()), settings=settings)
        job.write_inputs(spec, table)
        engine = Path(sys.executable).parent / "pet-engine"
        subprocess.run([engine, folder], check=True, capture_output=True)
        progress, (results, _) = job.read_progress(), job.read_results()
    if progress is None or results is None:
        raise RuntimeError("pet-engine left no results")
    return progress, results.select(table.ids)


def in_batch(table: StructureTable) -> dict[str, Any]:
    """Relax by ``pet-engine`` and return seconds, evaluations and energies, eV/atom."""
    progress, results = run_engine(
        table, {"fmax": FMAX, "stress_max": STRESS_MAX, "max_steps": MAX_STEPS, "symprecs": []}
    )
    if set(results.columns["status"]) != {"converged"}:
        raise RuntimeError(f"not every crystal converged in the batch: {progress.statuses}")
    return {
        "seconds": progress.compute_s,
        "evaluations": progress.evaluations,
        "atoms_evaluated": int((table.n_atoms * (results.columns["n_steps"] + 1)).sum()),
        "energies": results.columns["energy"] / table.n_atoms,
    }


def with_ase(table: StructureTable) -> dict[str, Any]:
    """Relax by ASE, one after another, to the same criteria."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    from aiida_pet.engine.model.ase_calculator import pet_calculator

    torch.set_num_threads(1)  # for one small crystal a second core is more trouble than help
    calculator = pet_calculator(embedded_path(), embedded_card()["sha256"], device=device())
    evaluations, energies = 0, []
    start = time.perf_counter()
    for name, atoms in zip(table.ids, table.iter_ase(), strict=True):
        atoms.calc = calculator
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        for _ in optimizer.irun(fmax=1e-9, steps=MAX_STEPS):
            largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
            if largest <= FMAX and np.abs(atoms.get_stress()).max() * GPA <= STRESS_MAX:
                break
        else:
            raise RuntimeError(f"{name} did not converge with ASE in {MAX_STEPS} steps")
        evaluations += optimizer.nsteps + 1
        energies.append(atoms.get_potential_energy() / len(atoms))
    return {
        "seconds": time.perf_counter() - start,
        "evaluations": evaluations,
        "energies": np.array(energies),
    }


def with_torch_sim(table: StructureTable) -> dict[str, Any]:
    """Relax by ``ts.optimize``, all in one batch, to the same criteria."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_sim as ts
        from metatomic_torchsim import MetatomicModel

        torch.set_num_threads(threads())
        model = MetatomicModel(shipped().to(torch.float64).export(), device=device())
        evaluations = 0

        def has_converged(state: Any, last_energy: Any = None) -> torch.Tensor:
            nonlocal evaluations
            evaluations += 5 * state.n_systems
            largest = ts.system_wise_max_force(state)
            return (largest <= FMAX) & (state.stress.abs().amax(dim=(1, 2)) * GPA <= STRESS_MAX)

        start = time.perf_counter()
        state = ts.optimize(
            list(table.iter_ase()),
            model,
            optimizer=ts.Optimizer.fire,
            convergence_fn=has_converged,
            max_steps=MAX_STEPS,
            init_kwargs={"cell_filter": ts.CellFilter.frechet},
        )
        spent = time.perf_counter() - start
    return {
        "seconds": spent,
        "evaluations": evaluations + len(table),
        "energies": (state.energy.cpu() / torch.as_tensor(table.n_atoms)).numpy(),
    }
