"""What a training job left becomes its model, learning curve, errors and an exit code.

The model is trusted because it was made here: its node is made of the file that the job left, whose SHA-256 the job
wrote down, and the job that made it is its creator in the provenance. Nothing of it is opened.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import CalcJob, ExitCode
from aiida.parsers import Parser

from aiida_pet.calculations.train_codes import TrainFailure
from aiida_pet.data.model import PetModelData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import PROGRESS_FILE, ExitStatus, JobFolderError, Progress
from aiida_pet.tables.table import Table
from aiida_pet.training import curve
from aiida_pet.training import folder as files
from aiida_pet.training.folder import End
from aiida_pet.training.parameters import Stage, parse_training

_FAILURES = {
    ExitStatus.BAD_JOB.name: TrainFailure.BAD_JOB,
    ExitStatus.BAD_MODEL.name: TrainFailure.BAD_MODEL,
    ExitStatus.BAD_DEVICE.name: TrainFailure.BAD_DEVICE,
    ExitStatus.ROWS_LEFT.name: TrainFailure.EPOCHS_LEFT,
    ExitStatus.OUT_OF_MEMORY.name: TrainFailure.OUT_OF_MEMORY,
    End.BAD_DATA: TrainFailure.BAD_DATA,
    End.SHORT_WALLTIME: TrainFailure.SHORT_WALLTIME,
    End.REPEATS: TrainFailure.REPEATS,
}
_SUMMARY_KEYS = ("rows_total", "rows_done", "engine_s", "device", "starts")
_REASON_LENGTH = 500


class TrainParser(Parser):
    """Parser of :class:`~aiida_pet.calculations.train.TrainCalculation`."""

    CACHE_VERSION = 1

    def parse(self, **kwargs: Any) -> ExitCode:
        """Attach what there is; return how the job ended."""
        given = kwargs.get("retrieved_temporary_folder")
        if given is None:
            return self._fail(TrainFailure.NO_RETRIEVED_TEMPORARY_FOLDER)
        folder = Path(given)
        heartbeat = self._heartbeat()
        self._attach_curve(folder)
        for name, file in (("rows", files.ROWS_FILE), ("errors", files.ERRORS_FILE)):
            table = _table_in(folder / file)
            if table is not None and len(table):
                self.out(name, TableData.from_table(table))
        outcome = _json_in(folder / files.OUTCOME_FILE)
        summary = outcome | self._told_by(heartbeat)
        exit_code = self._exit_code(heartbeat, folder, summary)
        self.out("summary", orm.Dict(summary))
        return exit_code

    def _told_by(self, heartbeat: Progress | None) -> dict[str, Any]:
        told: dict[str, Any] = {key: getattr(heartbeat, key) for key in _SUMMARY_KEYS} if heartbeat else {}
        parameters = parse_training(self.node.inputs.parameters.get_dict())
        told.setdefault("rows_total", parameters.epochs_of(Stage(self.node.inputs.stage.value)))
        told.setdefault("rows_done", 0)
        return told | {"unit": "epochs", "message": heartbeat.message if heartbeat else ""}

    def _attach_curve(self, folder: Path) -> None:
        rows = _json_in(folder / curve.CURVE_FILE)
        if not rows:
            return
        stage = self.node.inputs.stage.value
        table = Table(ids=np.array([f"{stage}-{int(row[curve.EPOCH]):05d}" for row in rows], dtype=str))
        names = list(dict.fromkeys(name for row in rows for name in row))
        for name in names:
            values = np.array([row.get(name, np.nan) for row in rows], dtype=np.float64)
            table.set_column(
                name, values.astype(np.int64) if name == curve.EPOCH else values, curve.unit_of(name) or None
            )
        self.out("learning_curve", TableData.from_table(table))

    def _attach_model(self, folder: Path) -> str:
        """Attach the model; return what is wrong with it, empty if nothing is."""
        path, card = folder / files.TRAINED_FILE, _json_in(folder / files.CARD_FILE)
        if not path.exists() or not card:
            missing = files.TRAINED_FILE if not path.exists() else files.CARD_FILE
            return f"{missing} was not fetched"
        try:
            node = PetModelData.from_card(path, card)
        except ValueError as error:
            return str(error)
        self.out("model", node)
        return ""

    def _exit_code(self, heartbeat: Progress | None, folder: Path, summary: dict[str, Any]) -> ExitCode:
        counts = {"done": summary["rows_done"], "total": summary["rows_total"]}
        if heartbeat is not None and heartbeat.step == "done":
            problem = self._attach_model(folder)
            return self._fail(TrainFailure.DAMAGED_RESULTS, reason=problem) if problem else ExitCode(0)
        if heartbeat is not None and heartbeat.step in ("failed", "stopped"):
            name, _, text = heartbeat.message.partition(":")
            failure = _FAILURES.get(name.strip(), TrainFailure.CRASHED)
            return self._fail(failure, reason=text.strip() or "it gave no reason", **counts)
        return self._killed(heartbeat, counts)

    def _killed(self, heartbeat: Progress | None, counts: dict[str, Any]) -> ExitCode:
        """Return the exit code of a job that had no time to say why it ends."""
        scheduler = CalcJob.exit_codes
        status = self.node.exit_status
        if status == scheduler.ERROR_SCHEDULER_OUT_OF_WALLTIME.status:
            return self._fail(TrainFailure.EPOCHS_LEFT, reason="the walltime ran out", **counts)
        if status == scheduler.ERROR_SCHEDULER_OUT_OF_MEMORY.status:
            return self._fail(TrainFailure.OUT_OF_MEMORY, reason="the scheduler killed it", **counts)
        if heartbeat is not None and heartbeat.begun:
            return self._fail(TrainFailure.EPOCHS_LEFT, reason="it was killed", **counts)
        stderr = (self._retrieved_text(self.node.get_option("scheduler_stderr")) or "").strip()
        reason = (
            "the job was killed as it began" if heartbeat is not None else "it left no files and no messages"
        )
        return self._fail(
            TrainFailure.CRASHED,
            reason=f"{reason}; the end of its stderr: {stderr[-300:] or 'empty'}",
            **counts,
        )

    def _heartbeat(self) -> Progress | None:
        text = self._retrieved_text(PROGRESS_FILE)
        try:
            return None if text is None else Progress.from_json(text)
        except JobFolderError as error:
            self.logger.warning(str(error))
            return None

    def _retrieved_text(self, name: str | None) -> str | None:
        try:
            return None if name is None else self.retrieved.base.repository.get_object_content(name, "r")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _fail(self, failure: TrainFailure, **values: Any) -> ExitCode:
        code: ExitCode = getattr(self.exit_codes, failure.value)
        if "reason" in values:
            readable = "".join(c if c.isprintable() else " " for c in str(values["reason"]))
            values["reason"] = " ".join(readable.split())[:_REASON_LENGTH].rstrip(".")
        return code.format(pk=str(self.node.pk), **values)


def _json_in(path: Path) -> Any:
    """Return the content of a file, {} if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def _table_in(path: Path) -> Table | None:
    try:
        return Table.load(path)
    except (OSError, ValueError, KeyError):
        return None
