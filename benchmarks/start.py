"""How long an engine takes from the start of its process to the answer for one crystal, in seconds of CPU.

Engines are processes of their own, as a queue starts them. From each the CPU time of a process that only imports torch
is taken off, which ran just before: seconds of CPU, since other processes on the machine change the time by the clock.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from aiida_pet.job.folder import EngineSettings, JobFolder, JobSpec
from aiida_pet.job.tasks import Task
from aiida_pet.models import embedded_card, embedded_path
from benchmarks.harness import Measurement

REPEATS = 5
TORCH = "import torch"
ENGINE = "import sys; from aiida_pet.engine.run import run_folder; from pathlib import Path; "
RUN = "sys.exit(int(run_folder(Path(sys.argv[1]))))"
METATRAIN = """
import aiida_pet.engine.model.pet as pet
def refuse(content):
    raise pet.NotPlainError("benchmark")
pet.read_stored = refuse
"""
TASKS: dict[str, dict[str, object]] = {
    "static": {},
    "relax": {"fmax": 0.02, "stress_max": 0.1, "max_steps": 20},
}


def run(quick: bool) -> Iterator[Measurement]:
    """Yield the seconds of CPU of each task beyond torch's import, against the same through metatrain."""
    roads = {"plain": ENGINE + RUN, "metatrain": ENGINE + METATRAIN + RUN}
    for task, parameters in TASKS.items():
        seconds: dict[str, list[float]] = {name: [] for name in ("torch", *roads)}
        for _ in range(1 if quick else REPEATS):
            seconds["torch"].append(_cpu_seconds(TORCH))
            for name, code in roads.items():
                with tempfile.TemporaryDirectory() as folder:
                    _write_job(Path(folder), Task(task), parameters)
                    seconds[name].append(_cpu_seconds(code, folder))
        torch = statistics.median(seconds["torch"])
        plain, metatrain = (statistics.median(seconds[name]) - torch for name in roads)
        yield Measurement(
            f"start/{task}",
            plain,
            "s",
            f"opened by metatrain: {metatrain:.2f} s",
            metatrain / plain,
            {
                "import_torch_cpu_s": torch,
                "beyond_torch_least_s": min(seconds["plain"]) - min(seconds["torch"]),
            },
        )


def _write_job(folder: Path, task: Task, parameters: dict[str, object]) -> None:
    """Write a job of one crystal, bcc Mo stretched a little."""
    import numpy as np

    from aiida_pet.tables.crystals import StructureTable

    table = StructureTable(
        ids=np.array(["Mo"]),
        columns={},
        numbers=np.array([42], np.int32),
        positions=np.zeros((1, 3)),
        cells=1.6 * np.array([[[-1.0, 1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, -1.0]]]),
        pbc=np.ones((1, 3), bool),
        offsets=np.array([0, 1]),
    )
    sha256 = embedded_card()["sha256"]
    spec = JobSpec(task, parameters, sha256, str(embedded_path()), EngineSettings(threads=1))
    JobFolder(folder).write_inputs(spec, table)


def _cpu_seconds(code: str, *arguments: str) -> float:
    """Return the seconds of CPU that Python takes for ``code``, start of the interpreter included.

    :raises RuntimeError: if it fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    if done.returncode:
        raise RuntimeError(f"the engine ended with {done.returncode}: {done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
