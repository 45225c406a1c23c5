"""How any task runs over any number of crystals: shares, lanes, and one table at the end.

Rows are shared out over ``lanes`` by size (:mod:`aiida_pet.workchains.sharing`); each lane is a child that walks its
share in jobs of ``job_size`` rows (:mod:`aiida_pet.workchains.lane`). All lanes are started in one step and none waits
for another. The model is brought to the computer once (:mod:`aiida_pet.workchains.staging`).
"""

from __future__ import annotations

import math
import shlex
from typing import Any, ClassVar, Unpack

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ToContext, WorkChain, append_, if_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.functions import merge_tables
from aiida_pet.calculations.records import summarise_batch
from aiida_pet.calculations.staging import find_staged_model
from aiida_pet.calculations.validation import (
    check_margin,
    check_outputs,
    check_parameters,
    check_remote_folders,
    check_rows,
)
from aiida_pet.computers.resources import lane_options
from aiida_pet.data.merging import DONE, places_of
from aiida_pet.data.model import PetModelData
from aiida_pet.data.partial import fresh
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.tasks import Task
from aiida_pet.tables.table import Array
from aiida_pet.words import plural
from aiida_pet.workchains.builder import SpeakingBuilder
from aiida_pet.workchains.done import check_done, left_to_do
from aiida_pet.workchains.groups import join_campaign, put_results_into_group
from aiida_pet.workchains.inputs import define_done, define_job_inputs, define_sharing
from aiida_pet.workchains.jobs import called_as, job_record, jobs_of
from aiida_pet.workchains.lane import LaneWorkChain
from aiida_pet.workchains.launch import Launch, fill_launch, fill_protocol, read_launch
from aiida_pet.workchains.protocols import protocol_inputs
from aiida_pet.workchains.protocols.mixin import TaskProtocols
from aiida_pet.workchains.sharing import default_job_size, share_out
from aiida_pet.workchains.staging import StagingWorkChain
from aiida_pet.workchains.taking_up import define_resumes, taken_up_code

# All jobs' results are inputs of one merge, and AiiDA writes inputs into every checkpoint.
MAX_JOBS = 2000
# Of a job that is as long as `job_duration` says: what is lost with it, and what one parser reads.
MOST_ROWS = 50_000

_PASSED_ON = (
    "task",
    "code",
    "model",
    "structures",
    "parameters",
    "settings",
    "options",
    "max_failures",
    "reuse",
    "job_duration",
    "clean_workdir",
)


class BatchWorkChain(TaskProtocols, WorkChain):
    """One task over a set of crystals, in ``lanes`` that run at the same time.

    :cvar MERGED_AS: output that the results of all jobs become.
    """

    MERGED_AS: ClassVar[str] = "results"

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_job_inputs(spec)
        spec.input(
            "rows",
            valid_type=TableData,
            required=False,
            help="Ids of the crystals to compute. If not given, all crystals are computed.",
        )
        define_sharing(spec)
        define_done(spec)
        define_resumes(spec)
        spec.inputs.validator = validate_batch
        spec.outline(
            cls.setup,
            if_(cls.should_stage)(cls.stage, cls.inspect_stage),
            cls.launch_lanes,
            cls.merge,
            cls.finish,
        )
        spec.output(
            "results",
            valid_type=StructureSetData,
            required=False,
            help="All rows in the order of the input. Rows without a result have the status `left`.",
        )
        spec.output(
            "summary", valid_type=orm.Dict, required=False, help="Statuses, jobs, times, evaluations."
        )
        spec.exit_code(
            300,
            "ERROR_STAGING",
            message="The model could not be brought to computer `{computer}` (process <{pk}>). {message} `verdi "
            "computer test {computer}` checks the connection, `aiida-pet doctor` checks the folder; then launch again.",
        )
        spec.exit_code(301, "ERROR_NO_RESULTS", message="No row has a result. {message}")
        spec.exit_code(
            400,
            "ERROR_ROWS_LEFT",
            message="{left} of {total} rows have no result (status `left` in `results`). {message}",
        )

    @property
    def structures(self) -> StructureSetData:
        """The crystals; a subclass may make them in :meth:`take_structures`."""
        structures: StructureSetData = self.ctx.structures
        return structures

    def setup(self) -> ExitCode | None:
        """Take the crystals from the inputs, unless another launch does what this one resumes."""
        code: ExitCode | None = taken_up_code(self)
        if code is None:
            join_campaign(self)
            self.take_structures()
        return code

    def take_structures(self) -> None:
        """Take the crystals from the inputs."""
        self.ctx.structures = self.inputs.structures

    def should_stage(self) -> bool:
        """Return whether the model has yet to be brought to the computer."""
        self.ctx.lanes = []
        if not len(self._rows_to_do()[0]):
            return False
        if "remote_model" in self.inputs:
            self.ctx.remote_model = self.inputs.remote_model
            return False
        found = find_staged_model(self.inputs.model, self.inputs.code.computer)
        if found is not None:
            self.ctx.remote_model = found
        return found is None

    def stage(self) -> Any:
        """Bring the model to the computer."""
        computer = self.inputs.code.computer
        metadata = {"call_link_label": "stage"}
        node = self.submit(StagingWorkChain, model=self.inputs.model, computer=computer, metadata=metadata)
        self.report(f"bringing the model to {computer.label}: <{node.pk}>")
        return ToContext(staging=node)

    def inspect_stage(self) -> Any:
        """Take the folder that holds the model."""
        staging = self.ctx.staging
        if not staging.is_finished_ok:
            computer = shlex.quote(self.inputs.code.computer.label)
            message = staging.exit_message or staging.exception or "It gave no reason."
            return self.exit_codes.ERROR_STAGING.format(computer=computer, pk=staging.pk, message=message)
        self.ctx.remote_model = staging.outputs.remote_model
        return None

    def launch_lanes(self) -> None:
        """Share the rows that are not done out and start all lanes."""
        ids, sizes = self._rows_to_do()
        if not len(ids):
            return
        lanes = self.inputs.lanes.value
        scheduler = self.inputs.code.computer.scheduler_type
        if "job_size" in self.inputs:
            job_size = self.inputs.job_size
        elif "job_duration" in self.inputs:
            job_size = orm.Int(MOST_ROWS)
        else:
            job_size = orm.Int(default_job_size(len(ids), lanes))
        inputs = {name: self.inputs[name] for name in _PASSED_ON if name in self.inputs}
        inputs |= {"structures": self.structures, "remote_model": self.ctx.remote_model, "job_size": job_size}
        for number, share in enumerate(share_out(sizes, lanes)):
            label = f"lane_{number:03d}"
            node = called_as(self.node, label)
            if node is None:
                rows = TableData.from_ids(ids[share])
                inputs["options"] = lane_options(self.inputs.get("options", {}), scheduler, number)
                told = f"lane {number + 1} of {lanes}: {self.inputs.task.value} of {plural(len(share), 'crystal')}"
                metadata = {"call_link_label": label, "label": told}
                node = self.submit(LaneWorkChain, rows=rows, metadata=metadata, **inputs)
                self.report(f"lane <{node.pk}>: {len(share)} rows in jobs of {job_size.value}")
            self.to_context(lanes=append_(node))

    def merge(self) -> Any:
        """Bring all results together in the order of the input."""
        jobs = jobs_of(self.node)
        parts = {
            f"job_{i:05d}": job.outputs.results for i, job in enumerate(jobs) if "results" in job.outputs
        }
        done = {f"{DONE}{name}": table for name, table in self._done().items()}
        if not parts and not done:  # nothing shows that it is the rows that are to blame
            return self.exit_codes.ERROR_NO_RESULTS.format(message=self._complaints())
        for number, lane in enumerate(self.ctx.lanes):
            if "given_up" in lane.outputs:
                parts[f"given_up_{number:03d}"] = lane.outputs.given_up
        ids, _ = self._rows()
        computed = [table.ids for table in parts.values()]
        twice = sum(map(len, computed)) - len(np.unique(np.concatenate(computed))) if computed else 0
        if twice:
            self.report(f"warning: rows that were computed twice, by two jobs: {plural(twice, 'row')}")
        parts |= done
        first = next(iter(parts.values()))
        if len(parts) == 1 and np.array_equal(first.ids, ids):
            results = first  # one job did it all: there is nothing to merge, and no reason to store it twice
        else:
            rows = {"rows": self.inputs.rows} if "rows" in self.inputs else {}
            results = merge_tables(structures=self.structures, **rows, **parts)
        self.out(self.MERGED_AS, results)
        records = orm.Dict({"jobs": [job_record(job) for job in jobs]})
        self.out("summary", summarise_batch(results=results, jobs=records))
        return None

    def finish(self) -> Any:
        """Return whether every row has its status; rows that failed are data, rows that are left are not."""
        summary = self.outputs["summary"].get_dict()
        if summary["rows_left"]:
            return self.exit_codes.ERROR_ROWS_LEFT.format(
                left=summary["rows_left"], total=summary["rows"], message=self._complaints()
            )
        return None

    def on_terminated(self) -> None:
        """Put what there is into the group of the campaign."""
        super().on_terminated()
        put_results_into_group(self.node)

    def _rows(self) -> tuple[Array, Array]:
        """Return ids and numbers of atoms of all rows."""
        structures = fresh(self.structures)
        if "rows" not in self.inputs:
            return structures.ids, structures.row_sizes()
        ids = self.inputs.rows.ids
        return ids, structures.row_sizes()[places_of(structures.ids, ids)]

    def _done(self) -> dict[str, StructureSetData]:
        return dict(self.inputs.get("done", {}))

    def _rows_to_do(self) -> tuple[Array, Array]:
        """Return ids and numbers of atoms of the rows that have no result yet."""
        ids, sizes = self._rows()
        left = left_to_do(ids, self._done())
        return ids[left], sizes[left]

    def _complaints(self) -> str:
        """Return what the lanes that stopped early say, each thing once."""
        messages = [
            lane.exit_message or lane.exception or f"Lane <{lane.pk}> ended as {lane.process_state.value}."
            for lane in self.ctx.lanes
            if not lane.is_finished_ok
        ]
        if not messages:
            (*_, job) = jobs_of(self.node)
            messages = [
                f"The engine broke down on every row. The last job, <{job.pk}>, says: {job.exit_message}"
            ]
        return " ".join(dict.fromkeys(messages))

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        model: PetModelData,
        structures: StructureSetData,
        *,
        task: Task | str = Task.STATIC,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        rows: TableData | None = None,
        **launch: Unpack[Launch],
    ) -> ProcessBuilder:
        """Return a builder with the inputs of ``protocol``.

        :param protocol: fast, moderate or precise; None takes the task's default.
        :param overrides: inputs of the protocol to change, as ``{"parameters": {"fmax": 0.01}}``.
        :param rows: only these ids.
        :param launch: how it runs, see :class:`~aiida_pet.workchains.launch.Launch`.
        :raises ProtocolError: for an unknown protocol or override.
        :raises LaunchError: for an argument that there is not.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            builder = WorkflowFactory("pet.batch").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                model=orm.load_node(label="pet-oam-xl"),
                structures=orm.load_node(label="alloys"),
                task="static",
                lanes=2,
            )
        """
        inputs = protocol_inputs(Task(task), protocol, overrides)
        builder = SpeakingBuilder(cls)
        builder.task = orm.Str(Task(task).value)
        fill_protocol(builder, inputs, code=code, model=model, rows=rows)
        builder.structures = structures
        fill_launch(builder, read_launch(cls, launch), inputs)
        return builder


def validate_batch(inputs: Any, _: Any) -> str | None:
    """Return what is wrong with the inputs of a batch taken together."""
    task, parameters = inputs.get("task"), inputs.get("parameters")
    if task is not None and parameters is not None:
        problem = check_parameters(Task(task.value), parameters.get_dict())
        if problem:
            return problem
    code = inputs.get("code")
    if code is not None and code.computer is None:
        return f"code {code.label!r} belongs to no computer: give an InstalledCode of `pet-engine`"
    return (
        check_outputs(inputs)
        or check_rows(inputs)
        or check_remote_folders(inputs)
        or check_done(inputs)
        or check_margin(inputs.get("settings"), inputs.get("options"))
        or _check_number_of_jobs(inputs)
    )


def _check_number_of_jobs(inputs: Any) -> str | None:
    chosen = [inputs[name] for name in ("rows", "structures") if name in inputs]
    if not chosen or "job_size" not in inputs:
        return None
    n_rows, job_size = len(chosen[0]), inputs["job_size"].value
    jobs = math.ceil(n_rows / job_size)
    if jobs > MAX_JOBS:
        return (
            f"job_size = {job_size} cuts {n_rows} rows into {jobs} jobs, but at most {MAX_JOBS} jobs are allowed: use "
            f"a job_size of {math.ceil(n_rows / MAX_JOBS)} or more, or leave it out"
        )
    return None
