"""Batched relaxation against ASE one by one: same crystals, model, precision, threads and machine.

The engine runs as a job does, by ``pet-engine`` on a job folder; ASE runs FIRE on a FrechetCellFilter. The
time is the computing alone: neither imports nor the loading of the model are in it, on either side. ASE has
one criterion for forces and cell, the batch two: fmax is the same, and the stress criterion is ASE's at the
mean volume per atom.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Measurement, threads

FMAX = 0.02  # eV/A
STRESS_MAX = 0.2  # GPa: FMAX eV per atom over 16 A^3 per atom
MAX_STEPS = 500


def crystals(stride: int) -> list[tuple[str, Any]]:
    """Return every ``stride``-th alloy of the demo as (id, ASE atoms)."""
    sys.path.append(str(ROOT / "examples"))
    from alloys import ordered_alloys

    return list(ordered_alloys())[::stride]


def run(quick: bool = False) -> Iterator[Measurement]:
    """Relax the demo's alloys both ways.

    :param quick: every twentieth only.
    :raises RuntimeError: if the two ways disagree by more than 1 meV/atom, or not all converged.
    """
    pairs = crystals(20 if quick else 1)
    batch = relax_in_batch(pairs)
    ase = relax_with_ase(pairs)
    difference = max(abs(batch["energies"][name] - ase["energies"][name]) for name, _ in pairs)
    if difference > 1e-3:
        raise RuntimeError(f"batch and ASE differ by {1e3 * difference:.3g} meV/atom: one of them is wrong")
    detail = {
        "n_crystals": len(pairs),
        "threads": threads(),
        "ase_s": ase["seconds"],
        "batch_s": batch["seconds"],
        "ase_evaluations": ase["evaluations"],
        "batch_evaluations": batch["evaluations"],
        "largest_difference_mev_per_atom": 1e3 * difference,
    }
    value, reference = (1e3 * way["seconds"] / len(pairs) for way in (batch, ase))
    yield Measurement(
        "relax/ase",
        value,
        "ms/crystal",
        f"ASE one by one: {reference:.3g} ms/crystal",
        reference / value,
        detail,
    )
    value, reference = (1e3 * way["seconds"] / way["evaluations"] for way in (batch, ase))
    yield Measurement(
        "relax/ase/evaluation",
        value,
        "ms/evaluation",
        f"ASE one by one: {reference:.3g} ms/evaluation",
        reference / value,
    )


def relax_in_batch(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Relax by ``pet-engine`` and return seconds, evaluations and the energies, eV/atom by id."""
    from aiida_pet.engine.job import EngineSettings, JobFolder, JobSpec, Task
    from aiida_pet.engine.table import StructureTable
    from aiida_pet.models import embedded_card, embedded_path

    path, sha256 = embedded_path(), embedded_card()["sha256"]
    parameters = {"fmax": FMAX, "stress_max": STRESS_MAX, "max_steps": MAX_STEPS, "symprecs": []}
    with tempfile.TemporaryDirectory(prefix="aiida-pet-bench-") as folder:
        job = JobFolder(folder)
        settings = EngineSettings(device="cpu", threads=threads())
        spec = JobSpec(Task.RELAX, parameters, sha256, model_path=str(path), settings=settings)
        job.write_inputs(spec, StructureTable.from_ase(pairs))
        engine = Path(sys.executable).parent / "pet-engine"
        subprocess.run([engine, folder], check=True, capture_output=True)
        progress, (table, _) = job.read_progress(), job.read_results()
    if progress is None or table is None or set(table.columns["status"]) != {"converged"}:
        raise RuntimeError(f"not every crystal converged in the batch: {progress}")
    energies = table.columns["energy"] / table.n_atoms
    return {
        "seconds": progress.compute_s,
        "evaluations": progress.evaluations,
        "energies": dict(zip(table.ids.tolist(), energies.tolist(), strict=True)),
    }


def relax_with_ase(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Relax by ASE, one after another, and return the same as :func:`relax_in_batch`."""
    import torch
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    from aiida_pet.engine.reference import pet_calculator
    from aiida_pet.models import embedded_card, embedded_path

    torch.set_num_threads(threads())
    path, sha256 = embedded_path(), embedded_card()["sha256"]
    calculator = pet_calculator(path, sha256, device="cpu")
    evaluations, energies = 0, {}
    start = time.perf_counter()
    for name, atoms in pairs:
        atoms.calc = calculator
        optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
        if not optimizer.run(fmax=FMAX, steps=MAX_STEPS):
            raise RuntimeError(f"{name} did not converge with ASE in {MAX_STEPS} steps")
        evaluations += optimizer.nsteps + 1
        energies[name] = atoms.get_potential_energy() / len(atoms)
    return {"seconds": time.perf_counter() - start, "evaluations": evaluations, "energies": energies}
