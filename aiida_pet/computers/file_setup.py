"""The computer and the engine that a :class:`ComputerFile` describes, made where they are missing.

What is there is left as it is, and told where it differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiida.common.exceptions import NotExistent
from aiida.orm import Computer, InstalledCode, load_code

from aiida_pet.computers.computer_file import SCHEDULERS, TRANSPORTS, ComputerFile
from aiida_pet.computers.resources import SITE_PROPERTY, site_of
from aiida_pet.computers.steps import CREATED, PRESENT, Step


def ensure_computer(wanted: ComputerFile) -> tuple[Computer, Step]:
    """Return the computer that ``wanted`` describes; one with its label is left as it is, and told if it differs."""
    state = PRESENT
    problem = ""
    try:
        machine = Computer.collection.get(label=wanted.label)
        problem = "; ".join(_differences(wanted, machine))
        if problem:
            problem = (
                f"computer {wanted.label!r} is left as it is, but differs: {problem} (give the file another label, or "
                f"`verdi computer relabel {wanted.label} NAME` first)"
            )
    except NotExistent:
        state = CREATED
        machine = Computer(
            label=wanted.label,
            hostname=wanted.hostname,
            description=wanted.description,
            transport_type=TRANSPORTS[wanted.transport],
            scheduler_type=SCHEDULERS[wanted.scheduler],
            workdir=wanted.work_dir,
        )
        machine.set_prepend_text(wanted.setup_lines)
        machine.set_minimum_job_poll_interval(wanted.poll_s)
        if machine.get_scheduler().job_resource_class.accepts_default_mpiprocs_per_machine():
            machine.set_default_mpiprocs_per_machine(wanted.mpiprocs)
        machine.set_property(SITE_PROPERTY, wanted.site.model_dump(mode="json", exclude_none=True))
        machine.store()
    if not machine.is_configured:
        machine.configure(**wanted.connection)
    detail = f"{machine.transport_type}, {machine.scheduler_type}, jobs run in {machine.get_workdir()}"
    return machine, Step("computer", state, wanted.label, detail, machine.pk, problem)


def _differences(wanted: ComputerFile, machine: Computer) -> Iterator[str]:
    """Yield in what the computer that is there is another than ``wanted``."""
    pairs: list[tuple[str, Any, Any]] = [
        ("hostname", machine.hostname, wanted.hostname),
        ("transport", machine.transport_type, TRANSPORTS[wanted.transport]),
        ("scheduler", machine.scheduler_type, SCHEDULERS[wanted.scheduler]),
        ("description", machine.description, wanted.description),
        ("work_dir", machine.get_workdir(), wanted.work_dir),
        ("shell lines before the engine", machine.get_prepend_text(), wanted.setup_lines),
        ("poll_interval", float(machine.get_minimum_job_poll_interval()), wanted.poll_s),
    ]
    if machine.get_scheduler().job_resource_class.accepts_default_mpiprocs_per_machine():
        pairs.append(("mpiprocs", machine.get_default_mpiprocs_per_machine(), wanted.mpiprocs))
    there, new = site_of(machine), wanted.site
    pairs += [(name, getattr(there, name), getattr(new, name)) for name in type(new).model_fields]
    if machine.is_configured:
        configured = machine.get_configuration()
        pairs += [(name, configured.get(name, value), value) for name, value in wanted.connection.items()]
    for name, found, expected in pairs:
        if found != expected:
            yield f"{name} is {_told(found)}, not {_told(expected)}"


def _told(value: Any) -> str:
    return repr(getattr(value, "value", value))


def ensure_code(wanted: ComputerFile, machine: Computer) -> tuple[InstalledCode, Step]:
    """Return the engine on ``machine``; a code with its label is left as it is, and told if it is another."""
    full = f"{wanted.code}@{machine.label}"
    state, problem = PRESENT, ""
    try:
        code: Any = load_code(full)
        if str(code.filepath_executable) != wanted.engine:
            problem = (
                f"code {full} is {code.filepath_executable}, not {wanted.engine}: it is left as it is; give `code` "
                "another name in the file"
            )
    except NotExistent:
        state = CREATED
        code = InstalledCode(
            label=wanted.code,
            description="PET engine of aiida-pet",
            computer=machine,
            filepath_executable=wanted.engine,
            default_calc_job_plugin="pet.relax",
            with_mpi=False,
        ).store()
    return code, Step("code", state, full, str(code.filepath_executable), code.pk, problem)
