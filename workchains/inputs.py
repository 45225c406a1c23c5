"""The ports that lanes and batches share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

from aiida_pet.calculations.engine_settings import define_settings
from aiida_pet.calculations.static import StaticCalculation
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import MODEL_FILE
from aiida_pet.job.tasks import task_names
from aiida_pet.words import did_you_mean

# One culprit makes three fruitless jobs in a row (see `walk`), so that ten mean a machine or a set-up that fails.
DEFAULT_MAX_FAILURES = 10


#: What a WorkChain gives to the batches that it starts, beside crystals and parameters.
TO_CHILDREN = (
    "code",
    "model",
    "settings",
    "options",
    "asked",
    "max_failures",
    "remote_model",
    "lanes",
    "job_size",
    "job_duration",
    "reuse",
    "clean_workdir",
)


def define_job_inputs(spec: ProcessSpec) -> None:
    """Add to ``spec`` what every job of a batch is given."""
    spec.input(
        "task",
        valid_type=orm.Str,
        serializer=orm.to_aiida_type,
        validator=validate_task,
        help=f"What to do with each crystal: {', '.join(task_names())}.",
    )
    spec.input("code", valid_type=orm.AbstractCode, help="The code `pet-engine`.")
    spec.input("model", valid_type=PetModelData, help="The PET model.")
    spec.input("structures", valid_type=StructureSetData, help="The crystals.")
    spec.input(
        "parameters",
        valid_type=orm.Dict,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Dict({}),
        help="Parameters of the task, see `aiida_pet.job.parameters`; unknown keys are refused.",
    )
    spec.input(
        "remote_model",
        valid_type=orm.RemoteData,
        required=False,
        help=f"Folder with the model as {MODEL_FILE}, on the computer of the code. If not given, the model is "
        "uploaded.",
    )
    define_place(spec)
    spec.input(
        "reuse",
        valid_type=bool,
        default=False,
        is_metadata=True,
        help="Use AiiDA's cache for jobs that were done before with the same inputs, even if caching is off in the "
        "profile.",
    )
    spec.input(
        "clean_workdir",
        valid_type=orm.Bool,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Bool(False),
        help="Remove the folder of a job from the computer once its results are stored and no later job needs its "
        "state. Folders of failed jobs and of jobs from the cache are kept.",
    )
    spec.input(
        "max_failures",
        valid_type=orm.Int,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Int(DEFAULT_MAX_FAILURES),
        validator=validate_positive,
        help="A lane stops after this number of successive jobs without a finished row.",
    )


def define_place(spec: ProcessSpec) -> None:
    """Add to ``spec`` how the engine works and what each job asks the scheduler for."""
    define_settings(spec)
    spec.input(
        "options",
        valid_type=dict,
        required=False,
        is_metadata=True,
        validator=validate_options,
        help="`metadata.options` of each job: resources, max_wallclock_seconds, queue_name, account, "
        "custom_scheduler_commands, ...",
    )


def define_sharing(spec: ProcessSpec) -> None:
    """Add to ``spec`` how rows are shared out over jobs, and whether earlier jobs count."""
    spec.input(
        "lanes",
        valid_type=orm.Int,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Int(1),
        validator=validate_positive,
        help="Number of jobs that may run at once.",
    )
    spec.input(
        "job_size",
        valid_type=orm.Int,
        serializer=orm.to_aiida_type,
        required=False,
        validator=validate_positive,
        help="Largest number of rows in a job. If not given, there are few large jobs.",
    )
    spec.input(
        "asked",
        valid_type=dict,
        required=False,
        is_metadata=True,
        help="The `resources` and `options` as the user wrote them, before they became the input `options`. So a "
        "resumed campaign can change some of them and keep the others.",
    )
    define_job_duration(spec)


def define_job_duration(spec: ProcessSpec) -> None:
    """Add to ``spec`` how long a job should take."""
    spec.input(
        "job_duration",
        valid_type=orm.Int,
        serializer=orm.to_aiida_type,
        required=False,
        validator=validate_positive,
        help="Target duration of a job in seconds. The first job of a lane is small. Its speed and the walltime then "
        "set the number of rows of the next jobs, which is at most `job_size`.",
    )


def define_done(spec: ProcessSpec) -> None:
    """Add to ``spec`` the results of jobs of a campaign that this one takes up."""
    spec.input_namespace(
        "done",
        dynamic=True,
        required=False,
        valid_type=StructureSetData,
        help="Results of jobs of the same task, model and parameters: their rows are not computed again.",
    )


def validate_task(node: orm.Str | None, _: Any) -> str | None:
    """Return that the task is unknown."""
    if node is not None and node.value not in task_names():
        return f"unknown task {node.value!r}: expected one of {', '.join(task_names())}"
    return None


def validate_positive(node: orm.Int | None, port: Any) -> str | None:
    """Return that the number is not positive."""
    if node is not None and node.value < 1:
        return f"{port.name} = {node.value}: expected a whole number >= 1"
    return None


def validate_options(options: Mapping[str, Any] | None, _: Any) -> str | None:
    """Return which ``options`` jobs do not know, or what is wrong with their values."""
    if options is None:
        return None
    ports: Any = StaticCalculation.spec_options
    unknown = sorted(set(options) - set(ports))
    if unknown:
        names = ", ".join(f"{name}{did_you_mean(name, ports)}" for name in unknown)
        return f"unknown options: {names}; known are {', '.join(sorted(ports))}"
    errors = [ports[name].validate(value, ("options",)) for name, value in options.items()]
    return "; ".join(str(error) for error in errors if error) or None
