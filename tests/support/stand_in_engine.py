"""Stands in for `pet-engine` in tests of the plugin: the same job folder, exit statuses and ways to die; no torch.

Energies are -8 eV per atom, and 0.5 eV more for crystals called `high*`; phonons are stable, but not of those called
`soft*`. Crystals called `saddle*` leave their cell, stretched along c, for an energy 0.1 eV per atom lower, if they are
relaxed without symmetry; their phonons are unstable as long as they have not. The highest frequency is that of the
geometry: 10 THz per 30 A^3. `has_nac` tells of Born charges that came along.

What it does wrong is asked for in two ways. An id that begins with `killer` kills it (signal 9) when its row is
reached, `max_steps` ends so. Environment variables: STAND_IN_FAIL=<ExitStatus> fails at the start; STAND_IN_ROWS=N
stops in order after N rows; STAND_IN_MEMORY=N runs out of memory with more than N rows; STAND_IN_DAMAGE damages the
first shard; STAND_IN_ABSENT does not start at all; STAND_IN_SLEEP=S sleeps S seconds after the first shard;
STAND_IN_SHARD=N writes N rows per shard (2).
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from aiida_pet.job.folder import LOG_FILE, ExitStatus, JobFolder, Progress, RowStatus, Task
from aiida_pet.tables.crystals import StructureTable

SHARD_ROWS = int(os.environ.get("STAND_IN_SHARD", "2"))


def finish_rows(rows: StructureTable, task: Task = Task.RELAX, *, free: bool = False) -> StructureTable:
    """Rows as the engine would leave them."""
    n_rows, n_atoms = len(rows), len(rows.numbers)
    names = rows.ids.tolist()
    raised = np.array([0.5 if name.startswith("high") else 0.0 for name in names])
    has_nac = "born_charges" in rows.atom_columns and "dielectric_tensor" in rows.columns
    if task is Task.RELAX and free:
        raised -= _leave_saddles(rows)
    rows.columns, rows.atom_columns, rows.units = {}, {}, {}
    statuses = [
        RowStatus.MAX_STEPS.value if name.startswith("max_steps") else RowStatus.CONVERGED.value
        for name in names
    ]
    for name, values, unit in (
        ("status", np.array(statuses), None),
        ("message", np.full(n_rows, ""), None),
        ("energy", -8.0 * rows.n_atoms + raised, "eV"),
        ("n_atoms", rows.n_atoms, None),
        ("volume", rows.volumes(), "A^3"),
        ("stress", np.zeros((n_rows, 6)), "eV/A^3"),
        ("fmax", np.full(n_rows, 0.01), "eV/A"),
        ("stress_max", np.full(n_rows, 0.05), "GPa"),
        ("initial_energy", -7.9 * rows.n_atoms, "eV"),
        ("n_steps", np.full(n_rows, 7), None),
        ("spacegroup_0_01", np.full(n_rows, 229), None),
    ):
        rows.set_column(name, values, unit)
    if task is Task.PHONONS:
        soft = np.array([name.startswith("soft") for name in names])
        on_saddle = np.array([name.startswith("saddle") for name in names]) & ~_is_long(rows)
        lowest = np.where(soft | on_saddle, -2.0, 0.0)
        rows.set_column("min_frequency", lowest, "THz")
        rows.set_column("max_frequency", rows.volumes() / 3, "THz")
        if has_nac:
            rows.set_column("has_nac", np.ones(n_rows, bool))
        rows.set_column("is_dynamically_stable", lowest == 0)
    if task is Task.ELASTIC:
        rows.set_column("bulk_modulus", np.full(n_rows, 200.0), "GPa")
    rows.atom_columns["forces"] = np.zeros((n_atoms, 3))
    return rows


def _is_long(rows: StructureTable) -> np.ndarray:
    """Whether the third lattice vector is longer than the first by far."""
    lengths = np.linalg.norm(rows.cells, axis=2)
    return lengths[:, 2] > 1.1 * lengths[:, 0]


def _leave_saddles(rows: StructureTable) -> np.ndarray:
    """Stretch the crystals on a saddle, and return by how much that lowers their energies, eV."""
    gained = np.zeros(len(rows))
    for row, name in enumerate(rows.ids.tolist()):
        if name.startswith("saddle"):
            rows.cells[row, 2] *= 1.2
            rows.positions[rows.atoms_of(row), 2] *= 1.2
            gained[row] = 0.1 * rows.n_atoms[row]
    return gained


class Engine:
    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.started = time.time()
        self.statuses: Counter[str] = Counter()
        self.total = 0
        self.begun = False

    def beat(self, step: str, message: str = "") -> None:
        done = sum(self.statuses.values())
        elapsed = time.time() - self.started
        rate = done / max(elapsed, 1e-6)
        self.folder.write_progress(
            Progress(
                rows_total=self.total,
                rows_done=done,
                statuses=dict(self.statuses),
                rate=rate,
                eta_s=(self.total - done) / rate if rate else None,
                engine_s=elapsed,
                compute_s=elapsed / 2,
                evaluations=7 * done,
                steps=7,
                memory_mb=123.0,
                device="cpu",
                step=step,
                started=self.started,
                updated=time.time(),
                message=message,
                begun=self.begun,
            )
        )

    def end(self, status: ExitStatus, step: str, message: str = "") -> ExitStatus:
        self.beat(step, f"{status.name}: {message}" if status else "")
        return status

    def run(self) -> ExitStatus:
        self.folder.path.joinpath(LOG_FILE).write_text("stand-in engine\n")
        self.beat("loading")
        spec = self.folder.read_spec()
        table = self.folder.read_structures()
        self.total, self.task = len(table), spec.task
        self.free = spec.parameters.get("symmetry") == "none"
        failure = os.environ.get("STAND_IN_FAIL")
        if failure:
            return self.end(ExitStatus[failure], "failed", "as the test asked")
        model = self.folder.model_path(spec)
        if not model.exists() or hashlib.sha256(model.read_bytes()).hexdigest() != spec.model_sha256:
            return self.end(
                ExitStatus.BAD_MODEL, "failed", f"{model} is not the model with {spec.model_sha256}"
            )
        if self.total > int(os.environ.get("STAND_IN_MEMORY", str(self.total))):
            return self.end(ExitStatus.OUT_OF_MEMORY, "failed", f"{self.total} rows do not fit")
        return self.work(table)

    def work(self, table: StructureTable) -> ExitStatus:
        self.begun = True
        self.beat("running")
        allowed = int(os.environ.get("STAND_IN_ROWS", str(self.total)))
        for first in range(0, self.total, SHARD_ROWS):
            rows = list(range(first, min(first + SHARD_ROWS, self.total, allowed)))
            if any(str(table.ids[row]).startswith("killer") for row in rows):
                os.kill(os.getpid(), signal.SIGKILL)
            if not rows:
                return self.end(ExitStatus.ROWS_LEFT, "stopped", "time is up")
            shard = finish_rows(table.take(rows), self.task, free=self.free)
            path = self.folder.write_shard(shard)
            if first == 0 and "STAND_IN_DAMAGE" in os.environ:
                path.write_bytes(path.read_bytes()[:100])
            self.statuses.update(shard.columns["status"].tolist())
            self.beat("running")
            if first == 0:
                time.sleep(float(os.environ.get("STAND_IN_SLEEP", "0")))
        if allowed < self.total:
            return self.end(ExitStatus.ROWS_LEFT, "stopped", "time is up")
        return self.end(ExitStatus.OK, "done")


if __name__ == "__main__":
    if "STAND_IN_ABSENT" in os.environ:
        sys.exit("pet-engine: command not found")
    sys.exit(Engine(JobFolder(Path(sys.argv[1]))).run())
