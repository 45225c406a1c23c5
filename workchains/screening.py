"""The funnel: relax, look at symmetry, put on the hull, phonons, elastic constants; each for those that are left.

A row that fails a condition, or has no answer, stays in the final table with the stage at which it left and why. All
rows of the relaxation are phases on the hull, whether they go on or not. Jobs that were done before, by this campaign
before it was killed or by another, are taken from the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ToContext, WorkChain, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec
from aiida.plugins import WorkflowFactory

from aiida_pet.calculations.hull import problem_ahead
from aiida_pet.calculations.screening import (
    VERDICT,
    combine_relaxations,
    judge_stage,
    rattle_structures,
    screening_table,
)
from aiida_pet.data.model import PetModelData
from aiida_pet.data.partial import fresh
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.stages import KEEP, STAGES, Stage, in_order, stage_entry, stage_names, task_of
from aiida_pet.job.tasks import BATCH, Task, entry_of
from aiida_pet.plugins import load
from aiida_pet.tables.fingerprints import named
from aiida_pet.workchains.batch import validate_batch
from aiida_pet.workchains.builder import SpeakingBuilder
from aiida_pet.workchains.done import check_crystals, check_science, still_valid
from aiida_pet.workchains.groups import join_campaign, put_results_into_group
from aiida_pet.workchains.hull import FREE_OPTIONS, HullWorkChain
from aiida_pet.workchains.inputs import TO_CHILDREN, define_job_inputs, define_sharing
from aiida_pet.workchains.jobs import called_as, launch_of
from aiida_pet.workchains.launch import Launch, fill_launch, read_launch
from aiida_pet.workchains.stages import (
    check_stages,
    columns_of_set,
    default_screening_protocol,
    known_columns,
    make_stages,
    names_of_input,
    screening_protocols,
)
from aiida_pet.workchains.stopping import is_stop_requested
from aiida_pet.workchains.taking_up import define_resumes, taken_up_code

# Steps of one stage: held to its symmetry, then free from a rattle.
FREE = "relax_free"
_MOST_CHARACTERS = 200  # of a reason that all rows share


class ScreeningWorkChain(WorkChain):
    """A set of crystals through a funnel of stages, to one table."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_job_inputs(spec)
        for name in ("task", "parameters"):
            spec.inputs.pop(name)
        define_sharing(spec)
        define_resumes(spec)
        spec.input_namespace(
            "done",
            dynamic=True,
            required=False,
            help="Step -> results of jobs of an earlier screening that this screening resumes. Their rows are not "
            "computed again.",
        )
        spec.inputs["reuse"].default = True  # type: ignore[union-attr]
        spec.input(
            "stages",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            help=f"The stages to run, each with its options (known are {', '.join(stage_names())}): `parameters` of "
            "the task, `keep` (a condition on columns, such as 'e_above_hull <= 0.025 and n_elements < 3'), ...; "
            "see `aiida_pet.workchains.stages.make_stages`.",
        )
        spec.expose_inputs(
            HullWorkChain,
            namespace="hull",
            include=("references", "reference_structures", "relax"),
            namespace_options={"required": False, "populate_defaults": False, "help": "Competing phases."},
        )
        spec.inputs["hull"].validator = None
        spec.inputs.validator = validate_screening
        spec.outline(
            cls.setup,
            while_(cls.has_steps)(cls.run_step, cls.inspect_step),
            cls.finish,
        )
        spec.output(
            "results", valid_type=StructureSetData, required=False, help="One row for each row of the input."
        )
        spec.output(
            "summary",
            valid_type=orm.Dict,
            required=False,
            help="For each stage, the number of rows that passed, and the time.",
        )
        spec.output_namespace(
            "stages", dynamic=True, valid_type=TableData, help="The complete table of each stage."
        )
        spec.exit_code(
            320,
            "ERROR_CONDITION",
            message="The condition of stage {stage} (`--keep`) cannot be applied: {message}",
        )
        spec.exit_code(
            400,
            "ERROR_ROWS_LEFT",
            message="Stage {stage} left rows without a result (status `left`), see <{pk}>: {message} "
            "`aiida-pet resume {launch}` goes on with them.",
        )
        spec.exit_code(
            410,
            "ERROR_STAGE_FAILED",
            message="Stage {stage} failed (process <{pk}>), so the later stages did not run: {message}",
        )

    # -- the plan ------------------------------------------------------------------------------------------------

    def setup(self) -> ExitCode | None:
        """Plan the steps, unless another launch does what this one resumes."""
        code: ExitCode | None = taken_up_code(self)
        if code is not None:
            return code
        join_campaign(self)
        self.ctx.stages = self.inputs.stages.get_dict()
        steps = in_order(self.ctx.stages)
        if self.ctx.stages.get("relax", {}).get("mode") == "constrained_then_free":
            steps.insert(steps.index("relax") + 1, FREE)
        self.ctx.steps = steps
        self.ctx.place = 0
        self.ctx.tables = {}
        self.ctx.verdicts = {}  # stage -> the verdict on it, made once
        self.ctx.records = []
        self.ctx.geometry = self.inputs.structures
        self.ctx.verdict = None  # the last one; None as long as all rows are in
        self.ctx.n_passing = len(self.inputs.structures)
        self.ctx.complaint = None
        # settled before anything runs, and kept: a later version may know of other columns
        self.ctx.names = names_of_input(self.ctx.stages, self.inputs.structures.column_names)
        return None

    def has_steps(self) -> bool:
        """Return whether there is a step left and a row to take it."""
        more = self.ctx.place < len(self.ctx.steps) and self.ctx.complaint is None
        if more and is_stop_requested(self.node):
            self.ctx.left = (
                self.ctx.steps[self.ctx.place],
                self.node.pk,
                "Stopped as asked, before it began.",
            )
            return False
        return more and self.ctx.n_passing > 0

    def run_step(self) -> Any:
        """Start the next step; a stage without jobs is done here."""
        step = self.ctx.steps[self.ctx.place]
        function = _function_of(step)
        if function:
            options = {**stage_entry(step).options, **self.ctx.stages[step]}
            options.pop(KEEP, None)
            self.ctx.table = load(function)(self.ctx.geometry, options)
            return None
        if step == Stage.HULL:
            node = self._submit_hull()
        elif step == FREE:
            relax = self.ctx.stages["relax"]
            parameters = orm.Dict({"rattle": relax["rattle"], "seed": relax["seed"], "cell": self._cell()})
            rattled = rattle_structures(structures=self.ctx.constrained, parameters=parameters)
            node = self._submit_task("relax", rattled, step)
        else:
            node = self._submit_task(step, self.ctx.geometry, step)
        self.report(f"{step}: {self.ctx.n_passing} rows, process <{node.pk}>")
        return ToContext(child=node)

    def _submit_task(self, stage: str, structures: StructureSetData, label: str) -> Any:
        inputs: dict[str, Any] = {name: self.inputs[name] for name in TO_CHILDREN if name in self.inputs}
        inputs["structures"] = structures
        inputs["parameters"] = orm.Dict(parameters_of(label, self.ctx.stages))
        if self.ctx.verdict is not None:
            verdict = fresh(self.ctx.verdict)
            inputs["rows"] = TableData.from_ids(verdict.ids[verdict.column("passes")])
        inputs["metadata"] = {"call_link_label": label}
        before = called_as(self.node, label)
        if before is not None:
            return before
        task = Task(stage_entry(stage).task)
        done = self._done_of(label, task, structures, inputs.get("rows"))
        if done:
            inputs["done"] = done
        workflow = entry_of(task).workflow
        if workflow == BATCH:
            inputs["task"] = orm.Str(task.value)
        workchain: Any = WorkflowFactory(workflow)
        return self.submit(workchain, **inputs)

    def _done_of(
        self, step: str, task: Task, structures: StructureSetData, rows: TableData | None
    ) -> dict[str, StructureSetData]:
        """Return the results of before that are of the crystals that ``step`` is given now."""
        ids = fresh(structures if rows is None else rows).ids
        done, others = still_valid(dict(self.inputs.get("done", {}).get(step, {})), task, structures, ids)
        if others:
            self.report(
                f"{step}: {len(others)} rows are computed again, since their crystals have changed: {named(others)}"
            )
        return done

    def _submit_hull(self) -> Any:
        inputs = dict(self.inputs.get("hull", {}))
        options = {name: value for name, value in self.ctx.stages["hull"].items() if name != "keep"}
        inputs |= {"structures": self.ctx.geometry, "parameters": orm.Dict(options)}
        if "reference_structures" in inputs and "relax" not in inputs:
            inputs["relax"] = {name: self.inputs[name] for name in TO_CHILDREN if name in self.inputs}
            inputs["relax"]["parameters"] = orm.Dict(parameters_of("relax", self.ctx.stages))
            if FREE in self.ctx.steps:
                options = self.ctx.stages["relax"]
                chosen = {name: options[name] for name in FREE_OPTIONS}
                inputs["free"] = orm.Dict(chosen | {"cell": self._cell()})
        metadata = {"call_link_label": "hull"}
        return called_as(self.node, "hull") or self.submit(HullWorkChain, metadata=metadata, **inputs)

    # -- what came of it -----------------------------------------------------------------------------------------

    def inspect_step(self) -> Any:
        """Take the table of the step, and judge the rows once the stage is complete."""
        step = self.ctx.steps[self.ctx.place]
        self.ctx.place += 1
        record = {
            "name": step,
            "keep": None,
            "wall_s": 0.0,
            "engine_s": 0.0,
            "compute_s": 0.0,
            "jobs": 0,
            "pk": None,
        }
        if not _function_of(step):
            child = self.ctx.child
            if "results" not in child.outputs:
                message = child.exit_message or child.exception or f"it ended as {child.process_state.value}"
                if is_stop_requested(self.node):  # before its first job: nothing failed
                    self.ctx.left = (step, child.pk, message)
                    self.ctx.place = len(self.ctx.steps)
                    return None
                self.ctx.complaint = ("ERROR_STAGE_FAILED", step, child.pk, message)
                return None
            if not child.is_finished_ok:
                self.report(f"{step} <{child.pk}>: {child.exit_message}")
                self.ctx.left = (step, child.pk, child.exit_message or "")
            self.ctx.table = child.outputs.results
            record |= _cost_of(child)
        if step == "relax" and FREE in self.ctx.steps:
            self.ctx.constrained, self.ctx.cost = self.ctx.table, record
            if (fresh(self.ctx.table).column("status") == RowStatus.CONVERGED.value).any():
                return None
            self.report(f"{FREE}: no row converged, so there is nothing to relax freely")
            self.ctx.place += 1
            self.ctx.table = combine_relaxations(
                constrained=self.ctx.constrained, parameters=self._min_gain()
            )
        if step == FREE:
            self.ctx.table = combine_relaxations(
                constrained=self.ctx.constrained, free=self.ctx.table, parameters=self._min_gain()
            )
            step = "relax"
            before = self.ctx.cost
            record |= {key: record[key] + before[key] for key in ("wall_s", "engine_s", "compute_s", "jobs")}
        return self._settle(step, record)

    def _cell(self) -> str:
        """Return what of the cell is relaxed."""
        parameters = parse_parameters(Task.RELAX, parameters_of(FREE, self.ctx.stages))
        return str(parameters.model_dump(mode="json")["cell"])

    def _min_gain(self) -> orm.Dict:
        return orm.Dict({"min_gain": self.ctx.stages["relax"]["min_gain"]})

    def _settle(self, stage: str, record: dict[str, Any]) -> None:
        """Judge the rows that came to ``stage``, and store the verdict."""
        record |= {"name": stage, "keep": self.ctx.stages[stage].get("keep")}
        self.ctx.records = [*self.ctx.records, record]
        self.ctx.tables = self.ctx.tables | {stage: self.ctx.table}
        self.out(f"stages.{stage}", self.ctx.table)
        ran = [one["name"] for one in self.ctx.records]
        known = [name for one in ran for name in known_columns(one, self.ctx.stages[one])]
        plan = orm.Dict({"names": self.ctx.names, "stages": ran, "keep": record["keep"], "known": known})
        tables = self.ctx.tables | ({} if self.ctx.verdict is None else {"before": self.ctx.verdict})
        made = judge_stage(structures=self.inputs.structures, plan=plan, **tables)
        self.ctx.verdict = made["verdict"]
        self.ctx.verdicts = self.ctx.verdicts | {f"{VERDICT}{stage}": self.ctx.verdict}
        if "problem" in made:
            self.ctx.complaint = ("ERROR_CONDITION", stage, None, made["problem"].value)
        if stage_entry(stage).moves:
            self.ctx.geometry = self.ctx.table
        self.ctx.n_passing = int(fresh(self.ctx.verdict).column("passes").sum())
        self.report(f"{stage}: {self.ctx.n_passing} of {len(self.ctx.verdict)} rows go on")

    def on_terminated(self) -> None:
        """Put what there is into the group of the campaign."""
        super().on_terminated()
        put_results_into_group(self.node)

    def finish(self) -> Any:
        """Make the final table, and say what did not go well."""
        planned = in_order(self.ctx.stages)
        plan = {"stages": self.ctx.records, "planned": planned, "names": self.ctx.names, "why": self._why()}
        tables = self.ctx.tables | self.ctx.verdicts
        made = screening_table(structures=self.inputs.structures, stages=orm.Dict(plan), **tables)
        self.out("results", made["results"])
        self.out("summary", made["summary"])
        if self.ctx.complaint is not None:
            code, stage, pk, message = self.ctx.complaint
            return self.exit_codes[code].format(stage=stage, pk=pk, message=message)
        if "left" in self.ctx:
            stage, pk, message = self.ctx.left
            return self.exit_codes.ERROR_ROWS_LEFT.format(
                stage=stage, pk=pk, message=message, launch=launch_of(self.node).pk
            )
        return None

    def _why(self) -> str:
        """Return why later stages did not run, empty if they did."""
        if self.ctx.complaint is not None:
            _, stage, pk, message = self.ctx.complaint
            return f"stage {stage} failed{f' (process <{pk}>)' if pk else ''}: {message}"[:_MOST_CHARACTERS]
        return f"stopped at stage {self.ctx.left[0]}" if "left" in self.ctx else ""

    @classmethod
    def get_default_protocol(cls) -> str:
        """Return the name of the protocol that is taken if none is named."""
        return default_screening_protocol()

    @classmethod
    def get_available_protocols(cls) -> dict[str, dict[str, str]]:
        """Return name -> ``{"description": ...}`` of each protocol; ``balanced`` and ``stringent`` are other names."""
        return {name: {"description": text} for name, text in screening_protocols().items()}

    @classmethod
    def get_protocol_inputs(
        cls, protocol: str | None = None, overrides: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the stages that ``protocol`` sets, with ``overrides`` over them: ``{"stages": {...}}``.

        :param overrides: stage -> options to change.
        :raises ProtocolError: for an unknown protocol, stage or option.
        """
        return {"stages": make_stages(protocol=protocol, overrides=overrides)}

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        model: PetModelData,
        structures: StructureSetData,
        *,
        stages: tuple[str, ...] = STAGES,
        protocol: str | None = None,
        overrides: dict[str, dict[str, Any]] | None = None,
        references: dict[str, TableData] | None = None,
        reference_structures: StructureSetData | None = None,
        reuse: bool = True,
        **launch: Unpack[Launch],
    ) -> ProcessBuilder:
        """Return a builder with the stages of ``protocol``.

        :param stages: names of the stages, in any order; the stages of this package if none are named.
        :param protocol: fast, moderate (the default) or precise.
        :param overrides: stage -> options to change, as ``{"relax": {"parameters": {"fmax": 0.01}}, "hull": {"keep":
            "e_above_hull <= 0.025"}}``.
        :param references: phases that compete on the hull: finished sets, or tables made from files, by name.
        :param reference_structures: such phases that are relaxed first, as the set is.
        :param reuse: take jobs that were done before from the cache.
        :param launch: how it runs, see :class:`~aiida_pet.workchains.launch.Launch`.
        :raises ProtocolError: for a stage, option or protocol that there is not, or a value that it cannot have.
        :raises LaunchError: for an argument that there is not.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            builder = WorkflowFactory("pet.screen").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                model=orm.load_node(label="pet-oam-xl"),
                structures=orm.load_node(label="alloys"),
                stages=("relax", "hull", "elastic"),
                overrides={"hull": {"keep": "e_above_hull <= 0.025"}},
                resources={"gpus": 1, "walltime": "4h"},
            )
        """
        builder = SpeakingBuilder(cls)
        builder.code, builder.model, builder.structures = code, model, structures
        builder.stages = orm.Dict(make_stages(stages, protocol, overrides))
        builder.reuse = reuse
        competing: dict[str, Any] = {"references": references, "reference_structures": reference_structures}
        builder.hull = {name: value for name, value in competing.items() if value}
        fill_launch(builder, read_launch(cls, launch))
        return builder


def why_no_hull_stage(
    stages: Mapping[str, Any],
    structures: StructureSetData,
    model: PetModelData,
    references: Mapping[str, TableData],
) -> str | None:
    """Return why the stage hull would be refused once the crystals are relaxed, None if nothing speaks against it.

    :param stages: name of a stage -> its options.
    :param model: by which crystals are relaxed.
    :param references: those that are finished.
    """
    if not {"relax", "hull"} <= set(stages):
        return None
    pressure = stages["relax"].get("parameters", {}).get("pressure", 0.0)
    options = {name: value for name, value in stages["hull"].items() if name != "keep"}
    problem = problem_ahead(structures, model, pressure, references, options)
    return f"stage hull would be refused: {problem}" if problem else None


def validate_screening(inputs: Any, port: Any) -> str | None:
    """Return what is wrong with the inputs of a screening taken together."""
    stages, structures = inputs["stages"], inputs["structures"]
    chosen = stages.get_dict()
    problem = check_stages(chosen, columns_of_set(structures), structures.column)
    if problem:
        return problem
    if "hull" in chosen and "relax" not in chosen and "energy" not in structures.column_names:
        return "stage hull without stage relax needs a column `energy` (eV per cell) in `structures`, which has none"
    problem = why_no_hull_stage(
        chosen, structures, inputs["model"], inputs.get("hull", {}).get("references", {})
    )
    if problem:
        return problem
    for stage in chosen:
        task = task_of(stage)
        if task is not None:
            parameters = orm.Dict(chosen[stage].get("parameters", {}))
            batch = {name: value for name, value in inputs.items() if name not in ("stages", "hull", "done")}
            problem = validate_batch(batch | {"task": orm.Str(task.value), "parameters": parameters}, port)
            if problem:
                return f"stage {stage}: {problem}"
    return check_taken_over(inputs)


def check_taken_over(inputs: Any) -> str | None:
    """Return which results of before are of other science, or of other crystals of the input, None if none are.

    Steps behind a relaxation find out for themselves which of their crystals are still the same.
    """
    chosen, structures = inputs["stages"].get_dict(), inputs["structures"]
    for step, tables in (inputs.get("done") or {}).items():
        stage = "relax" if step == FREE else step
        if stage not in chosen:
            continue
        task, parameters = Task(stage_entry(stage).task), parameters_of(step, chosen)
        problem = check_science(tables, task, inputs["model"].sha256, parameters)
        if problem is None and step != FREE and (stage == "relax" or "relax" not in chosen):
            problem = check_crystals(tables, task, structures, fresh(structures).ids)
        if problem:
            return f"done.{step}.{problem}"
    return None


def parameters_of(step: str, stages: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of the jobs of ``step``, whose symmetry is for the mode of a relaxation to say."""
    stage = "relax" if step == FREE else step
    parameters: dict[str, Any] = dict(stages.get(stage, {}).get("parameters", {}))
    if stage == "relax":
        free = step == FREE or stages.get(stage, {}).get("mode", "free") == "free"
        parameters["symmetry"] = "none" if free else "constrained"
    return parameters


def _function_of(step: str) -> str:
    """Return where the function of ``step`` is, empty for one that runs a process."""
    return "" if step == FREE else stage_entry(step).function


def _cost_of(child: Any) -> dict[str, Any]:
    """Return the times in seconds and the jobs of a stage's process."""
    summary = child.outputs.summary.get_dict() if "summary" in child.outputs else {}
    cost: dict[str, Any] = {
        "pk": child.pk,
        "wall_s": (child.mtime - child.ctime).total_seconds(),
        "jobs": summary.get("n_jobs", 0),
        "jobs_cached": summary.get("n_jobs_cached", 0),
    }
    return cost | {key: summary.get(key, 0.0) for key in ("engine_s", "compute_s")}
