"""A training job from its folder to its model: what ``pet-engine JOBDIR`` does where there is a ``train.json``.

metatrain runs in a process of its own and writes a checkpoint after each epoch. Here it is watched: each epoch goes to
the learning curve and the heartbeat; when the walltime does not hold another one, or nothing gets better any more,
it is ended after its checkpoint. The job is left with ``ROWS_LEFT`` then, and one that is given its folder as
``before`` goes on from the newest checkpoint that is whole: a job that is killed costs at most the epoch it was in.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aiida_pet.job.checkpoint import ModelError
from aiida_pet.job.folder import (
    EngineSettings,
    ExitStatus,
    JobFolder,
    JobFolderError,
    Progress,
    write_atomically,
)
from aiida_pet.job.stop_signals import stop_at_signals
from aiida_pet.training import checkpoints, curve, folder
from aiida_pet.training.energy_zero import check_zero
from aiida_pet.training.finish import Work, finish, rows_table
from aiida_pet.training.folder import End, TrainingJob
from aiida_pet.training.levels import level_of
from aiida_pet.training.node import (
    LAST_FILE,
    DeviceError,
    device_of,
    end,
    failure_of,
    log_says,
    read_sets,
    start_metatrain,
)
from aiida_pet.training.options import START_FILE, write_frames, write_options
from aiida_pet.training.parameters import Stage, TrainingError, TrainingParameters, parse_training
from aiida_pet.training.prepare import Prepared, prepare
from aiida_pet.training.scales import check_label_counts
from aiida_pet.training.split import Split
from aiida_pet.training.start import prepare_start
from aiida_pet.words import plural

logger = logging.getLogger(__name__)

POLL_S = 0.3
BEAT_S = 15.0
SPARE = 1.15  # an epoch may take longer than the last one by this factor
_STARTED = b"Starting training"


class _LeftError(Exception):
    """Raised to leave the job: how, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class Training:
    """The run of one training job.

    :param path: path of the folder, with ``train.json`` and the sets.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.time()
        self._beaten = 0.0
        self._stop: str | None = None
        self._settings = EngineSettings()
        self._curve: list[curve.Row] = []
        self._epoch_s = 0.0
        self._progress = Progress(rows_total=0, started=self._began)

    def run(self) -> ExitStatus:
        """Work until done or told to stop; never raises for what can be foreseen.

        :return: the exit status; the heartbeat says it too, since schedulers lose exit codes.
        """
        status, name, message = ExitStatus.CRASHED, ExitStatus.CRASHED.name, ""
        try:
            self._run()
            status, name = ExitStatus.OK, ExitStatus.OK.name
        except _LeftError as left:
            name, message = left.name, str(left)
            status = ExitStatus[name] if name in ExitStatus.__members__ else ExitStatus.BAD_JOB
        except JobFolderError as error:
            status, name, message = ExitStatus.BAD_JOB, ExitStatus.BAD_JOB.name, str(error)
        except TrainingError as error:
            status, name, message = ExitStatus.BAD_JOB, End.BAD_DATA, str(error)
        except DeviceError as error:
            status, name, message = ExitStatus.BAD_DEVICE, ExitStatus.BAD_DEVICE.name, str(error)
        except ModelError as error:
            status, name, message = ExitStatus.BAD_MODEL, ExitStatus.BAD_MODEL.name, str(error)
        except Exception as error:
            logger.exception("the training crashed")
            message = f"{type(error).__name__}: {error}"
        step = {ExitStatus.OK: "done", ExitStatus.ROWS_LEFT: "stopped"}.get(status, "failed")
        text = "" if status is ExitStatus.OK else f"{name}: {message}"
        (logger.info if status in (ExitStatus.OK, ExitStatus.ROWS_LEFT) else logger.error)(
            "%s", text or "done"
        )
        self._beat(step=step, message=text or self._told())
        return status

    def stop(self, reason: str) -> None:
        """Leave at once: the newest checkpoint is at most one epoch old."""
        self._stop = reason

    def _run(self) -> None:
        job = TrainingJob.read(self.path)
        self._settings = job.settings
        parameters = parse_training(job.parameters)
        before = self._progress_before()
        total = parameters.epochs_of(job.stage)
        self._progress = replace(self._progress, rows_total=total, starts=before + 1)
        self._beat()
        device = device_of(job.settings)
        self._progress = replace(self._progress, device=device)
        model = self.path / job.model_path if job.model_sha256 else None
        elements = None
        if model is not None:
            elements = checkpoints.write_start(model, job.model_sha256, self.path / START_FILE)["elements"]
        known = level_of(job.known_level, parameters.variant)
        prepared = prepare(read_sets(self.path), parameters, elements=elements, known_level=known)
        check_label_counts(prepared)
        if model is not None:
            check_zero(prepared, parameters, model, job.model_sha256)
        rows_table(prepared).save(self.path / folder.ROWS_FILE)
        write_frames(self.path, prepared)
        options = write_options(
            self.path,
            job.stage,
            parameters,
            prepared,
            device=device,
            begun=model is not None,
            elements=elements,
        )
        self._take_up(parameters)
        if model is not None and job.stage is not Stage.CALIBRATE and checkpoints.newest(self.path) is None:
            prepare_start(self.path, job, parameters, prepared, options["training_set"]["targets"])
        last = self._train(job.stage, parameters)
        self._beat(step="running", message="taking errors")
        outcome = self._outcome(job, parameters, prepared)
        finish(Work(self.path, job, parameters, prepared), last, outcome)

    # -- metatrain -------------------------------------------------------------------------------------------

    def _train(self, stage: Stage, parameters: TrainingParameters) -> Path:
        """Run metatrain to its end, and return the last checkpoint.

        :raises _LeftError: if it has to be left, or fails.
        """
        if stage is Stage.CALIBRATE:
            return self._calibrate()
        total = self._progress.rows_total
        while True:
            found = checkpoints.newest(self.path)
            self._set_done(0 if found is None else found[0] + 1)
            if found is not None and (self._done >= total or self._is_best_passed(parameters)):
                return found[1]
            self._watch(parameters, None if found is None else found[1])

    def _calibrate(self) -> Path:
        target = self.path / LAST_FILE
        if not checkpoints.is_whole(target):
            process = start_metatrain(self.path, None, self._settings)
            self._beat(step="running", begun=True, message="calibrating")
            while process.poll() is None:
                time.sleep(POLL_S)
                self._leave_if_stopped(process)
                self._beat_sometimes()
            self._check_end(process.returncode, fruitless=True)
        self._set_done(1)
        return target

    def _watch(self, parameters: TrainingParameters, restart: Path | None) -> None:
        """Start metatrain and follow it until it ends, or has to be ended."""
        begun_with = self._done
        process = start_metatrain(self.path, restart, self._settings)
        self._beat(step="running", begun=True, message="starting metatrain")
        epoch_began: float | None = None
        while True:
            code = process.poll()
            now = time.time()
            if epoch_began is None and log_says(self.path, _STARTED):
                epoch_began = now
            found = checkpoints.newest(self.path)
            if found is not None and found[0] + 1 > self._done:
                fresh = found[0] + 1 - self._done
                if epoch_began is not None:
                    self._epoch_s = (now - epoch_began) / fresh
                epoch_began = now
                self._set_done(found[0] + 1)
                self._beat(step="running", message=self._told())
                if code is None:
                    checkpoints.prune(self.path)
                    self._judge_walltime(process, begun_with)
                    if self._is_best_passed(parameters):
                        self._end(process)
                        return
            if code is not None:
                break
            self._leave_if_stopped(process)
            self._beat_sometimes()
            time.sleep(POLL_S)
        self._check_end(code, fruitless=self._done == begun_with)

    def _judge_walltime(self, process: subprocess.Popen[bytes], begun_with: int) -> None:
        """:raises _LeftError: if the walltime holds too few epochs, or not another one."""
        walltime = self._settings.walltime_s
        left = self._progress.rows_total - self._done
        if walltime is None or not left:
            return
        usable = walltime - self._settings.walltime_margin_s
        used = time.time() - self._began
        done_here = self._done - begun_with
        epochs = done_here + int(max(0.0, usable - used) / (SPARE * self._epoch_s or 1e-9))
        if epochs < min(folder.LEAST_EPOCHS, done_here + left):
            self._end(process)
            needed = folder.LEAST_EPOCHS * SPARE * self._epoch_s + used - done_here * self._epoch_s
            needed += self._settings.walltime_margin_s
            fit = f"{plural(epochs, 'epoch')} {'fits' if epochs == 1 else 'fit'}"
            raise _LeftError(
                End.SHORT_WALLTIME,
                f"an epoch takes {self._epoch_s:.0f} s, so that {fit} into the walltime of {walltime:.0f} s beside the "
                f"start and the margin, but {folder.LEAST_EPOCHS} must fit: ask for {needed:.0f} s or more",
            )
        if used + SPARE * self._epoch_s > usable:
            self._end(process)
            left = self._progress.rows_total - self._done
            raise _LeftError(
                ExitStatus.ROWS_LEFT.name,
                f"walltime: {used:.0f} of {walltime:.0f} s are used; {left} of {self._progress.rows_total} epochs are "
                "left",
            )

    def _leave_if_stopped(self, process: subprocess.Popen[bytes]) -> None:
        """:raises _LeftError: if somebody asked for it."""
        if self._stop is None:
            return
        self._end(process)
        left = self._progress.rows_total - self._done
        raise _LeftError(
            ExitStatus.ROWS_LEFT.name, f"{self._stop}; {left} of {self._progress.rows_total} epochs are left"
        )

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """End metatrain, and count the epoch that it may have finished since the last look."""
        end(process)
        found = checkpoints.newest(self.path)
        if found is not None and found[0] + 1 > self._done:
            self._set_done(found[0] + 1)

    def _check_end(self, code: int | None, *, fruitless: bool) -> None:
        """Check that metatrain ended well.

        :param fruitless: whether it ended before its first epoch.
        :raises _LeftError: unless it did.
        """
        if code == 0:
            return
        if code in (-signal.SIGTERM, -signal.SIGINT):
            self._stop = self._stop or f"signal {signal.Signals(-code).name} to metatrain"
            left = self._progress.rows_total - self._done
            raise _LeftError(ExitStatus.ROWS_LEFT.name, f"{self._stop}; {left} epochs are left")
        raise _LeftError(*failure_of(self.path, code, fruitless=fruitless))

    # -- how far it is -----------------------------------------------------------------------------------------

    @property
    def _done(self) -> int:
        return self._progress.rows_done

    def _set_done(self, epochs: int) -> None:
        self._progress = replace(self._progress, rows_done=epochs)
        rows = curve.joined([self._curve, _curve_in(self.path)])
        self._curve = [row for row in rows if row[curve.EPOCH] < epochs]
        write_atomically(self.path / curve.CURVE_FILE, json.dumps(self._curve).encode())

    def _is_best_passed(self, parameters: TrainingParameters) -> bool:
        """Return whether no epoch was better for as many as ``patience`` says."""
        best = curve.best_epoch(self._curve, parameters.criterion.value)
        return (
            parameters.patience is not None
            and best is not None
            and self._done - 1 - best >= parameters.patience
        )

    def _take_up(self, parameters: TrainingParameters) -> None:
        """Take checkpoint and learning curve of the job before, as far as they are there."""
        before = self.path / folder.BEFORE
        for path in (before, self.path):
            with contextlib.suppress(OSError, json.JSONDecodeError):
                rows = json.loads((path / curve.CURVE_FILE).read_text())
                self._curve = curve.joined([self._curve, rows])
            # a job that was killed had no time to take over the last rows of metatrain's own file
            self._curve = curve.joined([self._curve, _curve_in(path)])
        if not before.exists():
            return
        if checkpoints.is_whole(before / LAST_FILE):
            (self.path / LAST_FILE).write_bytes((before / LAST_FILE).read_bytes())
        epoch = checkpoints.adopt(self.path, before)
        if epoch is None:
            logger.warning("%s holds no checkpoint: the stage begins with its first epoch", before)
        else:
            logger.info("the training goes on after epoch %d, the last epoch of the previous job", epoch + 1)

    def _outcome(
        self, job: TrainingJob, parameters: TrainingParameters, prepared: Prepared
    ) -> dict[str, Any]:
        best = curve.best_epoch(self._curve, parameters.criterion.value)
        labels = prepared.parts["training"].labels
        return {
            "stage": job.stage.value,
            "epochs": self._progress.rows_total,
            "epochs_done": self._done,
            "stopped_early": self._done < self._progress.rows_total,
            "best_epoch": best,
            "criterion": parameters.criterion.value,
            "epoch_s": self._epoch_s,
            "rows": {split.value: prepared.count(split) for split in Split},
            "atoms": {split.value: prepared.atoms(split) for split in Split},
            "refused": prepared.refused,
            "elements": prepared.elements,
            "level_of_theory": prepared.level_of_theory,
            "columns": labels.columns,
            "stress_pairs": prepared.stress_check.pairs,
            "stress_ratio": None if np.isnan(prepared.stress_check.ratio) else prepared.stress_check.ratio,
            "validation": {} if best is None else self._row_of(best),
        }

    def _row_of(self, epoch: int) -> dict[str, float]:
        row = next(row for row in self._curve if row[curve.EPOCH] == epoch)
        return {name: value for name, value in row.items() if name.startswith("validation_")}

    def _told(self) -> str:
        return curve.told(self._curve[-1]) if self._curve else ""

    # -- files ---------------------------------------------------------------------------------------------------

    def _progress_before(self) -> int:
        try:
            before = JobFolder(self.path).read_progress()
        except JobFolderError:
            return 0
        return before.starts if before else 0

    def _beat_sometimes(self) -> None:
        if time.time() - self._beaten > BEAT_S:
            self._beat()

    def _beat(self, **changes: Any) -> None:
        now = self._beaten = time.time()
        left = self._progress.rows_total - self._progress.rows_done
        rate = 1 / self._epoch_s if self._epoch_s else 0.0
        self._progress = replace(
            self._progress,
            rate=rate,
            eta_s=left * self._epoch_s if self._epoch_s else None,
            engine_s=now - self._began,
            compute_s=now - self._began,
            updated=now,
            **changes,
        )
        try:
            JobFolder(self.path).write_progress(self._progress)
        except OSError as error:
            logger.warning("no heartbeat: %s", error)


def run_training(path: Path) -> ExitStatus:
    """Run the training in folder ``path``, leaving in order at SIGTERM and SIGINT.

    :return: the exit status.
    """
    training = Training(path)
    stop_at_signals(training.stop)
    return training.run()


def _curve_in(path: Path) -> list[curve.Row]:
    """Return the epochs of all runs of metatrain in the folder ``path``; a later run goes before an earlier one."""
    runs = sorted((path / checkpoints.OUTPUTS).glob("*/*/train.csv"), key=lambda p: p.stat().st_mtime)
    return curve.joined(curve.read_curve(run) for run in runs)
