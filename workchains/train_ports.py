"""What a training is given, and how it may end: the ports of :class:`aiida_pet.workchains.train.TrainWorkChain`."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.teacher import why_not_labelled
from aiida_pet.calculations.train import check_sets, define_sets
from aiida_pet.calculations.validation import check_margin
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.training.modes import check_mode
from aiida_pet.training.parameters import Mode, TrainingError, parse_training
from aiida_pet.workchains.inputs import define_place, validate_positive
from aiida_pet.workchains.taking_up import define_resumes

_NEEDS = {Mode.FINETUNE: "model", Mode.CALIBRATE: "model", Mode.DISTILL: "teacher"}


def define_training(spec: WorkChainSpec) -> None:
    """Add inputs, outputs and exit codes to ``spec``."""
    spec.input(
        "mode",
        valid_type=orm.Str,
        serializer=orm.to_aiida_type,
        validator=_validate_mode,
        help=f"Purpose of the training: {', '.join(Mode)}.",
    )
    spec.input("code", valid_type=orm.AbstractCode, help="The code `pet-engine`.")
    define_sets(spec)
    spec.input(
        "model", valid_type=PetModelData, required=False, help="The initial model, or the model to calibrate."
    )
    spec.input(
        "teacher",
        valid_type=PetModelData,
        required=False,
        help="The model that labels `structures` in a distillation.",
    )
    define_place(spec)
    spec.input(
        "max_failures",
        valid_type=orm.Int,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Int(3),
        validator=validate_positive,
        help="The training stops after this number of successive jobs without a finished epoch.",
    )
    spec.input(
        "clean_workdir",
        valid_type=orm.Bool,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Bool(False),
        help="Remove the folders of the jobs of a stage, with their checkpoints, once the model of the stage is "
        "stored.",
    )
    define_resumes(spec)
    spec.inputs.validator = validate_training_inputs
    spec.output("model", valid_type=PetModelData, required=False, help="The model.")
    spec.output(
        "labelled",
        valid_type=StructureSetData,
        required=False,
        help="The crystals with the labels of the teacher.",
    )
    for name, what in (
        ("learning_curve", "losses and errors of each epoch"),
        ("errors", "errors on rows that were not used for training"),
    ):
        spec.output_namespace(
            name, dynamic=True, required=False, valid_type=TableData, help=f"By stage, {what}."
        )
    spec.output(
        "rows",
        valid_type=TableData,
        required=False,
        help="What each row was used for, or why it was not used.",
    )
    spec.output(
        "summary", valid_type=orm.Dict, required=False, help="Output of the last stage, see TrainCalculation."
    )
    _define_exit_codes(spec)


def _validate_mode(node: orm.Str | None, _: Any) -> str | None:
    if node is not None and node.value not in list(Mode):
        return f"unknown mode {node.value!r}: expected one of {', '.join(Mode)}"
    return None


def validate_training_inputs(inputs: Any, _: Any) -> str | None:
    """Return what is wrong with the inputs of a training taken together, before anything is started."""
    problem = check_margin(inputs.get("settings"), inputs.get("options"))
    if problem or "mode" not in inputs or inputs["mode"].value not in list(Mode):
        return problem
    mode = Mode(inputs["mode"].value)
    return _check_models(mode, inputs) or _check_data(mode, inputs)


def _check_models(mode: Mode, inputs: Any) -> str | None:
    needed = _NEEDS.get(mode)
    if needed is not None and needed not in inputs:
        return f"mode {mode.value} needs a {needed}"
    if mode is Mode.SCRATCH and "model" in inputs:
        return (
            "mode scratch makes a new model and has no initial model: use mode finetune, or leave `model` out"
        )
    if mode is not Mode.DISTILL and "teacher" in inputs:
        return f"mode {mode.value} has no teacher: use mode distill, or leave `teacher` out"
    return None


def _check_data(mode: Mode, inputs: Any) -> str | None:
    try:
        parameters = parse_training(inputs["parameters"].get_dict())
        model = inputs.get("model")
        check_mode(parameters, mode, None if model is None else model.outputs)
        if mode is Mode.DISTILL:  # its labels are not there yet
            return why_not_labelled(inputs["teacher"], inputs["structures"], parameters.min_rows)
        check_sets(inputs, parameters, model)
    except TrainingError as error:
        return str(error)
    return None


def _define_exit_codes(spec: WorkChainSpec) -> None:
    spec.exit_code(
        300, "ERROR_FATAL", message="Job <{pk}> cannot succeed as it is, so the training stops: {message}"
    )
    spec.exit_code(
        301,
        "ERROR_JOB_KILLED",
        message="Job <{pk}> was killed, so the training stops: `aiida-pet resume {launch}` goes on from its newest "
        "checkpoint.",
    )
    spec.exit_code(
        302,
        "ERROR_STOPPED",
        message="Stopped as asked before the end of stage {stages}: `aiida-pet resume {launch}` goes on from the "
        "newest checkpoint.",
    )
    spec.exit_code(
        303, "ERROR_LABELS", message="The teacher's launch <{pk}> did not label all crystals: {message}"
    )
    spec.exit_code(
        400,
        "ERROR_TOO_MANY_FAILURES",
        message="{count} successive jobs finished no epoch, so the training stops. The last job, <{pk}>: {message}",
    )
