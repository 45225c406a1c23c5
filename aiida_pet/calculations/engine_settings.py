"""How a job of the engine works: its settings as a port, completed by what the scheduler grants it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiida.common.datastructures import CalcInfo, CodeInfo
from aiida.engine.processes.process_spec import ProcessSpec
from aiida.orm import AbstractCode

from aiida_pet.calculations.validation import validate_settings
from aiida_pet.computers.resources import cores_of
from aiida_pet.job.folder import THREAD_VARIABLES, EngineSettings

MARGIN_SHARE = 0.2  # of the walltime at most is kept to leave in order, unless the user says otherwise


def define_settings(spec: ProcessSpec) -> None:
    """Add the settings of the engine to the inputs of ``spec``; they are no node, and not part of the hash."""
    spec.input(
        "settings",
        valid_type=dict,
        required=False,
        is_metadata=True,
        validator=validate_settings,
        help="Settings of the engine that do not change results: device, threads, margin, ... (the fields of "
        "`aiida_pet.job.folder.EngineSettings`). They are not part of the hash.",
    )


def define_options(spec: ProcessSpec, parser: str, input_file: str, output_file: str) -> None:
    """Set the options that a job of the engine has if the user says nothing.

    :param parser: entry point of the parser.
    :param input_file: what `verdi calcjob inputcat` shows.
    :param output_file: what `verdi calcjob outputcat` shows.
    """
    options = spec.inputs["metadata"]["options"]  # type: ignore[index]
    options["parser_name"].default = parser
    options["resources"].default = lambda: {"num_machines": 1, "num_mpiprocs_per_machine": 1}
    options["withmpi"].default = False
    options["input_filename"].default = input_file
    options["output_filename"].default = output_file


def run_in_folder(code: AbstractCode) -> CalcInfo:
    """Return how ``code``, the engine, is run in the folder of its job."""
    code_info = CodeInfo()
    code_info.code_uuid = code.uuid
    code_info.cmdline_params = ["."]
    code_info.withmpi = False
    calc_info = CalcInfo()
    calc_info.codes_info = [code_info]
    return calc_info


def complete_settings(given: Mapping[str, Any], options: Mapping[str, Any]) -> EngineSettings:
    """Return the settings of a job, the walltime and cores of the scheduler filled in where the user gave none.

    :param given: the input ``settings``.
    :param options: ``metadata.options`` of the job.
    """
    settings = EngineSettings(**given)
    if settings.walltime_s is None and "max_wallclock_seconds" in options:
        settings = replace(settings, walltime_s=float(options["max_wallclock_seconds"]))
    if settings.walltime_s is not None and "walltime_margin_s" not in given:
        settings = replace(settings, walltime_margin_s=margin_of(settings.walltime_s))
    if settings.threads is None:
        settings = replace(settings, threads=cores_of(options.get("resources") or {}))
    return settings


def margin_of(walltime_s: float) -> float:
    """Return the seconds before the end of a walltime at which a job stops, if the user does not say it."""
    # a job shorter than the usual margin would stop before its first row, again and again
    return min(EngineSettings().walltime_margin_s, MARGIN_SHARE * walltime_s)


def thread_environment(threads: int | None, options: Mapping[str, Any]) -> str:
    """Return the shell lines that set the number of threads, but for variables that the user set in ``options``."""
    if threads is None:
        return ""
    given = options.get("environment_variables", {})
    return "\n".join(f"export {name}={threads}" for name in THREAD_VARIABLES if name not in given)
