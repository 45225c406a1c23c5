"""A job of the transport, from its folder to its shards: `pet-engine JOBDIR` where there is a transport.json.

Rows are handed to as many processes as the job has cores; each process uses one. A row that is finished is written to
a shard at once, so that a job that was killed goes on with the others. Without torch.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiida_pet.job.conductivity_parameters import ConductivityParameters
from aiida_pet.job.folder import ExitStatus, JobFolder, JobFolderError, JobSpec, Progress
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.stop_signals import stop_at_signals
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.transport.rows import Answer, transport_of_row, with_answers

__all__ = ["run_transport"]

logger = logging.getLogger(__name__)

_POLL_S = 1.0
_KILLED = "its process was killed, most likely for its memory: give the job more memory"
_ONE_CORE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def run_transport(path: Path) -> ExitStatus:
    """Run the job in folder ``path``, stopping in order at SIGTERM, SIGINT and before its walltime ends.

    :return: the exit status.
    """
    job = _Job(JobFolder(path))
    stop_at_signals(job.stop)
    return job.run()


class _Job:
    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self._began = time.time()
        self._stop: str | None = None
        self._progress = Progress(rows_total=0, started=self._began, device="cpu")

    def stop(self, reason: str) -> None:
        self._stop = reason

    def run(self) -> ExitStatus:
        try:
            before = self.folder.read_progress()
            self._progress = replace(self._progress, starts=(before.starts if before else 0) + 1)
            status, message = self._run()
        except (JobFolderError, ParameterError) as error:
            status, message = ExitStatus.BAD_JOB, str(error)
        except Exception as error:
            logger.exception("the transport crashed")
            status, message = ExitStatus.CRASHED, f"{type(error).__name__}: {error}"
        step = {ExitStatus.OK: "done", ExitStatus.ROWS_LEFT: "stopped"}.get(status, "failed")
        text = "" if status is ExitStatus.OK else f"{status.name}: {message}"
        (logger.info if status is ExitStatus.OK else logger.error)("%s", text or "all rows are done")
        self._beat(step=step, message=text)
        return status

    def _run(self) -> tuple[ExitStatus, str]:
        spec = self.folder.read_spec()
        parameters: ConductivityParameters = parse_parameters(spec.task, spec.parameters)
        rows = self.folder.read_structures()
        done, damaged = self.folder.read_results()
        for name in damaged:
            logger.warning("%s is damaged, so its rows are computed again", name)
            (self.folder.path / name).rename(self.folder.path / f"damaged-{name}")
        finished = set() if done is None else set(done.ids.tolist())
        statuses = Counter() if done is None else Counter(done.columns["status"].tolist())
        left = [place for place, name in enumerate(rows.ids.tolist()) if name not in finished]
        self._progress = replace(
            self._progress, rows_total=len(rows), rows_done=len(finished), statuses=dict(statuses)
        )
        self._beat(step="running", begun=True)
        if left:
            self._work(rows, _by_cost(rows, left), parameters, spec)
        missing = self._progress.rows_total - self._progress.rows_done
        if missing:
            return ExitStatus.ROWS_LEFT, f"{self._stop}; {missing} of {len(rows)} rows are left"
        return ExitStatus.OK, ""

    def _work(
        self, rows: StructureTable, places: list[int], parameters: ConductivityParameters, spec: JobSpec
    ) -> None:
        """Hand rows to processes until all are done, or it is time to stop."""
        cores = spec.settings.threads or len(os.sched_getaffinity(0))
        os.environ.update(dict.fromkeys(_ONE_CORE, "1"))
        waiting = deque(places)
        while waiting and self._proceed(spec):
            # a process that is killed takes with it all that run beside it: which row it was shows if each runs alone
            for suspect in self._hand_out(rows, waiting, min(cores, len(waiting)), parameters, spec):
                if self._hand_out(rows, deque([suspect]), 1, parameters, spec):
                    self._finish(with_answers(rows.take([suspect]), Answer(failed=_KILLED), parameters))

    def _hand_out(
        self,
        rows: StructureTable,
        waiting: deque[int],
        cores: int,
        parameters: ConductivityParameters,
        spec: JobSpec,
    ) -> list[int]:
        """Run rows of ``waiting`` until it is empty, it is time to stop, or a process is killed.

        :return: the rows that were running when a process was killed.
        """
        running: dict[Future[Answer], int] = {}
        with _processes(cores) as pool:
            while self._proceed(spec):
                while waiting and len(running) < cores:
                    try:
                        future = pool.submit(transport_of_row, rows.take([waiting[0]]), parameters)
                    except BrokenProcessPool:  # a process was killed since the last look; it ran one of these
                        return list(running.values())
                    running[future] = waiting.popleft()
                if not running:
                    break
                ended, _ = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                if any(isinstance(one.exception(), BrokenProcessPool) for one in ended):
                    return list(running.values())
                for one in ended:
                    row = rows.take([running.pop(one)])
                    self._finish(with_answers(row, _answer_of(one), parameters))
                self._progress = replace(self._progress, rows_in_flight=len(running))
                self._beat(step="running")
        return []

    def _proceed(self, spec: JobSpec) -> bool:
        walltime = spec.settings.walltime_s
        if walltime is not None and time.time() - self._began >= walltime - spec.settings.walltime_margin_s:
            self.stop(f"walltime: {time.time() - self._began:.0f} of {walltime:.0f} s are used")
        return self._stop is None

    def _finish(self, row: StructureTable) -> None:
        self.folder.write_shard(row)
        statuses = Counter(self._progress.statuses) + Counter(row.columns["status"].tolist())
        self._progress = replace(
            self._progress, rows_done=self._progress.rows_done + 1, statuses=dict(statuses)
        )

    def _beat(self, **changes: object) -> None:
        now = time.time()
        own, children = (
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        self._progress = replace(
            self._progress,
            engine_s=now - self._began,
            compute_s=now - self._began,
            memory_mb=max(own, children) / (2**20 if sys.platform == "darwin" else 2**10),
            updated=now,
            **changes,  # type: ignore[arg-type]
        )
        try:
            self.folder.write_progress(self._progress)
        except OSError as error:
            logger.warning("no heartbeat: %s", error)


@contextmanager
def _processes(size: int) -> Iterator[ProcessPoolExecutor]:
    """Give ``size`` processes, which are killed in the end, whatever they do."""
    pool = ProcessPoolExecutor(
        size, mp_context=multiprocessing.get_context("spawn"), initializer=_ignore_signals
    )
    try:
        yield pool
    finally:
        started = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in started:
            process.kill()


def _answer_of(one: Future[Answer]) -> Answer:
    error = one.exception()
    return one.result() if error is None else Answer(failed=f"{type(error).__name__}: {error}")


def _ignore_signals() -> None:
    """Leave it to the first process to stop in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _by_cost(rows: StructureTable, places: list[int]) -> list[int]:
    """Return ``places``, the rows that take longest first, so that no core waits for one of them at the end."""
    sizes = rows.ragged["fc3_forces"].sizes if "fc3_forces" in rows.ragged else np.diff(rows.offsets)
    return sorted(places, key=lambda place: -int(sizes[place]))
