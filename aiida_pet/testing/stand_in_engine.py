"""Stands in for ``pet-engine``: the same job folder, exit statuses and ways to die, and no torch.

``python -m aiida_pet.testing.stand_in_engine FOLDER`` does what ``pet-engine FOLDER`` does, with the results of
:mod:`aiida_pet.testing.results`.

What it does wrong is asked for in two ways. An id that begins with ``killer`` kills it (signal 9) when its row is
reached. Environment variables: STAND_IN_FAIL=<ExitStatus> fails at the start; STAND_IN_ROWS=N stops in order after N
rows; STAND_IN_MEMORY=N runs out of memory with more than N rows; STAND_IN_DAMAGE damages the first shard;
STAND_IN_ABSENT does not start at all; STAND_IN_SLEEP=S sleeps S seconds after the first shard; STAND_IN_SHARD=N writes
N rows per shard (2); STAND_IN_LACKS="NAME ..." leaves columns out, as an older engine might.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiida_pet.job.folder import LOG_FILE, ExitStatus, JobFolder, Progress
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.results import finish_rows

SHARD_ROWS = int(os.environ.get("STAND_IN_SHARD", "2"))
Finish = Callable[[StructureTable, Task, Mapping[str, Any]], StructureTable]


class Engine:
    """One run of the engine that stands in.

    :param folder: folder of the job.
    :param finish: makes results of rows, the task and its parameters.
    """

    def __init__(self, folder: JobFolder, finish: Finish = finish_rows) -> None:
        self.folder = folder
        self.finish = finish
        self.started = time.time()
        self.statuses: Counter[str] = Counter()
        self.total = 0
        self.begun = False

    def _beat(self, step: str, message: str = "") -> None:
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

    def _end(self, status: ExitStatus, step: str, message: str = "") -> ExitStatus:
        self._beat(step, f"{status.name}: {message}" if status else "")
        return status

    def run(self) -> ExitStatus:
        """Do the job, or what the environment asks for instead."""
        self.folder.path.joinpath(LOG_FILE).write_text("stand-in engine\n")
        self._beat("loading")
        spec = self.folder.read_spec()
        table = self.folder.read_structures()
        self.total, self.task, self.parameters = len(table), spec.task, spec.parameters
        failure = os.environ.get("STAND_IN_FAIL")
        if failure:
            return self._end(ExitStatus[failure], "failed", "as the test asked")
        model = self.folder.model_path(spec)
        if not model.exists() or hashlib.sha256(model.read_bytes()).hexdigest() != spec.model_sha256:
            return self._end(
                ExitStatus.BAD_MODEL, "failed", f"{model} is not the model with {spec.model_sha256}"
            )
        if self.total > int(os.environ.get("STAND_IN_MEMORY", str(self.total))):
            return self._end(ExitStatus.OUT_OF_MEMORY, "failed", f"{self.total} rows do not fit")
        return self._work(table)

    def _work(self, table: StructureTable) -> ExitStatus:
        self.begun = True
        self._beat("running")
        allowed = int(os.environ.get("STAND_IN_ROWS", str(self.total)))
        for first in range(0, self.total, SHARD_ROWS):
            rows = list(range(first, min(first + SHARD_ROWS, self.total, allowed)))
            if any(str(table.ids[row]).startswith("killer") for row in rows):
                os.kill(os.getpid(), signal.SIGKILL)
            if not rows:
                return self._end(ExitStatus.ROWS_LEFT, "stopped", "time is up")
            shard = self.finish(table.take(rows), self.task, self.parameters)
            for name in os.environ.get("STAND_IN_LACKS", "").split():
                shard.columns.pop(name, None)
                shard.units.pop(name, None)
            path = self.folder.write_shard(shard)
            if first == 0 and "STAND_IN_DAMAGE" in os.environ:
                path.write_bytes(path.read_bytes()[:100])
            self.statuses.update(shard.columns["status"].tolist())
            self._beat("running")
            if first == 0:
                time.sleep(float(os.environ.get("STAND_IN_SLEEP", "0")))
        if allowed < self.total:
            return self._end(ExitStatus.ROWS_LEFT, "stopped", "time is up")
        return self._end(ExitStatus.OK, "done")


def main(finish: Finish = finish_rows) -> None:
    """Do the job in the folder that the command line names, and end with its exit status."""
    if "STAND_IN_ABSENT" in os.environ:
        sys.exit("pet-engine: command not found")
    sys.exit(Engine(JobFolder(Path(sys.argv[1])), finish).run())


if __name__ == "__main__":
    main()
