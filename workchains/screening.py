"""The funnel: relax, look at symmetry, put on the hull, phonons, elastic constants; each for those that are left.

A row that fails a condition, or has no answer, stays in the final table with the stage at which it left and why. All
rows of the relaxation are phases on the hull, whether they go on or not. Jobs that were done before, by this campaign
before it was killed or by another, are taken from the cache.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ToContext, WorkChain, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.analysis.funnel import Funnel, run_funnel
from aiida_pet.calculations.screening import (
    bare,
    combine_relaxations,
    find_symmetry,
    rattle_structures,
    screening_table,
    stages_of,
)
from aiida_pet.data.filter import FilterError
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.engine.job import Task
from aiida_pet.workchains.batch import fill_options, fill_sharing, validate_batch
from aiida_pet.workchains.elastic import ElasticWorkChain
from aiida_pet.workchains.groups import put_results_into_group
from aiida_pet.workchains.hull import FREE_OPTIONS, HullWorkChain
from aiida_pet.workchains.inputs import TO_CHILDREN, define_job_inputs, define_sharing
from aiida_pet.workchains.jobs import called_as
from aiida_pet.workchains.phonons import PhononWorkChain
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.stages import (
    STAGES,
    TASKS,
    check_stages,
    default_screening_protocol,
    make_stages,
    screening_protocols,
)
from aiida_pet.workchains.stopping import is_stop_requested
from aiida_pet.workchains.taking_up import define_resumes, taken_up_code

WORKCHAINS = {"relax": RelaxWorkChain, "phonons": PhononWorkChain, "elastic": ElasticWorkChain}
# Steps of one stage: held to its symmetry, then free from a rattle.
FREE = "relax_free"


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
            help="Step -> results of jobs of a screening that this one takes up: their rows are not computed again.",
        )
        spec.inputs["reuse"].default = True  # type: ignore[union-attr]
        spec.input(
            "stages",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            help=f"Some of {', '.join(STAGES)}, each with its options: `parameters` of the task, `keep` (a condition "
            "on columns, such as 'e_above_hull <= 0.025 and n_elements < 3'), ...; see "
            "`aiida_pet.workchains.stages.make_stages`.",
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
            "results", valid_type=StructureSetData, required=False, help="One row for each of the input."
        )
        spec.output(
            "summary", valid_type=orm.Dict, required=False, help="What each stage let through, and its time."
        )
        spec.output_namespace(
            "stages", dynamic=True, valid_type=TableData, help="The table of each stage, whole."
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
            "`aiida-pet resume` of the screening goes on with them.",
        )
        spec.exit_code(
            410,
            "ERROR_STAGE_FAILED",
            message="Stage {stage} failed (process <{pk}>), so the later ones did not run: {message}",
        )

    # -- the plan ------------------------------------------------------------------------------------------------

    def setup(self) -> ExitCode | None:
        """Plan the steps, unless another launch does what this one resumes."""
        code: ExitCode | None = taken_up_code(self)
        if code is not None:
            return code
        self.ctx.stages = self.inputs.stages.get_dict()
        steps = [stage for stage in STAGES if stage in self.ctx.stages]
        if self.ctx.stages.get("relax", {}).get("mode") == "constrained_then_free":
            steps.insert(steps.index("relax") + 1, FREE)
        self.ctx.steps = steps
        self.ctx.place = 0
        self.ctx.tables = {}
        self.ctx.records = []
        self.ctx.geometry = self.inputs.structures
        self.ctx.passing = None  # ids of the rows that are still in; None for all
        self.ctx.complaint = None
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
        return more and (self.ctx.passing is None or len(self.ctx.passing) > 0)

    def run_step(self) -> Any:
        """Start the next step; symmetry needs no job and is looked at here."""
        step = self.ctx.steps[self.ctx.place]
        if step == "symmetry":
            symprec = orm.Float(self.ctx.stages[step].get("symprec", 0.01))
            self.ctx.table = find_symmetry(structures=self.ctx.geometry, symprec=symprec)
            return None
        if step == "hull":
            node = self._submit_hull()
        elif step == FREE:
            options = orm.Dict({name: self.ctx.stages["relax"][name] for name in ("rattle", "seed")})
            rattled = rattle_structures(structures=self.ctx.constrained, parameters=options)
            node = self._submit_task("relax", rattled, step, symmetry="none")
        elif step == "relax":
            symmetry = "none" if self.ctx.stages[step].get("mode", "free") == "free" else "constrained"
            node = self._submit_task(step, self.ctx.geometry, step, symmetry=symmetry)
        else:
            node = self._submit_task(step, self.ctx.geometry, step)
        rows = len(self.inputs.structures) if self.ctx.passing is None else len(self.ctx.passing)
        self.report(f"{step}: {rows} rows, process <{node.pk}>")
        return ToContext(child=node)

    def _submit_task(self, stage: str, structures: StructureSetData, label: str, **parameters: Any) -> Any:
        inputs: dict[str, Any] = {name: self.inputs[name] for name in TO_CHILDREN if name in self.inputs}
        inputs["structures"] = structures
        inputs["parameters"] = orm.Dict(self.ctx.stages[stage].get("parameters", {}) | parameters)
        if self.ctx.passing is not None:
            known = set(structures.ids.tolist())
            inputs["rows"] = TableData.from_ids(name for name in self.ctx.passing if name in known)
        inputs["metadata"] = {"call_link_label": label}
        done = self.inputs.get("done", {}).get(label)
        if done:
            inputs["done"] = dict(done)
        return called_as(self.node, label) or self.submit(WORKCHAINS[stage], **inputs)

    def _submit_hull(self) -> Any:
        inputs = dict(self.inputs.get("hull", {}))
        options = {name: value for name, value in self.ctx.stages["hull"].items() if name != "keep"}
        inputs |= {"structures": self.ctx.geometry, "parameters": orm.Dict(options)}
        if "reference_structures" in inputs and "relax" not in inputs:
            inputs["relax"] = {name: self.inputs[name] for name in TO_CHILDREN if name in self.inputs}
            inputs["relax"]["parameters"] = self._relax_parameters()
            if FREE in self.ctx.steps:
                options = self.ctx.stages["relax"]
                inputs["free"] = orm.Dict({name: options[name] for name in FREE_OPTIONS})
        metadata = {"call_link_label": "hull"}
        return called_as(self.node, "hull") or self.submit(HullWorkChain, metadata=metadata, **inputs)

    def _relax_parameters(self) -> orm.Dict:
        """Return the parameters with which the set is relaxed, for its references."""
        relax = self.ctx.stages.get("relax", {})
        symmetry = "none" if relax.get("mode", "free") == "free" else "constrained"
        return orm.Dict(relax.get("parameters", {}) | {"symmetry": symmetry})

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
        if step != "symmetry":
            child = self.ctx.child
            if "results" not in child.outputs:
                message = child.exit_message or child.exception or f"it ended as {child.process_state.value}"
                self.ctx.complaint = ("ERROR_STAGE_FAILED", step, child.pk, message)
                return None
            if not child.is_finished_ok:
                self.report(f"{step} <{child.pk}>: {child.exit_message}")
                self.ctx.left = (step, child.pk, child.exit_message or "")
            self.ctx.table = child.outputs.results
            record |= _cost_of(child)
        if step == "relax" and FREE in self.ctx.steps:
            self.ctx.constrained, self.ctx.cost = self.ctx.table, record
            return None
        if step == FREE:
            options = orm.Dict({"min_gain": self.ctx.stages["relax"]["min_gain"]})
            self.ctx.table = combine_relaxations(
                constrained=self.ctx.constrained, free=self.ctx.table, parameters=options
            )
            step = "relax"
            before = self.ctx.cost
            record |= {key: record[key] + before[key] for key in ("wall_s", "engine_s", "compute_s", "jobs")}
        return self._settle(step, record)

    def _settle(self, stage: str, record: dict[str, Any]) -> None:
        record |= {"name": stage, "keep": self.ctx.stages[stage].get("keep")}
        self.ctx.records = [*self.ctx.records, record]
        self.ctx.tables = self.ctx.tables | {stage: self.ctx.table}
        self.out(f"stages.{stage}", self.ctx.table)
        try:
            funnel = self._funnel()
        except FilterError as error:
            self.ctx.records[-1]["keep"] = None
            self.ctx.complaint = ("ERROR_CONDITION", stage, None, str(error))
            return
        if stage == "relax":
            self.ctx.geometry = self.ctx.table
        came, self.ctx.passing = len(funnel.verdicts[-1].ids), funnel.passing.tolist()
        self.report(f"{stage}: {len(self.ctx.passing)} of {came} rows go on")

    def _funnel(self) -> Funnel:
        structures = bare(self.inputs.structures)
        return run_funnel(structures, stages_of(self.ctx.records, self.ctx.tables))  # type: ignore[arg-type]

    def on_terminated(self) -> None:
        """Put what there is into the group of the campaign."""
        super().on_terminated()
        put_results_into_group(self.node)

    def finish(self) -> Any:
        """Make the final table, and say what did not go well."""
        if self.ctx.tables:
            planned = [stage for stage in STAGES if stage in self.ctx.stages]
            records = orm.Dict({"stages": self.ctx.records, "planned": planned})
            made = screening_table(structures=self.inputs.structures, stages=records, **self.ctx.tables)
            self.out("results", made["results"])
            self.out("summary", made["summary"])
        if self.ctx.complaint is not None:
            code, stage, pk, message = self.ctx.complaint
            return self.exit_codes[code].format(stage=stage, pk=pk, message=message)
        if "left" in self.ctx:
            stage, pk, message = self.ctx.left
            return self.exit_codes.ERROR_ROWS_LEFT.format(stage=stage, pk=pk, message=message)
        return None

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
        options: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
        lanes: int = 1,
        job_size: int | None = None,
        job_duration: int | None = None,
        clean_workdir: bool | None = None,
        reuse: bool = True,
    ) -> ProcessBuilder:
        """Return a builder with the stages of ``protocol``.

        :param stages: which of relax, symmetry, hull, phonons, elastic.
        :param protocol: fast, moderate (the default) or precise.
        :param overrides: stage -> options to change, as ``{"relax": {"parameters": {"fmax": 0.01}}, "hull": {"keep":
            "e_above_hull <= 0.025"}}``.
        :param references: phases that compete on the hull: finished sets, or tables made from files, by name.
        :param reference_structures: such phases that are relaxed first, as the set is.
        :param options: ``metadata.options`` of each job.
        :param settings: fields of :class:`~aiida_pet.engine.job.EngineSettings`.
        :param resources: what a job asks the queue for, fields of
            :class:`~aiida_pet.calculations.resources.Resources`.
        :param lanes: how many jobs may run at once.
        :param job_size: rows of a job at most; None for few large jobs.
        :param job_duration: seconds that a job should take: the first of a lane is small, the next have as many rows as
            its rate allows, ``job_size`` at most; None if that is of no matter.
        :param clean_workdir: remove the folder of a job once its results are stored; None keeps it.
        :param reuse: take jobs that were done before from the cache.
        :raises ProtocolError: for a stage, option or protocol that there is not, or a value that it cannot have.
        """
        builder = cls.get_builder()
        builder.code, builder.model, builder.structures = code, model, structures
        builder.stages = orm.Dict(make_stages(stages, protocol, overrides))
        builder.reuse = reuse
        fill_sharing(builder, lanes, job_size, job_duration, clean_workdir)
        competing: dict[str, Any] = {"references": references, "reference_structures": reference_structures}
        builder.hull = {name: value for name, value in competing.items() if value}
        fill_options(builder, resources, options)
        if settings:
            builder.settings = settings
        return builder


def validate_screening(inputs: Any, port: Any) -> str | None:
    """Return what is wrong with the inputs of a screening taken together."""
    stages, structures = inputs["stages"], inputs["structures"]
    chosen = stages.get_dict()
    problem = check_stages(chosen, structures.column_names)
    if problem:
        return problem
    if "hull" in chosen and "relax" not in chosen and "energy" not in structures.column_names:
        return "stage hull without stage relax needs a column `energy` (eV per cell) in `structures`, which has none"
    for stage in TASKS:
        if stage in chosen:
            parameters = orm.Dict(chosen[stage].get("parameters", {}))
            batch = {name: value for name, value in inputs.items() if name not in ("stages", "hull", "done")}
            problem = validate_batch(
                batch | {"task": orm.Str(Task(stage).value), "parameters": parameters}, port
            )
            if problem:
                return f"stage {stage}: {problem}"
    return None


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
