"""One job from its folder to its shards: what ``pet-engine JOBDIR`` does.

Rows that stand in valid shards are not done again. Every ``flush_interval_s`` and at the end finished rows are flushed
to a shard, after that the state of the others is written, then the heartbeat: a row may stand in a shard and in the
state, and is done then, but never in neither. A stop (walltime less its margin, SIGTERM, SIGINT) lets the current step
end, does the same and leaves with ``ROWS_LEFT``. The heartbeat's ``message`` begins with the name of the exit status
when it is not OK, since schedulers lose exit codes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiida_pet.engine.tasks.runner import Counters, Runner, RunnerClass
from aiida_pet.job.checkpoint import ModelError
from aiida_pet.job.folder import (
    STATE_FILE,
    EngineSettings,
    ExitStatus,
    JobFolder,
    JobFolderError,
    JobSpec,
    Progress,
)
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.state_file import purpose_of, read_state, write_state
from aiida_pet.job.stop_signals import stop_at_signals
from aiida_pet.job.tasks import Task, entry_of
from aiida_pet.plugins import load
from aiida_pet.tables.crystals import StructureTable

logger = logging.getLogger(__name__)


BEAT_S = 2.0
"""Seconds between two heartbeats while rows are computed."""
LARGE_MODEL = (
    50e6  # bytes: of a larger checkpoint, a chunk of the usual size may not fit into a laptop's memory
)


class DeviceError(RuntimeError):
    """Raised when the device asked for is not there."""


class Job:
    """The run of one job folder.

    :param folder: with ``job.json``, ``structures.npz`` and the model.
    """

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self._began = time.time()
        self._buffer: list[StructureTable] = []
        self._flushed = self._began
        self._stop: str | None = None
        self._computing: float | None = None
        self._runner: Runner | None = None
        self._settings = EngineSettings()
        self._rows_before = 0
        self._purpose: dict[str, Any] = {}
        self._progress = Progress(rows_total=0, started=self._began)

    def run(self) -> ExitStatus:
        """Work until done or told to stop; never raises for what can be foreseen.

        :return: the exit status, which the heartbeat carries too.
        """
        self._count_start()
        try:
            status, message = self._run()
        except (JobFolderError, ParameterError) as error:
            status, message = ExitStatus.BAD_JOB, str(error)
        except DeviceError as error:
            status, message = ExitStatus.BAD_DEVICE, str(error)
        except ModelError as error:
            status, message = ExitStatus.BAD_MODEL, str(error)
        except Exception as error:
            logger.exception("the engine crashed")
            self._flush()
            status, message = ExitStatus.CRASHED, f"{type(error).__name__}: {error}"
        step = {ExitStatus.OK: "done", ExitStatus.ROWS_LEFT: "stopped"}.get(status, "failed")
        text = "" if status is ExitStatus.OK else f"{status.name}: {message}"
        (logger.info if status is ExitStatus.OK else logger.error)("%s", text or "all rows are done")
        self._beat(step=step, message=text)
        return status

    def _run(self) -> tuple[ExitStatus, str]:
        spec = self.folder.read_spec()
        parameters = parse_parameters(spec.task, spec.parameters)
        structures = self.folder.read_structures()
        done, damaged = self.folder.read_results()
        for name in damaged:
            logger.warning("%s is damaged, so its rows are computed again", name)
            (self.folder.path / name).rename(self.folder.path / f"damaged-{name}")
        left = structures
        statuses: Counter[str] = Counter()
        if done is not None:
            statuses.update(done.columns["status"].tolist())
            finished = set(done.ids.tolist())
            left = structures.take(
                [i for i, name in enumerate(structures.ids.tolist()) if name not in finished]
            )
        self._progress = replace(
            self._progress,
            rows_total=len(structures),
            rows_done=len(structures) - len(left),
            statuses=dict(statuses),
        )
        self._beat()
        if not len(left):
            (self.folder.path / STATE_FILE).unlink(missing_ok=True)
            return ExitStatus.OK, ""
        self._rows_before = self._progress.rows_done
        logger.info("%s of %d rows, %d done before", spec.task.value, len(structures), self._rows_before)
        return self._compute(spec, parameters, left)

    def _compute(self, spec: JobSpec, parameters: Any, left: StructureTable) -> tuple[ExitStatus, str]:
        device, threads = _prepare_torch(spec.settings)
        self._progress = replace(self._progress, device=device)
        self._beat()
        # seconds of imports, wanted only here
        from aiida_pet.engine.model.heads import UnsupportedModelError  # noqa: PLC0415
        from aiida_pet.engine.model.memory import fit_to_memory  # noqa: PLC0415
        from aiida_pet.engine.model.pet import make_model  # noqa: PLC0415

        try:
            model = make_model(
                self.folder.model_path(spec),
                spec.model_sha256,
                forces=parameters.forces,
                stress=parameters.stress,
                variant=parameters.variant,
                outputs=parameters.outputs,
                dtype=parameters.dtype,
                device=device,
                threads=threads,
                max_tokens=spec.settings.max_batch_cost,
            )
        except UnsupportedModelError as error:
            return ExitStatus.BAD_MODEL, str(error)
        is_large = self.folder.model_path(spec).stat().st_size > LARGE_MODEL
        if spec.settings.max_batch_cost is None and (is_large or device != "cpu"):
            fit_to_memory(model)
        self._settings = spec.settings
        self._computing = time.time()
        try:
            runner = self._runner = _runner_class(spec.task)(
                left, model, parameters, finished=self._finish, proceed=self._proceed
            )
        except UnsupportedModelError as error:
            return ExitStatus.BAD_MODEL, str(error)
        runner.attach(self.folder.path)
        self._purpose = purpose_of(spec, parameters)
        self._beat(step="running", begun=True)
        self._take_up(runner, left)
        ended = runner.run()
        self._flush()
        self._write_state()
        if ended:
            return ExitStatus.OK, ""
        missing = self._progress.rows_total - self._progress.rows_done
        return ExitStatus.ROWS_LEFT, f"{self._stop}; {missing} of {self._progress.rows_total} rows are left"

    def stop(self, reason: str) -> None:
        """Let the current step end, then flush and leave."""
        self._stop = reason

    # -- called by the driver ------------------------------------------------------------------------------------

    def _finish(self, rows: StructureTable) -> None:
        self._buffer.append(rows)

    def _proceed(self) -> bool:
        now = time.time()
        walltime = self._settings.walltime_s
        if walltime is not None:
            limit = walltime - self._settings.walltime_margin_s
            if now - self._began >= limit:
                self.stop(f"walltime: {now - self._began:.0f} of {walltime:.0f} s are used")
        if now - self._flushed >= self._settings.flush_interval_s:
            self._flush()
            self._write_state()
            self._beat(step="running")
        elif now - self._progress.updated >= BEAT_S:
            self._beat(step="running")
        return self._stop is None

    # -- files ---------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._flushed = time.time()
        if not self._buffer:
            return
        rows = StructureTable.concatenate(self._buffer)
        self._buffer = []
        self.folder.write_shard(rows)
        statuses = Counter(self._progress.statuses) + Counter(rows.columns["status"].tolist())
        self._progress = replace(
            self._progress, rows_done=self._progress.rows_done + len(rows), statuses=dict(statuses)
        )

    def _take_up(self, runner: Runner, left: StructureTable) -> None:
        """Let the rows that were being worked on when the job was left go on from there."""
        path = self.folder.path / STATE_FILE
        try:
            rows = read_state(path, self._purpose, left)
            if rows is None:
                return
            runner.restore(rows)
        except ValueError as error:
            logger.warning("%s is ignored and its rows start from the beginning: %s", path, error)
            return
        logger.info("%d rows go on from their state in %s", len(rows), STATE_FILE)

    def _write_state(self) -> None:
        rows = None if self._runner is None else self._runner.snapshot()
        path = self.folder.path / STATE_FILE
        try:
            if rows is not None and len(rows):
                write_state(path, rows, self._purpose)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the state of unfinished rows could not be saved: %s", error)

    def _count_start(self) -> None:
        try:
            before = self.folder.read_progress()
        except JobFolderError:
            before = None
        self._progress = replace(self._progress, starts=(before.starts if before else 0) + 1)

    def _beat(self, **changes: Any) -> None:
        now = time.time()
        computing = now - self._computing if self._computing else 0.0
        progress = self._progress
        fresh = progress.rows_done - self._rows_before
        rate = fresh / computing if computing else 0.0
        counters = Counters() if self._runner is None else self._runner.counters
        self._progress = replace(
            progress,
            rows_in_flight=0 if self._runner is None else self._runner.in_flight,
            rate=rate,
            eta_s=None if self._runner is None else self._runner.work.seconds_left(computing),
            engine_s=now - self._began + _process_age(self._began),
            compute_s=computing,
            evaluations=counters.evaluations,
            steps=counters.steps,
            memory_mb=_peak_memory_mb(progress.device),
            updated=now,
            **changes,
        )
        try:
            self.folder.write_progress(self._progress)
        except OSError as error:
            logger.warning("no heartbeat: %s", error)


def _runner_class(task: Task) -> RunnerClass:
    """Return the class that runs ``task``, imported only now, since torch and phonopy take seconds."""
    runner: RunnerClass = load(entry_of(task).driver)
    return runner


def run_folder(path: Path) -> ExitStatus:
    """Run the job in folder ``path``, stopping in order at SIGTERM and SIGINT.

    :return: the exit status.
    """
    job = Job(JobFolder(path))
    stop_at_signals(job.stop)
    return job.run()


def _prepare_torch(settings: EngineSettings) -> tuple[str, int]:
    """Return the device to use, and the cores of the CPU.

    Operations get one core each, evaluations share out all of them: what a step does besides is too small to share, and
    threads that wait for such work spin on the cores that evaluate.

    :raises DeviceError: if the device asked for is not there.
    """
    import torch  # noqa: PLC0415

    threads = settings.threads or int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    torch.set_num_threads(1)
    wanted = settings.device
    if wanted == "auto":
        return ("cuda" if torch.cuda.is_available() else "cpu"), threads
    try:
        device = torch.device(wanted)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError("expected auto, cpu, cuda or cuda:N")
        if device.type == "cuda" and (
            not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()
        ):
            raise RuntimeError(f"this node has {torch.cuda.device_count()} CUDA devices")
    except RuntimeError as error:
        raise DeviceError(f"device {wanted!r} cannot be used: {error}") from error
    return wanted, threads


def _peak_memory_mb(device: str) -> float:
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415

        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(OSError):
        # not ru_maxrss where this is there: Linux lets a process inherit the peak of the one that started it
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _process_age(began: float) -> float:
    """Return the seconds between the start of this process and ``began``; 0 where the system does not tell."""
    try:
        ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    started = time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, began - started)
