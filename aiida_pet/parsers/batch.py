"""Shards to nodes: what a job of the engine left becomes ``results``, ``summary`` and an exit code.

How the engine ended is read from its heartbeat, since a scheduler loses the exit status of the program: the last
``step`` is done, stopped or failed, with a message that begins with the name of the
:class:`~aiida_pet.job.folder.ExitStatus`; an engine that was killed leaves ``running`` or ``loading``, and then the
scheduler's own exit code, if it gave one, says why.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import CalcJob, ExitCode
from aiida.parsers import Parser

from aiida_pet.calculations.exit_codes import Failure
from aiida_pet.data.partial import part_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import (
    LOG_FILE,
    PROGRESS_FILE,
    SHARD_GLOB,
    ExitStatus,
    JobFolderError,
    Progress,
    RowStatus,
    read_shards,
)
from aiida_pet.job.input_columns import carried, carried_columns, read_by
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fingerprints import fingerprints_of

_FAILURES = {
    ExitStatus.BAD_JOB.name: Failure.BAD_JOB,
    ExitStatus.BAD_MODEL.name: Failure.BAD_MODEL,
    ExitStatus.BAD_DEVICE.name: Failure.BAD_DEVICE,
    ExitStatus.ROWS_LEFT.name: Failure.ROWS_LEFT,
    ExitStatus.OUT_OF_MEMORY.name: Failure.OUT_OF_MEMORY,
}
_LOOK = (
    "`verdi calcjob outputcat {pk} _scheduler-stderr.txt` shows its messages; check that the code is `pet-engine` in "
    "an environment with the extra `engine` (`aiida-pet doctor --job`)"
)
_FOLDER_GONE = "its log and the files of the queue could not be fetched: its folder is gone"
_KEEP_FOLDER = (
    "Find out what removes files on the computer while jobs run (its work directory may be on a file system that is "
    "cleaned). Choose another work directory (`verdi computer duplicate`) and run the job again"
)
_REASON_LENGTH = 500  # characters; the exit message stands in one line of `verdi process list`
_NODE_FAILURE = CalcJob.exit_codes.ERROR_SCHEDULER_NODE_FAILURE.status
_SUMMARY_KEYS = (
    *("engine_s", "compute_s", "evaluations", "step", "steps", "rate", "memory_mb", "device", "starts"),
)


@dataclass
class _Outcome:
    """What a job left.

    :ivar ids: ids of the job's rows, in order.
    :ivar results: finished rows in that order; None if there are none.
    :ivar damaged: names of shards that cannot be read.
    :ivar heartbeat: the last one; None if there is none or it cannot be read.
    :ivar extra: keys of the heartbeat that this version does not know.
    """

    ids: list[str]
    results: StructureTable | None
    damaged: list[str]
    heartbeat: Progress | None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return 0 if self.results is None else len(self.results)

    @property
    def complete(self) -> bool:
        return self.done == len(self.ids)


class BatchParser(Parser):
    """Parser of all jobs of the engine."""

    CACHE_VERSION = 2

    def parse(self, **kwargs: Any) -> ExitCode:
        """Attach ``results`` and ``summary``; return how the job ended."""
        folder = kwargs.get("retrieved_temporary_folder")
        if folder is None:
            return self._fail(Failure.NO_RETRIEVED_TEMPORARY_FOLDER)
        outcome = self._read(Path(folder))
        if outcome.results is not None:
            self.out("results", self._node_of(outcome.results))
        self.out("summary", orm.Dict(self._summarise(outcome)))
        return self._exit_code(outcome)

    def _read(self, folder: Path) -> _Outcome:
        inputs = self.node.inputs
        ids = (inputs.rows if "rows" in inputs else inputs.structures).ids.tolist()
        table, damaged = read_shards(sorted(folder.glob(SHARD_GLOB)))
        heartbeat, extra = self._heartbeat()
        return _Outcome(ids, self._in_order(ids, table), damaged, heartbeat, extra)

    def _in_order(self, ids: list[str], table: StructureTable | None) -> StructureTable | None:
        """Return the finished rows in the order of the job; a row marked as left is not finished."""
        if table is None:
            return None
        status = table.columns.get("status")
        place = {
            name: i
            for i, name in enumerate(table.ids.tolist())
            if status is None or status[i] != RowStatus.LEFT
        }
        wanted = [place[name] for name in ids if name in place]
        strangers = place.keys() - set(ids)
        if strangers:
            self.logger.warning(
                f"{len(strangers)} rows in the shards do not belong to this job and are left out"
            )
        return table.take(wanted) if wanted else None

    def _node_of(self, results: StructureTable) -> StructureSetData:
        """Return the node of the finished rows: what travels with them, and what they were given."""
        names = carried_columns()
        structures = part_of(self.node.inputs.structures, names.rows, names.atoms, names.ragged)
        given = structures.select(results.ids)
        node = StructureSetData.from_table(carried(results, given))
        node.set_fingerprints(fingerprints_of(given, read_by(self.node.process_class.TASK)))
        return node

    def _heartbeat(self) -> tuple[Progress | None, dict[str, Any]]:
        text = self._retrieved_text(PROGRESS_FILE)
        if text is None:
            return None, {}
        try:
            progress = Progress.from_json(text)
        except JobFolderError as error:
            self.logger.warning(str(error))
            return None, {}
        return progress, {
            key: value for key, value in json.loads(text).items() if key not in asdict(progress)
        }

    def _retrieved_text(self, name: str | None) -> str | None:
        try:
            return None if name is None else self.retrieved.base.repository.get_object_content(name, "r")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _summarise(self, outcome: _Outcome) -> dict[str, Any]:
        statuses: dict[str, int] = {}
        if outcome.results is not None and "status" in outcome.results.columns:
            statuses = dict(Counter(outcome.results.columns["status"].tolist()))
        summary: dict[str, Any] = {
            "statuses": statuses,
            "rows_total": len(outcome.ids),
            "rows_done": outcome.done,
            "rows_left": len(outcome.ids) - outcome.done,
            "damaged_shards": outcome.damaged,
        }
        if "model" in self.node.inputs:
            summary["model_sha256"] = self.node.inputs.model.sha256
        if outcome.heartbeat is not None:
            summary |= {key: getattr(outcome.heartbeat, key) for key in _SUMMARY_KEYS}
        return outcome.extra | summary

    def _exit_code(self, outcome: _Outcome) -> ExitCode:
        """Return how the job ended; a row that is there counts, whatever happened after it was written."""
        if outcome.complete:
            return ExitCode(0)
        counts = {"done": outcome.done, "total": len(outcome.ids)}
        heartbeat = outcome.heartbeat
        if heartbeat is not None and heartbeat.step in ("failed", "stopped"):
            name, _, text = heartbeat.message.partition(":")
            failure = _FAILURES.get(name.strip())
            if failure is not None:
                return self._fail(failure, reason=text.strip() or "the engine gave no reason", **counts)
            return self._broken_down(outcome, heartbeat.message)
        if heartbeat is not None and heartbeat.step == "done":
            missing = len(outcome.ids) - outcome.done
            damaged = (
                f"damaged shards {', '.join(outcome.damaged)}" if outcome.damaged else "no shard is damaged"
            )
            return self._fail(
                Failure.DAMAGED_RESULTS,
                reason=f"{missing} of {len(outcome.ids)} rows are missing in the shards; {damaged}",
            )
        return self._killed(outcome)

    def _killed(self, outcome: _Outcome) -> ExitCode:
        """Return the exit code of an engine that had no time to say why it ends."""
        scheduler = CalcJob.exit_codes
        counts = {"done": outcome.done, "total": len(outcome.ids)}
        if self.node.exit_status == scheduler.ERROR_SCHEDULER_OUT_OF_WALLTIME.status:
            return self._fail(Failure.ROWS_LEFT, **counts)
        if self.node.exit_status == scheduler.ERROR_SCHEDULER_OUT_OF_MEMORY.status:
            return self._fail(
                Failure.OUT_OF_MEMORY, reason="the scheduler killed it for the memory of the host", **counts
            )
        if self.node.exit_status:
            return self._broken_down(outcome, self.node.exit_message or f"scheduler: {self.node.exit_status}")
        if outcome.heartbeat is None and self._left_nothing():
            return self._fail(Failure.NOT_STARTED, reason=_FOLDER_GONE, remedy=_KEEP_FOLDER)
        stderr = (self._retrieved_text(self.node.get_option("scheduler_stderr")) or "").strip()
        reason = "it was killed" if outcome.heartbeat is not None else "it left no files and no messages"
        reason = f"{reason}; the end of its stderr: {stderr[-300:] or 'empty'}"
        log = (self._retrieved_text(LOG_FILE) or "").strip().splitlines()
        return self._broken_down(
            outcome, f"{reason}; of its log: {log[-1][-150:]}" if log and not stderr else reason
        )

    def _left_nothing(self) -> bool:
        """Return whether not one file of the job was fetched, those that a queue opens for each job included."""
        return not self.retrieved.base.repository.list_object_names()

    def _broken_down(self, outcome: _Outcome, reason: str) -> ExitCode:
        if not outcome.done:
            if outcome.damaged:
                reason = f"{reason}; damaged shards {', '.join(outcome.damaged)}"
            beat = outcome.heartbeat
            # an engine of a version before says it by its step alone
            begun = beat is not None and (beat.begun or beat.step == "running")
            failure = (
                Failure.NO_RESULTS
                if begun and self.node.exit_status != _NODE_FAILURE
                else Failure.NOT_STARTED
            )
            return self._fail(failure, reason=reason, remedy=_LOOK.format(pk=self.node.pk))
        return self._fail(Failure.CRASHED, reason=reason, done=outcome.done, total=len(outcome.ids))

    def _fail(self, failure: Failure, **values: Any) -> ExitCode:
        code: ExitCode = getattr(self.exit_codes, failure.value)
        if "reason" in values:
            # a disk that died leaves NUL bytes in a log, which PostgreSQL does not take
            readable = "".join(c if c.isprintable() else " " for c in values["reason"])
            values["reason"] = " ".join(readable.split())[:_REASON_LENGTH].rstrip(".")
        return code.format(pk=str(self.node.pk), **values)
