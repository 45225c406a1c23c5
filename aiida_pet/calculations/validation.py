"""Validators of the ports that jobs and WorkChains share; each returns what is wrong and its remedy, or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiida import orm
from aiida.engine.processes.calcjobs.calcjob import validate_calc_job
from aiida.engine.processes.ports import PortNamespace

from aiida_pet.data.partial import fresh
from aiida_pet.job.folder import EngineSettings
from aiida_pet.job.model_outputs import why_no_answer
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.schemas import check_as

Validator = Callable[[Any, Any], str | None]


def make_parameters_validator(task: Task) -> Validator:
    """Return the validator of ``parameters`` of ``task``."""

    def validate_parameters(node: orm.Dict | None, _: Any) -> str | None:
        return None if node is None else check_parameters(task, node.get_dict())

    return validate_parameters


def check_parameters(task: Task, parameters: dict[str, Any]) -> str | None:
    """Return which keys of ``parameters`` are unknown or out of bounds, with value and unit; None if none is."""
    try:
        parse_parameters(task, parameters)
    except ParameterError as error:
        return str(error)
    return None


def validate_settings(settings: Mapping[str, Any] | None, _: Any) -> str | None:
    """Return which keys of ``settings`` are no fields of ``EngineSettings``, or have values that these cannot have."""
    return None if settings is None else check_as(EngineSettings, settings, "settings.")


def check_outputs(inputs: Mapping[str, Any]) -> str | None:
    """Return which output ``parameters`` need that ``model`` lacks."""
    model, parameters = inputs.get("model"), inputs.get("parameters")
    if model is None or parameters is None:
        return None
    return why_no_answer(parameters.get_dict(), model.outputs)


def check_rows(inputs: Mapping[str, Any]) -> str | None:
    """Return which ids of ``rows`` are not in ``structures``, or that there are none."""
    structures, rows = inputs.get("structures"), inputs.get("rows")
    if structures is None or rows is None:
        return None
    wanted = rows.ids.tolist()
    if not wanted:
        return "rows holds no ids: leave rows out to take all structures"
    missing = sorted(set(wanted) - set(fresh(structures).ids.tolist()))
    if missing:
        shown = ", ".join(map(repr, missing[:10])) + (" ..." if len(missing) > 10 else "")
        return f"{len(missing)} of {len(wanted)} ids in rows are not in structures ({structures}): {shown}"
    return None


def check_remote_folders(inputs: Mapping[str, Any]) -> str | None:
    """Return that ``remote_model`` or ``remote_state`` lies on another computer than the code runs on."""
    code = inputs.get("code")
    if code is None or isinstance(code, orm.PortableCode):
        return None
    computer = inputs.get("metadata", {}).get("computer") or code.computer
    remedies = {"remote_model": "leave it out, or stage the model there", "remote_state": "leave it out"}
    for name, remedy in remedies.items():
        remote = inputs.get(name)
        if remote is not None and computer is not None and remote.computer.uuid != computer.uuid:
            return f"{name} lies on computer {remote.computer.label!r} but the job runs on {computer.label!r}: {remedy}"
    return None


def check_margin(settings: Mapping[str, Any] | None, options: Mapping[str, Any] | None) -> str | None:
    """Return that the margin asked for leaves nothing of the scheduler's walltime."""
    margin = (settings or {}).get("walltime_margin_s")
    walltime = (settings or {}).get("walltime_s") or (options or {}).get("max_wallclock_seconds")
    if margin is not None and walltime is not None and margin >= walltime:
        return (
            f"settings.walltime_margin_s = {margin} s leaves nothing of the walltime of {walltime} s: make the margin "
            "smaller"
        )
    return None


def validate_batch_inputs(inputs: Any, namespace: PortNamespace) -> str | None:
    """Return what is wrong with the inputs of a job taken together."""
    return (
        validate_calc_job(inputs, namespace)
        or check_outputs(inputs)
        or check_rows(inputs)
        or check_margin(inputs.get("settings"), inputs.get("metadata", {}).get("options"))
        or check_remote_folders(inputs)
    )
