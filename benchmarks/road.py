"""The other road: one crystal per job through aiida-ase, and what AiiDA adds per crystal there.

Jobs run one after another, so that what AiiDA adds is the wall time minus the lifetimes of the jobs' processes. Many at
once would hide some of it behind each other, as lanes do for batches.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import ROOT, Measurement, isolated_profile, threads

N_JOBS = 6
TARGET_MS = 10.0  # of the batch, per crystal


def run(quick: bool = False) -> Iterator[Measurement]:
    """Relax a handful of alloys, one job each.

    :param quick: two jobs.
    """
    with isolated_profile():
        found = campaign(2 if quick else N_JOBS)
        yield Measurement(
            "road/job_per_crystal",
            found["overhead_ms"],
            "ms/crystal",
            f"target of the batch: {TARGET_MS:g} ms/crystal",
            TARGET_MS / found["overhead_ms"],
            found,
        )


def campaign(count: int) -> dict[str, Any]:
    """Relax ``count`` alloys, one after another, and return what it took.

    :raises RuntimeError: if a job failed.
    """
    from aiida import orm
    from aiida.engine import submit

    from aiida_pet import models
    from aiida_pet.calculations.ase import PetAseCalculation, relax_parameters
    from aiida_pet.data.model import PetModelData

    sys.path.append(str(ROOT / "examples"))
    from alloys import ordered_alloys

    code = orm.InstalledCode(
        label="python", computer=orm.load_computer("localhost"), filepath_executable=sys.executable
    ).store()
    model = PetModelData.from_file(models.embedded_path())
    wall = engine = 0.0
    for name, atoms in ordered_alloys(limit=count):
        start = time.perf_counter()
        node = submit(
            PetAseCalculation,
            code=code,
            model=model,
            structure=orm.StructureData(ase=atoms),
            parameters=orm.Dict(timed(relax_parameters())),
            metadata={"options": {"prepend_text": f"export OMP_NUM_THREADS={threads()}"}},
        )
        while not node.is_terminated:
            time.sleep(0.05)
        wall += time.perf_counter() - start
        if not node.is_finished_ok:
            raise RuntimeError(f"the job of {name} ended with {node.exit_status}: {node.exit_message}")
        engine += node.outputs.parameters["process_s"]
    return {
        "n_crystals": count,
        "n_jobs": count,
        "threads": threads(),
        "wall_s": wall,
        "engine_s": engine,
        "overhead_ms": 1e3 * (wall - engine) / count,
        "wall_ms": 1e3 * wall / count,
    }


def timed(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return ``parameters`` with the seconds since the start of the process added to the results."""
    line = "results['process_s'] = time.time() - psutil.Process().create_time()"
    return parameters | {"extra_imports": ["psutil", "time"], "post_lines": [line]}
