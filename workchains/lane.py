"""One lane of a batch: walks its share of rows in jobs, one after the other, and waits for no other lane.

What becomes of rows that a job did not finish is decided in :mod:`aiida_pet.workchains.walk`; here jobs are started and
their exit codes read. If a job did not finish its rows, the next job goes on where they were: it is given the folder of
the job before. The results stay with the jobs (`CalcJobNode.outputs.results`), which
:class:`~aiida_pet.workchains.batch.BatchWorkChain` collects at the end: a lane that is killed loses nothing.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ToContext, WorkChain, if_, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec
from aiida.manage.caching import enable_caching
from aiida.plugins import CalculationFactory

from aiida_pet.calculations.exit_codes import CODES, Failure
from aiida_pet.calculations.records import record_given_up
from aiida_pet.calculations.staging import was_staged
from aiida_pet.calculations.validation import check_remote_folders, check_rows
from aiida_pet.data.merging import places_of
from aiida_pet.data.partial import fresh
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.tasks import entry_of
from aiida_pet.tables.table import Array
from aiida_pet.words import plural
from aiida_pet.workchains.cleaning import clean_folders, is_own_folder
from aiida_pet.workchains.inputs import define_job_duration, define_job_inputs
from aiida_pet.workchains.jobs import called_as, launch_of
from aiida_pet.workchains.sharing import pace_of, rows_for
from aiida_pet.workchains.staging import StagingWorkChain
from aiida_pet.workchains.stopping import is_stop_requested
from aiida_pet.workchains.walk import Ending, Walk

_STATUS = {code.label: code.status for code in CODES}
_INVALID_ACCOUNT = 131
_BAD_MODEL = _STATUS[Failure.BAD_MODEL]
# The next job would end the same way; if the model was refused, unless it is staged again.
FATAL = {_INVALID_ACCOUNT} | {
    _STATUS[failure] for failure in (Failure.BAD_JOB, Failure.BAD_MODEL, Failure.BAD_DEVICE)
}
# Times in a row: a copy may be damaged again while a job waits in the queue, but a model that is refused although its
# copy is whole will be refused for ever.
MAX_RESTAGINGS = 2
ENDINGS = {
    0: Ending.FINISHED,
    _BAD_MODEL: Ending.MODEL,
    _STATUS[Failure.ROWS_LEFT]: Ending.TIME,
    _STATUS[Failure.OUT_OF_MEMORY]: Ending.MEMORY,
    _STATUS[Failure.NOT_STARTED]: Ending.IDLE,
    _STATUS[Failure.NO_RETRIEVED_TEMPORARY_FOLDER]: Ending.IDLE,
    110: Ending.MEMORY,  # the scheduler's: out of memory
    120: Ending.TIME,  # the scheduler's: out of walltime
}


class LaneWorkChain(WorkChain):
    """Jobs of ``job_size`` rows in sequence until every row of ``rows`` has a result or was given up."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_job_inputs(spec)
        spec.input(
            "rows",
            valid_type=TableData,
            help="The ids of the rows of the lane, in the order in which they are computed.",
        )
        spec.input(
            "job_size",
            valid_type=orm.Int,
            serializer=orm.to_aiida_type,
            help="Largest number of rows of a job.",
        )
        define_job_duration(spec)
        spec.inputs.validator = _validate
        spec.outline(
            cls.setup,
            while_(cls.has_rows)(
                cls.run_job, cls.inspect_job, if_(cls.was_model_refused)(cls.stage, cls.inspect_stage)
            ),
            cls.finish,
        )
        spec.output(
            "given_up",
            valid_type=StructureSetData,
            required=False,
            help="Rows that were given up, because the engine broke down twice on them, the second time in a job with "
            "this row alone. They have the status `failed`, with the reason as message.",
        )
        spec.exit_code(
            300,
            "ERROR_FATAL",
            message="Job <{pk}> failed, and another job would fail in the same way, so the lane stops: {message}",
        )
        spec.exit_code(
            301,
            "ERROR_JOB_KILLED",
            message="Job <{pk}> was killed, so the lane stops with {left} left: `aiida-pet resume "
            "{launch}` goes on with them.",
        )
        spec.exit_code(
            302,
            "ERROR_STOPPED",
            message="Stopped as asked, with {left} left: `aiida-pet resume {launch}` goes on with them.",
        )
        spec.exit_code(
            303,
            "ERROR_OUT_OF_RESOURCES",
            message="{what} ran out twice for rows that were alone in their job ({count}): give jobs more "
            "(`--walltime`, `--memory`).",
        )
        spec.exit_code(
            400,
            "ERROR_TOO_MANY_FAILURES",
            message="{count} successive jobs finished no row, so the lane stops with {left} left. The last job, "
            "<{pk}>: {message}",
        )

    def setup(self) -> None:
        """Begin at the first row."""
        max_batch_cost = self.inputs.get("settings", {}).get("max_batch_cost")
        self.ctx.walk = Walk.start(
            len(self.inputs.rows), self.inputs.job_size.value, max_batch_cost
        ).to_dict()
        self.ctx.n_jobs = 0
        self.ctx.refusals = 0  # of the model, in a row
        self.ctx.remote_model = self.inputs.get("remote_model", None)
        self.ctx.to_clean = []  # jobs (pks) whose folders nothing needs
        self.ctx.with_state = []  # and those whose state a later job may still need

    def has_rows(self) -> bool:
        """Return whether rows wait, and nobody asked to stop."""
        if not Walk.from_dict(self.ctx.walk).n_waiting:
            return False
        self.ctx.stopped = is_stop_requested(self.node)
        return not self.ctx.stopped

    def run_job(self) -> Any:
        """Start a job with the next rows."""
        walk = Walk.from_dict(self.ctx.walk)
        rows = walk.next_job(self._most_rows(walk))
        settings = dict(self.inputs.get("settings", {}))
        if walk.max_batch_cost is not None:
            settings["max_batch_cost"] = walk.max_batch_cost
        inputs: dict[str, Any] = {
            name: self.inputs[name]
            for name in ("code", "model", "structures", "parameters")
            if name in self.inputs
        }
        if self.ctx.remote_model is not None:
            inputs["remote_model"] = self.ctx.remote_model
        ids = self._in_order_of_structures(rows)
        if len(ids) < len(self.inputs.structures):
            inputs["rows"] = TableData.from_ids(ids)
        before = self.ctx.get("job")
        if before is not None and not before.is_finished_ok and "remote_folder" in before.outputs:
            inputs["remote_state"] = before.outputs.remote_folder
        inputs["settings"] = settings
        label = f"job_{self.ctx.n_jobs:05d}"
        options = dict(self.inputs.get("options", {}))
        inputs["metadata"] = {
            "options": options,
            "call_link_label": label,
            "label": self._label_of_job(len(ids)),
        }
        self.ctx.n_jobs += 1
        self.ctx.walk = walk.to_dict()
        started = called_as(self.node, label)
        if started is not None:
            return ToContext(job=started)
        calculation: Any = CalculationFactory(entry_of(self.inputs.task.value).entry_point)
        with (
            enable_caching(identifier=calculation.build_process_type())
            if self.inputs.reuse
            else nullcontext()
        ):
            node = self.submit(calculation, **inputs)
        self.report(f"job <{node.pk}>: {len(rows)} rows, {walk.n_waiting} wait")
        return ToContext(job=node)

    def _label_of_job(self, n_rows: int) -> str:
        """Return what a job is called: the same for the same work, since one from the cache takes its source's."""
        return f"{self.inputs.task.value} of {plural(n_rows, 'crystal')}"

    def inspect_job(self) -> ExitCode | None:
        """Take note of what the job finished, and put the rest back."""
        job = self.ctx.job
        walk = Walk.from_dict(self.ctx.walk)
        message = job.exit_message or job.exception or "it gave no reason"
        finished = self._finished(job)
        ending = self._ending(job)
        walk.settle(finished, ending, message)
        self.ctx.walk = walk.to_dict()
        self._clean_after(job, ending, finished)
        if "summary" in job.outputs:
            pace = pace_of(
                job.outputs.summary.get_dict(), len(finished), self._sizes()[sorted(finished)].sum()
            )
            self.ctx.pace = pace or self.ctx.get("pace")
        self.ctx.refusals = self.ctx.refusals + 1 if job.exit_status == _BAD_MODEL else 0
        if job.is_finished_ok:
            return None
        self.report(f"job <{job.pk}> ended with exit status {job.exit_status}: {message}")
        if job.is_killed:
            return self._stop(self.exit_codes.ERROR_JOB_KILLED, walk, pk=job.pk)
        if job.exit_status in FATAL and not self.was_model_refused():
            return self._stop(self.exit_codes.ERROR_FATAL, walk, pk=job.pk, message=message)
        if walk.fruitless >= self.inputs.max_failures.value and walk.n_waiting:
            return self._stop(
                self.exit_codes.ERROR_TOO_MANY_FAILURES,
                walk,
                pk=job.pk,
                message=message,
                count=walk.fruitless,
            )
        return None

    def _ending(self, job: Any) -> Ending:
        if job.is_killed or (not job.is_finished_ok and is_stop_requested(self.node)):
            return Ending.CALLED_OFF
        ending = ENDINGS.get(job.exit_status, Ending.BROKEN)
        if ending is Ending.TIME and entry_of(self.inputs.task.value).goes_on and _stopped_further(job):
            return Ending.ON_ITS_WAY
        return ending

    def was_model_refused(self) -> bool:
        """Return whether the model was refused and may be brought to the computer again.

        A folder that the user named is his: nothing is written there.
        """
        copy = self.ctx.remote_model
        return 0 < self.ctx.refusals <= MAX_RESTAGINGS and copy is not None and was_staged(copy)

    def stage(self) -> Any:
        """Look for the model on the computer, by its hash, and bring it there again if it is damaged or gone."""
        computer = self.ctx.remote_model.computer
        metadata = {"call_link_label": f"stage_{self.ctx.n_jobs:05d}"}
        node = self.submit(StagingWorkChain, model=self.inputs.model, computer=computer, metadata=metadata)
        self.report(f"bringing the model to {computer.label} again: <{node.pk}>")
        return ToContext(staging=node)

    def inspect_stage(self) -> ExitCode | None:
        """Go on with the copy that is whole."""
        staging = self.ctx.staging
        if staging.is_finished_ok:
            self.ctx.remote_model = staging.outputs.remote_model
            return None
        reason = staging.exit_message or staging.exception or "it gave no reason"
        return self._stop(
            self.exit_codes.ERROR_FATAL,
            Walk.from_dict(self.ctx.walk),
            pk=self.ctx.job.pk,
            message=f"its model was refused and could not be uploaded again (process <{staging.pk}>): {reason}",
        )

    def finish(self) -> ExitCode | None:
        """Record the rows that were given up, and say whether the lane was stopped or jobs had not enough for rows."""
        walk = Walk.from_dict(self.ctx.walk)
        if self.ctx.get("stopped", False):
            return self._stop(self.exit_codes.ERROR_STOPPED, walk)
        self._clean(self.ctx.with_state)
        self._record(walk)
        if walk.starved:
            what = " and ".join(sorted({ending.value for ending in walk.starved.values()}, reverse=True))
            return self.exit_codes.ERROR_OUT_OF_RESOURCES.format(
                what=what.capitalize(), count=plural(len(walk.starved), "such row")
            )
        return None

    def _clean_after(self, job: orm.CalcJobNode, ending: Ending, finished: set[int]) -> None:
        """Remove the folders that nothing needs now that ``job`` has ended; that of a job that failed is left.

        A job that left rows in order is needed until a later one has written a state of its own, which it does when it
        has finished a row or was stopped in order: until then its folder holds a link to the state of the one before.
        """
        has_own_state = bool(finished) or ending is Ending.ON_ITS_WAY
        before = self.ctx.with_state if has_own_state else []
        own = [job.pk] if is_own_folder(job) else []
        if has_own_state:
            self.ctx.with_state = []
        if ending in (Ending.TIME, Ending.ON_ITS_WAY):
            self.ctx.with_state = self.ctx.with_state + own
        self._clean(before + (own if ending is Ending.FINISHED else []))

    def _clean(self, pks: list[int]) -> None:
        """Remove the folders of jobs, if that is wanted, and those that could not be removed before."""
        if not self.inputs.clean_workdir.value:
            return
        self.ctx.to_clean, reason = clean_folders(self.ctx.to_clean + pks)
        if reason:
            self.report(f"the folders of {len(self.ctx.to_clean)} jobs are not removed yet: {reason}")

    def _stop(self, exit_code: ExitCode, walk: Walk, **values: Any) -> ExitCode:
        walk.acquit()
        self._record(walk)
        count = walk.n_waiting + len(walk.starved)
        return exit_code.format(left=plural(count, "row"), launch=str(launch_of(self.node).pk), **values)

    def _record(self, walk: Walk) -> None:
        if not walk.given_up:
            return
        ids = self.inputs.rows.ids
        # below a key, since those at the top may hold no dots
        texts = {str(ids[row]): reason for row, reason in walk.given_up.items()}
        reasons = orm.Dict({"reasons": texts, "task": self.inputs.task.value})
        self.out("given_up", record_given_up(structures=self.inputs.structures, reasons=reasons))

    def _most_rows(self, walk: Walk) -> int | None:
        """Return how many rows make a job of the duration that is wanted; None if none is."""
        if "job_duration" not in self.inputs:
            return None
        sizes = self._sizes()[walk.waiting_rows]
        walltime = self.inputs.get("options", {}).get("max_wallclock_seconds")
        return rows_for(self.inputs.job_duration.value, sizes, self.ctx.get("pace"), walltime)

    def _sizes(self) -> Array:
        """Return the numbers of atoms of the lane's rows, in the order of the walk."""
        structures = fresh(self.inputs.structures)
        return structures.row_sizes()[places_of(structures.ids, self.inputs.rows.ids)]

    def _in_order_of_structures(self, rows: list[int]) -> Any:
        """Return the ids of the lane's ``rows``, in the order in which they stand in ``structures``."""
        ids = fresh(self.inputs.structures).ids
        return ids[np.isin(ids, self.inputs.rows.ids[rows])]

    def _finished(self, job: orm.CalcJobNode) -> set[int]:
        """Return the lane's rows that ``job`` has results of."""
        if "results" not in job.outputs:
            return set()
        found = fresh(job.outputs.results).ids
        return set(np.flatnonzero(np.isin(self.inputs.rows.ids, found)).tolist())


def _stopped_further(job: orm.CalcJobNode) -> bool:
    """Return whether ``job`` was stopped in order, after steps whose outcome is in its state."""
    summary = job.outputs.summary.get_dict() if "summary" in job.outputs else {}
    return summary.get("step") == "stopped" and summary.get("steps", 0) > 0


def _validate(inputs: Any, _: Any) -> str | None:
    return check_rows(inputs) or check_remote_folders(inputs)


LANE_TYPE = LaneWorkChain.build_process_type()
