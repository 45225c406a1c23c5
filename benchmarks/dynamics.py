"""Dynamics: how fast a batch is against ASE and torch-sim, what it remembers, and what each way of forces drifts.

Speed is that of velocity Verlet without thermostat over alloys of 1 to 8 atoms and of 54 to 128 atoms, the same model,
precision and cores each way; for large crystals ASE has all cores too, and both precisions are measured. The ceiling is
the engine's own evaluation of the same batch with neighbours at hand. Memory is that of the process in a run of 100,000
steps of 8 atoms, whose frames are written. Drift is the slope of the total energy of two crystals of 16 atoms at 1,000
K, as the column ``drift`` has it: with conservative forces, with direct ones, with direct ones inside conservative ones
(``respa``), and in a new random rotation at every step. The anisotropy is how far components of the mean stress of the
cubic crystal are apart.
"""

from __future__ import annotations

import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ase.build
import ase.units
import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import make_model
from aiida_pet.engine.tasks.md import Dynamics
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.job.trajectory_files import segments_of
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import ELEMENTS, batched, device, random_alloys, seconds, shipped
from benchmarks.harness import Measurement, threads

N_CRYSTALS, N_WITH_ASE, STEPS = 64, 8, 40
LARGE, LARGE_STEPS = ((3, 3, 3), (4, 3, 3), (4, 4, 3), (4, 4, 4)), 20  # cubic bcc cells of two atoms
LONG_STEPS = 100_000
DRIFT_STEPS, DRIFT_FS = 2000, 2.0
NVE = {"ensemble": "nve", "temperature": 300.0, "equilibration_steps": 0, "symprecs": [], "frames_every": 0}
WAYS: dict[str, dict[str, Any]] = {
    "conservative": {},
    "direct": {"forces": "direct", "stress": "direct"},
    "respa_4": {"respa": {"every": 4}},
    "respa_8": {"respa": {"every": 8}},
    "random_rotation": {"rotation": "random"},
}


def run(quick: bool = False) -> Iterator[Measurement]:
    """Yield speeds against peers and the ceiling, then memory and the drifts.

    :param quick: a twentieth of the steps, of the long run a hundredth.
    """
    yield from speeds(STEPS // 20 + 1 if quick else STEPS)
    for dtype in (Dtype.FLOAT64, Dtype.FLOAT32):
        yield from speeds_of_large(LARGE_STEPS // 10 if quick else LARGE_STEPS, dtype)
    yield from memory(LONG_STEPS // 100 if quick else LONG_STEPS)
    yield from drifts(DRIFT_STEPS // 20 if quick else DRIFT_STEPS)


def speeds(steps: int) -> Iterator[Measurement]:
    """Yield the time of a step of an atom in the batch against the same elsewhere."""
    table = random_alloys(N_CRYSTALS)
    n_atoms = len(table.numbers)
    mine, n_bytes = in_batch(table, steps)
    some = table.take(np.linspace(0, N_CRYSTALS - 1, N_WITH_ASE).astype(int))
    per_step = 1e6 * mine / n_atoms
    detail = detail_of(table, steps, n_bytes)
    for name, words, other in (
        ("ase", "ASE one by one", with_ase(some, steps) / len(some.numbers)),
        (
            "torch_sim",
            "torch-sim's nve_step with metatomic's wrapper",
            with_torch_sim(table, steps) / n_atoms,
        ),
        ("ceiling", "the engine's evaluation alone", evaluated(table) / n_atoms),
    ):
        against = f"{words}: {1e6 * other:.3g} us/(atom step)"
        yield Measurement(
            f"dynamics/{name}", per_step, "us/(atom step)", against, 1e6 * other / per_step, detail
        )


def detail_of(table: StructureTable, steps: int, n_bytes: float) -> dict[str, Any]:
    """Return what a figure is of."""
    return {
        "crystals": len(table),
        "atoms": len(table.numbers),
        "threads": threads(),
        "device": device(),
        "steps": steps,
        "bytes_per_atom_and_frame": n_bytes,
    }


def speeds_of_large(steps: int, dtype: Dtype) -> Iterator[Measurement]:
    """Yield the same of crystals of 54 to 128 atoms, where ASE has all cores."""
    table = large_alloys()
    n_atoms = len(table.numbers)
    mine, n_bytes = in_batch(table, steps, dtype)
    per_step = 1e6 * mine / n_atoms
    detail = detail_of(table, steps, n_bytes)
    for name, words, other in (
        ("ase", "ASE one by one, all cores", with_ase(table, steps, threads(), dtype)),
        ("ceiling", "the engine's evaluation alone", evaluated(table, dtype)),
    ):
        each = 1e6 * other / n_atoms
        against = f"{words}, {dtype}: {each:.3g} us/(atom step)"
        which = f"dynamics/large_{name}_{dtype}"
        yield Measurement(which, per_step, "us/(atom step)", against, each / per_step, detail)


def large_alloys() -> StructureTable:
    """Return rattled random alloys of bcc, one for each size."""
    rng = np.random.default_rng(0)
    rows = []
    for size in LARGE:
        atoms = ase.build.bulk("Mo", a=3.2, cubic=True) * size
        atoms.numbers = rng.choice(ELEMENTS, len(atoms))
        atoms.rattle(0.05, rng=rng)
        rows.append((f"alloy-{len(atoms)}", atoms))
    return StructureTable.from_ase(rows)


def memory(steps: int) -> Iterator[Measurement]:
    """Yield how much the process grows in the last nine tenths of a long run.

    Frames are written every hundredth of it, as a job writes them each ``flush_interval_s``: until then, they are held.
    """
    atoms = ase.build.bulk("W", a=3.19, cubic=True) * (2, 2, 1)
    table = StructureTable.from_ase([("W8", atoms)])
    given = NVE | {"ensemble": "nvt", "steps": steps, "sample_every": 10, "frames_every": 10}
    seen: list[float] = []

    def flush() -> None:
        driver.snapshot()

    with tempfile.TemporaryDirectory() as folder:
        driver = Dynamics(
            table,
            batched(Dtype.FLOAT64),
            parse_parameters(Task.MD, given),
            finished=lambda rows: None,
            proceed=looked_every(max(steps // 100, 1), seen, flush),
        )
        driver.attach(Path(folder))
        spent = seconds(driver.run)
        driver.snapshot()
        written = sum(path.stat().st_size for path in segments_of(Path(folder)))
    early, late = max(seen[len(seen) // 10 : len(seen) // 5]), max(seen[-len(seen) // 10 :])
    detail = {
        "steps": steps,
        "mib_at_a_tenth": early,
        "mib_at_the_end": late,
        "bytes_per_atom_and_frame": written / (len(atoms) * (steps // 10 + 1)),
        "seconds": spent,
    }
    yield Measurement("dynamics/memory", late - early, "MiB", f"{early:.0f} MiB at a tenth", None, detail)


def looked_every(steps: int, seen: list[float], flush: Callable[[], object]) -> Callable[[], bool]:
    """Return a function, called once a step, that flushes and adds the MiB of this process to ``seen`` at times."""
    taken = 0

    def proceed() -> bool:
        nonlocal taken
        taken += 1
        if taken % steps == 0:
            flush()
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append(pages * resource.getpagesize() / 2**20)
        return True

    return proceed


def in_batch(table: StructureTable, steps: int, dtype: Dtype = Dtype.FLOAT64) -> tuple[float, float]:
    """Return seconds of a step of the batch, and the bytes of an atom in a frame on disk."""
    model = batched(dtype)

    def whole(steps: int, **further: Any) -> Dynamics:
        parameters = parse_parameters(Task.MD, NVE | {"steps": steps, "dtype": dtype} | further)
        return Dynamics(table, model, parameters, finished=lambda rows: None)

    whole(1).run()
    first = seconds(whole(1).run)
    spent = (seconds(whole(1 + steps).run) - first) / steps
    with tempfile.TemporaryDirectory() as folder:
        driver = whole(steps, frames_every=1)
        driver.attach(Path(folder))
        driver.run()
        driver.snapshot()
        written = sum(path.stat().st_size for path in segments_of(Path(folder)))
    return spent, written / (len(table.numbers) * (steps + 1))


def evaluated(table: StructureTable, dtype: Dtype = Dtype.FLOAT64) -> float:
    """Return seconds of an evaluation of the batch by the engine's model, neighbours known."""
    model, batch = batched(dtype), Batch.from_table(table, device())
    pairs = NeighborList(model.cutoff).update(batch)
    model.evaluate(batch, pairs)
    return seconds(lambda: model.evaluate(batch, pairs), 10)


def with_ase(table: StructureTable, steps: int, n_threads: int = 1, dtype: Dtype = Dtype.FLOAT64) -> float:
    """Return seconds of a step of all crystals by ASE, one after another.

    :param n_threads: of torch: for one small crystal a second core is more trouble than help.
    """
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet

    from aiida_pet.engine.model.ase_calculator import pet_calculator

    torch.set_num_threads(n_threads)
    calculator = pet_calculator(embedded_path(), embedded_card()["sha256"], dtype=dtype, device=device())
    spent = 0.0
    for atoms in table.iter_ase():
        atoms.calc = calculator
        MaxwellBoltzmannDistribution(atoms, temperature_K=300.0, rng=np.random.default_rng(0))
        dynamics = VelocityVerlet(atoms, ase.units.fs)
        dynamics.run(2)
        spent += seconds(partial(dynamics.run, steps)) / steps
    return spent


def with_torch_sim(table: StructureTable, steps: int) -> float:
    """Return seconds of a step of the batch by torch-sim."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch_sim as ts
        from metatomic_torchsim import MetatomicModel
        from torch_sim.integrators.nve import nve_init, nve_step

        torch.set_num_threads(threads())
        model = MetatomicModel(shipped().to(torch.float64).export(), device=device())
        state = ts.initialize_state(list(table.iter_ase()), torch.device(device()), torch.float64)
        state = nve_init(state, model, kT=300.0 * ase.units.kB)
        step = torch.tensor(ase.units.fs, dtype=torch.float64, device=device())
        for _ in range(2):
            state = nve_step(state, model, dt=step)
        began = time.perf_counter()
        for _ in range(steps):
            state = nve_step(state, model, dt=step)
        return (time.perf_counter() - began) / steps


def drifts(steps: int) -> Iterator[Measurement]:
    """Yield the drift of each way of taking forces, against that of conservative ones."""
    tungsten = ase.build.bulk("W", a=3.19, cubic=True) * (2, 2, 2)
    alloy = tungsten.copy()
    alloy.numbers[::2] = 73
    alloy.set_cell(2 * 3.25 * np.eye(3), scale_atoms=True)
    table = StructureTable.from_ase({"W16": tungsten, "Ta8W8": alloy}.items())
    reference = 0.0
    for name, further in WAYS.items():
        parameters, found = drifted(table, steps, further)
        size = float(np.abs(found.columns["drift"]).max())
        reference = reference or size
        stress = found.columns["mean_stress"][0]
        uneven = max(np.ptp(stress[:3]), 2.0 * np.abs(stress[3:]).max())
        detail = {
            "fs": parameters.timestep * parameters.inner_steps,
            "ps": float(found.columns["md_time"][0]),
            **{
                f"drift_{one}": value
                for one, value in zip(table.ids, found.columns["drift"].tolist(), strict=True)
            },
            **{
                f"std_conserved_{one}": value
                for one, value in zip(table.ids, found.columns["std_conserved"].tolist(), strict=True)
            },
            "anisotropy_gpa": float(uneven),
            "status": ",".join(found.columns["status"].tolist()),
        }
        against = f"conservative forces: {reference:.3g} eV/atom/ps"
        yield Measurement(
            f"drift/{name}", size, "eV/atom/ps", against, reference / size if size else None, detail
        )


def drifted(table: StructureTable, steps: int, further: dict[str, Any]) -> tuple[Any, StructureTable]:
    """Return the parameters and results of NVE over ``table``, as long in time with each way."""
    every = further.get("respa", {}).get("every", 1)
    given = NVE | {"temperature": 1000.0, "exact_temperature": True, "sample_every": 1} | further
    given |= {"timestep": DRIFT_FS if every == 1 else 1.0, "dtype": "float64"}
    given["steps"] = round(steps * DRIFT_FS / (every * given["timestep"]))
    parameters = parse_parameters(Task.MD, given)
    model = make_model(
        embedded_path(),
        embedded_card()["sha256"],
        forces=parameters.forces,
        stress=parameters.stress,
        dtype=parameters.dtype,
        device=device(),
        threads=threads(),
    )
    rows: list[StructureTable] = []
    Dynamics(table, model, parameters, finished=rows.append).run()
    return parameters, StructureTable.concatenate(rows).select(table.ids)
