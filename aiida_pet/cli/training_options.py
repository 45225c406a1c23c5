"""Options of a training as a launch tells them: those that are used, those without effect, outputs that are left."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import note
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    from aiida_pet.cli.launching import Request
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.training.parameters import Stage, TrainingParameters


def check_request_of_training(request: Request, mode: str) -> None:
    """:raises click.UsageError: for options of launches that a training does not have."""
    from aiida_pet.calculations.engine_settings import margin_of
    from aiida_pet.training.cost import START_S

    for flag, given in (
        ("--lanes", request.lanes != 1),
        ("--job-size", request.job_size is not None),
        ("--job-duration", request.job_duration is not None),
    ):
        if given:
            raise click.UsageError(f"{flag}: a training runs one job at a time, whose length --walltime sets")
    if request.model is not None and mode in ("scratch", "distill"):
        remedy = (
            "`aiida-pet launch finetune` goes on from a model"
            if mode == "scratch"
            else "--student names a model to begin from"
        )
        raise click.UsageError(f"--model: a new model does not begin from another model; {remedy}")
    if request.walltime is not None:
        usable = request.walltime - margin_of(request.walltime)
        if usable < START_S:
            raise click.UsageError(
                f"--walltime: a job takes {START_S:.0f} s or more to start, but a walltime of {request.walltime} s "
                f"leaves {usable:.0f} s beside its margin"
            )


def stages_of(
    parameters: TrainingParameters, mode: str, model: PetModelData | None, teacher: PetModelData | None
) -> list[Stage]:
    """Return the stages of a training.

    :param model: the model that it goes on from, if there is one.
    """
    from aiida_pet.training.parameters import Mode

    source = teacher or model
    calibrated = source is not None and "energy_uncertainty" in source.outputs
    if mode == Mode.DISTILL and model is not None:  # a student has its direct heads already
        parameters = parameters.model_copy(update={"epochs_direct": 0})
    return parameters.stages(Mode(mode), calibrated=calibrated)


def used_parameters(
    parameters: TrainingParameters, mode: str, stages: Collection[Stage], model: PetModelData | None
) -> dict[str, Any]:
    """Return the options that have an effect, with their values."""
    from aiida_pet.training.modes import unused
    from aiida_pet.training.parameters import Mode

    left_out = unused(parameters, Mode(mode), stages, begun=model is not None)
    return {name: value for name, value in parameters.model_dump(mode="json").items() if name not in left_out}


def check_fit(
    parameters: TrainingParameters,
    mode: str,
    given: Collection[str],
    model: PetModelData | None,
    teacher: PetModelData | None,
) -> None:
    """Check that options fit the mode and the model, and print what has no effect and which outputs are left.

    :param given: names of options that the user set.
    :raises click.ClickException: if they do not fit.
    """
    from aiida_pet.training.modes import check_mode, left_outputs, unused
    from aiida_pet.training.parameters import Mode, TrainingError

    outputs = None if model is None else model.outputs
    try:
        check_mode(parameters, Mode(mode), outputs)
    except TrainingError as error:
        raise click.ClickException(str(error)) from error
    stages = stages_of(parameters, mode, model, teacher)
    idle = sorted(unused(parameters, Mode(mode), stages, begun=model is not None) & set(given))
    if idle:
        told = {
            "scratch": "a training from scratch",
            "finetune": "a fine-tuning",
            "distill": "a distillation",
        }
        count = "has" if len(idle) == 1 else "have"
        note(
            f"Warning: {', '.join(idle)} {count} no effect in {told.get(mode, 'a calibration')} with these options"
        )
    if outputs is not None:
        for text in left_outputs(parameters, Mode(mode), outputs):
            note(text)


def check_teacher(parameters: TrainingParameters, teacher: PetModelData, structures: StructureSetData) -> int:
    """Return how many crystals ``teacher`` cannot label, and print why.

    :raises click.ClickException: if too few are left.
    """
    from aiida_pet.calculations.teacher import unknown_to, why_not_labelled

    problem = why_not_labelled(teacher, structures, parameters.min_rows)
    if problem:
        raise click.ClickException(problem)
    elements, count = unknown_to(teacher, structures)
    if count:
        note(
            f"{plural(count, 'row')} will not be used: the teacher {teacher.name} does not know {shortened(elements)}"
        )
    return count
