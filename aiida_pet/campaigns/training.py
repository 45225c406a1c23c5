"""How far a training is, stage by stage and live from the heartbeats of its jobs, and how it is taken up again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ProcessBuilder

from aiida_pet.calculations.train import TrainCalculation
from aiida_pet.campaigns.progress import Heartbeats, state_of
from aiida_pet.data.table import TableData
from aiida_pet.training.parameters import Mode, Stage, TrainingParameters, parse_training
from aiida_pet.workchains.jobs import called_as
from aiida_pet.workchains.taking_up import RESUMES
from aiida_pet.workchains.train import UNCERTAINTY, TrainWorkChain

_OF_COMPUTER = ("options", "settings")
_OF_ROWS = ("set", "part", "n_rows", "n_atoms")  # columns of errors that say of which rows they are
_OF_CALIBRATION = "z_"


@dataclass(frozen=True)
class TrainingJobProgress:
    """How far a job of a training is.

    :ivar pk: pk of the job.
    :ivar stage: direct, conservative or calibrate.
    :ivar state: state of the process, with its exit status if it ended.
    :ivar step: step of the job: loading, running, done, stopped, failed; empty before it started.
    :ivar epochs_done: epochs with a checkpoint, including the epochs of earlier jobs.
    :ivar epochs: number of epochs of the stage.
    :ivar epoch_s: seconds of an epoch; 0 while unknown.
    :ivar eta_s: seconds to the end of the stage, None while unknown.
    :ivar message: errors of the last epoch, or why it was left.
    :ivar updated: Unix time of the heartbeat, None without one.
    """

    pk: int
    stage: str
    state: str
    step: str = ""
    epochs_done: int = 0
    epochs: int = 0
    epoch_s: float = 0.0
    eta_s: float | None = None
    message: str = ""
    updated: float | None = None


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    :ivar pk: pk of the WorkChain, or of a single job.
    :ivar label: what kind of process it is.
    :ivar mode: scratch, finetune, distill or calibrate; empty of a single job.
    :ivar state: state of the process.
    :ivar finished: whether it ended, well or not.
    :ivar exit_status: None while it runs.
    :ivar message: why it did not end well; empty otherwise.
    :ivar labelling: pk of the launch by which a teacher labels the crystals, None if there is none.
    :ivar stages: the stages in order: ``name``, ``state``, ``epochs_done``, ``epochs``.
    :ivar jobs: one entry for each job, oldest first.
    :ivar model: pk of the model that was made, None while there is none.
    """

    pk: int
    label: str
    mode: str
    state: str
    finished: bool
    exit_status: int | None
    message: str
    labelling: int | None = None
    stages: list[dict[str, Any]] = field(default_factory=list)
    jobs: list[TrainingJobProgress] = field(default_factory=list)
    model: int | None = None

    @property
    def running(self) -> TrainingJobProgress | None:
        """The job that has not ended, None if there is none."""
        ended = ("finished", "excepted", "killed")
        return next((job for job in reversed(self.jobs) if not job.state.startswith(ended)), None)


def is_training(node: orm.Node) -> bool:
    """Return whether ``node`` is a training, or one of its jobs."""
    return isinstance(node, orm.ProcessNode) and node.process_label in (
        TrainWorkChain.__name__,
        TrainCalculation.__name__,
    )


def training_jobs(node: Any) -> list[Any]:
    """Return the jobs of the training ``node``, oldest first; it alone if it is one."""
    if node.process_label == TrainCalculation.__name__:
        return [node]
    links = node.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all()
    found = [link.node for link in links if link.node.process_label == TrainCalculation.__name__]
    return sorted(found, key=lambda job: (job.ctime, job.pk))


def training_progress(node: Any, heartbeats: Heartbeats | None = None) -> TrainingProgress:
    """Return how far the training ``node`` is.

    :param heartbeats: of one who looks again and again; None looks once.
    """
    jobs = training_jobs(node)
    beats = (heartbeats or Heartbeats()).read([job for job in jobs if not job.is_terminated])
    told = [_of_job(job, beats.get(job.pk)) for job in jobs]
    labelling = None if node in jobs else called_as(node, "label")
    return TrainingProgress(
        pk=node.pk,
        label=str(node.process_label),
        mode="" if node in jobs else node.inputs.mode.value,
        state=state_of(node),
        finished=node.is_terminated,
        exit_status=node.exit_status,
        message=node.exit_message or node.exception or "",
        labelling=None if labelling is None else labelling.pk,
        stages=_stages(node, told),
        jobs=told,
        model=node.outputs.model.pk if "model" in node.outputs else None,
    )


def _of_job(job: Any, beat: Any) -> TrainingJobProgress:
    stage = job.inputs.stage.value
    if job.is_terminated or beat is None:
        summary = job.outputs.summary.get_dict() if "summary" in job.outputs else {}
        step = "done" if job.is_finished_ok else "ended" if job.is_terminated else ""
        return TrainingJobProgress(
            pk=job.pk,
            stage=stage,
            state=state_of(job),
            step=step,
            epochs_done=summary.get("rows_done", 0),
            epochs=summary.get("rows_total", 0),
            epoch_s=summary.get("epoch_s", 0.0),
            message=summary.get("message", "") or job.exit_message or "",
        )
    return TrainingJobProgress(
        pk=job.pk,
        stage=stage,
        state=state_of(job),
        step=beat.step,
        epochs_done=beat.rows_done,
        epochs=beat.rows_total,
        epoch_s=1 / beat.rate if beat.rate else 0.0,
        eta_s=beat.eta_s,
        message=beat.message,
        updated=beat.updated,
    )


def _stages(node: Any, jobs: list[TrainingJobProgress]) -> list[dict[str, Any]]:
    """Return name, state and epochs of each stage; a job alone has the one that it does."""
    parameters = parse_training(node.inputs.parameters.get_dict())
    stages = [Stage(node.inputs.stage.value)] if "stage" in node.inputs else _stages_of(node, parameters)
    found = []
    for stage in stages:
        own = [job for job in jobs if job.stage == stage.value]
        found.append(
            {
                "name": stage.value,
                "state": (own[-1].step or "queued") if own else "to come",
                "epochs_done": max((job.epochs_done for job in own), default=0),
                "epochs": own[-1].epochs if own and own[-1].epochs else parameters.epochs_of(stage),
            }
        )
    return found


def _stages_of(node: Any, parameters: TrainingParameters) -> list[Stage]:
    sources = [node.inputs[name] for name in ("teacher", "model") if name in node.inputs]
    calibrated = bool(sources) and UNCERTAINTY in sources[0].outputs
    mode = Mode(node.inputs.mode.value)
    stages = parameters.stages(mode, calibrated=calibrated)
    return [
        stage
        for stage in stages
        if not (mode is Mode.DISTILL and stage is Stage.DIRECT and "model" in node.inputs)
    ]


def errors_of(node: Any) -> TableData | None:
    """Return the errors of the last stage of a training that changed weights, or of a calibration alone.

    After a calibration the table also has the columns that only a calibration computes (``z_scale``, ``z_std``), before
    the errors; then it is not stored. None if ``node`` is no training, or has no errors yet.
    """
    jobs = training_jobs(node) if is_training(node) else []
    found = [job for job in jobs if "errors" in job.outputs]
    if not found:
        return None
    trained = [job for job in found if job.inputs.stage.value != Stage.CALIBRATE.value]
    last: TableData = (trained or found)[-1].outputs.errors
    after = found[-1]
    is_calibrated = after.inputs.stage.value == Stage.CALIBRATE.value
    return _with_calibration(last, after.outputs.errors) if is_calibrated else last


def _with_calibration(errors: TableData, calibrated: TableData) -> TableData:
    """Return ``errors`` with the columns that only a calibration computes, of the rows with the same ids.

    They come before the columns of errors, since a table shows its first columns.
    """
    table, other = errors.to_table(), calibrated.to_table()
    names = [name for name in other.columns if name.startswith(_OF_CALIBRATION)]
    if not names:
        return errors
    places = {row_id: place for place, row_id in enumerate(other.ids.tolist())}
    own = [places.get(row_id) for row_id in table.ids.tolist()]
    of_rows = {name: values for name, values in table.columns.items() if name in _OF_ROWS}
    columns = of_rows | {
        name: np.array([np.nan if place is None else other.columns[name][place] for place in own])
        for name in names
    }
    return TableData.from_table(replace(table, columns=columns | table.columns))


def resume_training(node: Any, code: orm.AbstractCode | None = None) -> ProcessBuilder:
    """Return the builder of a training that goes on where ``node`` ended, from its newest checkpoint.

    :param code: code of the engine to go on with; None keeps the earlier code. On another computer the stage that was
        left begins again, and options and settings of jobs are left out.
    """
    builder: Any = TrainWorkChain.get_builder()
    inputs = dict(node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested())
    inputs |= node.get_metadata_inputs() or {}
    before = node.inputs.code.computer
    moved = code is not None and code.computer is not None and code.computer.uuid != before.uuid
    for name, value in inputs.items():
        if name not in ("metadata", RESUMES, *(_OF_COMPUTER if moved else ())):
            setattr(builder, name, value)
    if code is not None:
        builder.code = code
    builder.resumes = node.uuid
    return builder  # type: ignore[no-any-return]
