"""A training from its sets to its model: one job after the other, each stage going on until its epochs are done.

Stages follow each other as :meth:`~aiida_pet.training.parameters.TrainingParameters.stages` says, and each stage begins
with the model of the stage before. A job that ran out of walltime, was killed or broke down is followed by one that
goes on from its newest checkpoint. For ``distill`` the teacher labels the crystals by a static launch first.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ToContext, WorkChain, if_, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.teacher import take_labels
from aiida_pet.calculations.train import (
    SETS,
    TrainCalculation,
    check_sets,
    told_by,
)
from aiida_pet.calculations.train_codes import TRAIN_CODES, TrainFailure
from aiida_pet.computers.resources import job_options, lane_options
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.tasks import Task
from aiida_pet.training.levels import level_of
from aiida_pet.training.parameters import Mode, TrainingError, parse_training
from aiida_pet.words import plural
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.builder import SpeakingBuilder
from aiida_pet.workchains.cleaning import clean_folders, is_own_folder
from aiida_pet.workchains.groups import join_campaign, put_results_into_group
from aiida_pet.workchains.jobs import called_as, launch_of
from aiida_pet.workchains.protocols.train import (
    available_training_protocols,
    default_training_protocol,
    training_inputs,
)
from aiida_pet.workchains.stopping import is_stop_requested
from aiida_pet.workchains.taking_up import RESUMES, taken_up_code
from aiida_pet.workchains.train_ports import define_training

UNCERTAINTY = "energy_uncertainty"
_STATUS = {code.label: code.status for code in TRAIN_CODES}
# The next job would end the same way.
_FATAL = {131} | {
    _STATUS[failure]
    for failure in (
        TrainFailure.BAD_JOB,
        TrainFailure.BAD_MODEL,
        TrainFailure.BAD_DEVICE,
        TrainFailure.BAD_DATA,
        TrainFailure.SHORT_WALLTIME,
        TrainFailure.REPEATS,
        TrainFailure.OUT_OF_MEMORY,
    )
}


class TrainWorkChain(WorkChain):
    """Train, fine-tune, distil or calibrate a PET model."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_training(spec)
        spec.outline(
            cls.setup,
            if_(cls.should_label)(cls.label, cls.inspect_labels),
            while_(cls.has_stages)(cls.run_job, cls.inspect_job),
            cls.finish,
        )

    # -- the beginning ---------------------------------------------------------------------------------------------

    def setup(self) -> ExitCode | None:
        """Say which stages there are, and take over those that a launch before has done."""
        code: ExitCode | None = taken_up_code(self)
        if code is not None:
            return code
        join_campaign(self)
        mode = Mode(self.inputs.mode.value)
        parameters = parse_training(self.inputs.parameters.get_dict())
        begun_from = self.inputs.get("model", None)
        source = self.inputs.get("teacher", begun_from)
        calibrated = source is not None and UNCERTAINTY in source.outputs
        if mode is Mode.DISTILL and begun_from is not None:
            parameters = parameters.model_copy(update={"epochs_direct": 0})
        self.ctx.stages = [stage.value for stage in parameters.stages(mode, calibrated=calibrated)]
        self.ctx.model = begun_from
        self.ctx.job = None
        self.ctx.structures = self.inputs.structures
        self.ctx.labelled = None
        self.ctx.n_jobs = 0
        self.ctx.fruitless = 0
        self.ctx.epochs_done = 0
        self.ctx.done = {}
        self._take_over()
        return None

    def _take_over(self) -> None:
        """Take the stages that the launch that is resumed has done, and the last job of the one that it left."""
        uuid = self.inputs.get(RESUMES)
        jobs: list[Any] = []
        while uuid is not None:
            resumed: Any = orm.load_node(uuid)
            links = resumed.base.links.get_outgoing().all()
            if "labelled" in resumed.outputs and self.ctx.labelled is None:
                self.ctx.labelled = self.ctx.structures = resumed.outputs.labelled
            jobs = [link.node for link in links if _is_training(link.node)] + jobs
            uuid = (resumed.get_metadata_inputs() or {}).get(RESUMES)
        for job in sorted(jobs, key=lambda one: (one.ctime, one.pk)):
            if not self.ctx.stages or job.inputs.stage.value != self.ctx.stages[0]:
                continue
            if job.is_finished_ok:
                self._take_stage(job)
            elif "remote_folder" in job.outputs:
                self.ctx.job = job

    # -- the teacher -----------------------------------------------------------------------------------------------

    def should_label(self) -> bool:
        """Return whether a teacher has yet to label the crystals."""
        return self.inputs.mode.value == Mode.DISTILL.value and self.ctx.labelled is None

    def label(self) -> Any:
        """Let the teacher label the crystals."""
        started = called_as(self.node, "label")
        if started is not None:
            return ToContext(labels=started)
        builder: Any = BatchWorkChain.get_builder_from_protocol(
            self.inputs.code,
            self.inputs.teacher,
            self.inputs.structures,
            task=Task.STATIC,
            overrides={"parameters": {"symprecs": []}},
            options=dict(self.inputs.get("options", {})),
            settings=dict(self.inputs.get("settings", {})),
        )
        builder.metadata.call_link_label = "label"
        node = self.submit(builder)
        self.report(f"{self.inputs.teacher.name} labels {len(self.inputs.structures)} crystals: <{node.pk}>")
        return ToContext(labels=node)

    def inspect_labels(self) -> Any:
        """Take the labels."""
        labels = self.ctx.labels
        if "results" not in labels.outputs or not labels.is_finished_ok:
            reason = labels.exit_message or labels.exception or "it gave no reason"
            return self.exit_codes.ERROR_LABELS.format(pk=labels.pk, message=reason)
        labelled = take_labels(structures=self.inputs.structures, results=labels.outputs.results)
        self.ctx.labelled = self.ctx.structures = labelled
        self.out("labelled", labelled)
        try:
            prepared = check_sets(
                self._sets(), parse_training(self.inputs.parameters.get_dict()), self.ctx.model
            )
        except TrainingError as error:
            return self.exit_codes.ERROR_FATAL.format(pk=labels.pk, message=str(error))
        for why, count in prepared.refused.items():
            self.report(f"{plural(count, 'row')} will not be used: {why}")
        return None

    # -- jobs ------------------------------------------------------------------------------------------------------

    def has_stages(self) -> bool:
        """Return whether a stage is left, and nobody asked to stop."""
        self.ctx.stopped = bool(self.ctx.stages) and is_stop_requested(self.node)
        return bool(self.ctx.stages) and not self.ctx.stopped

    def run_job(self) -> Any:
        """Start a job of the first stage that is left."""
        stage = self.ctx.stages[0]
        label = f"job_{self.ctx.n_jobs:05d}"
        self.ctx.n_jobs += 1
        started = called_as(self.node, label)
        if started is not None:
            return ToContext(job=started)
        inputs: dict[str, Any] = self._sets() | {
            "code": self.inputs.code,
            "stage": orm.Str(stage),
            "parameters": self._parameters(),
            "settings": dict(self.inputs.get("settings", {})),
        }
        if self.ctx.model is not None:
            inputs["model"] = self.ctx.model
        before = self.ctx.job
        if before is not None and "remote_folder" in before.outputs:
            inputs["remote_state"] = before.outputs.remote_folder
        scheduler = self.inputs.code.computer.scheduler_type
        inputs["metadata"] = {
            "options": lane_options(dict(self.inputs.get("options", {})), scheduler, 0),
            "call_link_label": label,
            "label": f"{stage} stage of a training",
        }
        node = self.submit(TrainCalculation, **inputs)
        goes_on = "" if before is None else f", goes on with <{before.pk}>"
        self.report(f"job <{node.pk}>: {stage} stage{goes_on}")
        return ToContext(job=node)

    def inspect_job(self) -> ExitCode | None:
        """Go on to the next stage, or with the epochs that are left."""
        job = self.ctx.job
        if job.is_finished_ok:
            self._take_stage(job)
            return None
        message = job.exit_message or job.exception or "it gave no reason"
        if job.is_killed:
            return self.exit_codes.ERROR_JOB_KILLED.format(pk=job.pk, launch=launch_of(self.node).pk)  # type: ignore[no-any-return]
        if job.exit_status in _FATAL:
            return self.exit_codes.ERROR_FATAL.format(pk=job.pk, message=message)  # type: ignore[no-any-return]
        epochs = job.outputs.summary["rows_done"] if "summary" in job.outputs else 0
        self.ctx.fruitless = 0 if epochs > self.ctx.epochs_done else self.ctx.fruitless + 1
        self.ctx.epochs_done = max(epochs, self.ctx.epochs_done)
        self.report(f"job <{job.pk}> was left after {epochs} epochs: {message}")
        if self.ctx.fruitless >= self.inputs.max_failures.value:
            return self.exit_codes.ERROR_TOO_MANY_FAILURES.format(  # type: ignore[no-any-return]
                count=self.ctx.fruitless, pk=job.pk, message=message
            )
        return None

    def finish(self) -> ExitCode | None:
        """Return what the stages made."""
        if self.ctx.stopped:
            return self.exit_codes.ERROR_STOPPED.format(  # type: ignore[no-any-return]
                stages=" and ".join(self.ctx.stages), launch=launch_of(self.node).pk
            )
        if self.ctx.labelled is not None and "labelled" not in self.outputs:
            self.out("labelled", self.ctx.labelled)
        last = None
        for stage, pk in self.ctx.done.items():
            last = orm.load_node(pk)
            for name in ("learning_curve", "errors"):
                if name in last.outputs:
                    self.out(f"{name}.{stage}", last.outputs[name])
        if last is not None:
            for name in ("model", "rows", "summary"):
                if name in last.outputs:
                    self.out(name, last.outputs[name])
        return None

    def on_terminated(self) -> None:
        """Put what there is into the group of the campaign."""
        super().on_terminated()
        put_results_into_group(self.node)

    def _take_stage(self, job: Any) -> None:
        """Take note that ``job`` ended the first stage that is left."""
        stage = self.ctx.stages[0]
        self.ctx.stages = self.ctx.stages[1:]
        self.ctx.done = {**self.ctx.done, stage: job.pk}
        self.ctx.model = job.outputs.model
        self.ctx.job = None
        self.ctx.fruitless = self.ctx.epochs_done = 0
        if self.inputs.clean_workdir.value:
            links = self.node.base.links.get_outgoing().all()
            jobs: list[Any] = [link.node for link in links if _is_training(link.node)]
            pks = [one.pk for one in jobs if one.inputs.stage.value == stage and is_own_folder(one)]
            left, why = clean_folders(pks)
            if left:
                self.report(f"the folders of {left} are still there: {why}")

    def _sets(self) -> dict[str, Any]:
        """Return the sets of the inputs, the labelled one in place of that which was given."""
        found = {name: self.inputs[name] for name in SETS if name in self.inputs}
        return found | {"structures": self.ctx.structures}

    def _parameters(self) -> orm.Dict:
        """Return the options of jobs: those given, and what a student inherits of its teacher."""
        given = self.inputs.parameters.get_dict()
        teacher = self.inputs.get("teacher", None)
        inherited = {}
        if teacher is not None and self.ctx.model is None:
            level = level_of(told_by(teacher, "level_of_theory"), None)  # of the outputs that label
            inherited = {"level_of_theory": level or None, "licence": told_by(teacher, "licence") or None}
        if all(given.get(name) or value is None for name, value in inherited.items()):
            return self.inputs.parameters  # type: ignore[no-any-return]
        return orm.Dict({**inherited, **{name: value for name, value in given.items() if value is not None}})

    # -- builders --------------------------------------------------------------------------------------------------

    @classmethod
    def get_default_protocol(cls) -> str:
        """Return the name of the protocol that is taken if none is named."""
        return default_training_protocol()

    @classmethod
    def get_available_protocols(cls) -> dict[str, dict[str, str]]:
        """Return name -> ``{"description": ...}`` of each protocol."""
        return {name: {"description": text} for name, text in available_training_protocols().items()}

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structures: StructureSetData,
        *,
        mode: Mode | str = Mode.SCRATCH,
        model: PetModelData | None = None,
        teacher: PetModelData | None = None,
        validation: StructureSetData | None = None,
        test: StructureSetData | None = None,
        old: StructureSetData | None = None,
        protocol: str | None = None,
        overrides: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        resources: dict[str, Any] | None = None,
        clean_workdir: bool | None = None,
    ) -> ProcessBuilder:
        """Return a builder with the inputs of ``protocol``.

        :param structures: crystals with labels; of a distillation, crystals to label.
        :param protocol: fast, moderate or precise; None takes the default.
        :param overrides: parameters of the protocol to change, as ``{"parameters": {"epochs": 10}}``.
        :param options: ``metadata.options`` of each job.
        :param resources: what a job asks the queue for, ``{"gpus": 1, "walltime": "8h"}``.
        :raises ProtocolError: for an unknown protocol or override.
        :raises TrainingError: for parameters that are unknown or out of bounds.

        .. code-block:: python

            from aiida import orm
            from aiida.plugins import WorkflowFactory

            builder = WorkflowFactory("pet.train").get_builder_from_protocol(
                code=orm.load_code("pet-engine@localhost"),
                structures=orm.load_node(label="alloys with labels"),
                overrides={"parameters": {"epochs": 10}},
            )
        """
        inputs = training_inputs(Mode(mode), protocol, overrides)
        builder: Any = SpeakingBuilder(cls)
        builder.mode = orm.Str(Mode(mode).value)
        builder.code = code
        builder.structures = structures
        builder.parameters = orm.Dict(inputs.parameters)
        given = {"model": model, "teacher": teacher, "validation": validation, "test": test, "old": old}
        for name, value in given.items():
            if value is not None:
                setattr(builder, name, value)
        asked = {**inputs.resources, **(resources or {})}
        builder.options = job_options(code.computer, asked, {**inputs.options, **(options or {})})
        builder.settings = {**inputs.settings, **(settings or {})}
        if clean_workdir is not None:
            builder.clean_workdir = orm.Bool(clean_workdir)
        return builder  # type: ignore[no-any-return]


def _is_training(node: Any) -> bool:
    return isinstance(node, orm.CalcJobNode) and node.process_label == TrainCalculation.__name__
