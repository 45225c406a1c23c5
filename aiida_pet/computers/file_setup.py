"""The computer and the engine that a :class:`ComputerFile` describes, made where they are missing.

What is there is left as it is, and told where it differs; or it is changed in what counts for no hash, so that results
of before stay in the cache: not in which machine it is, where jobs run there, and which file the engine is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiida.common.exceptions import NotExistent
from aiida.orm import Computer, InstalledCode, load_code

from aiida_pet.computers.computer_file import SCHEDULERS, TRANSPORTS, ComputerFile
from aiida_pet.computers.resources import SITE_PROPERTY, site_of
from aiida_pet.computers.steps import CHANGED, CREATED, PRESENT, Step


def ensure_computer(wanted: ComputerFile, update: bool = False) -> tuple[Computer, Step]:
    """Return the computer that ``wanted`` describes; if a computer with its label differs, the step says so.

    :param update: change what differs and counts for no hash; otherwise nothing is changed.
    """
    state = PRESENT
    problem = changed = ""
    try:
        machine = Computer.collection.get(label=wanted.label)
        if update:
            changed = "; ".join(_update(wanted, machine))
            state = CHANGED if changed else PRESENT
        problem = "; ".join(map(str, _differences(wanted, machine)))
        if problem:
            way = (
                "these values identify the machine and cannot change"
                if update
                else "--update changes only what has no effect on results; for the other differences"
            )
            problem = (
                f"computer {wanted.label!r} is left as it is, but differs: {problem} ({way}: give the file another "
                f"label, or `verdi computer relabel {wanted.label} NAME` first)"
            )
    except NotExistent:
        state = CREATED
        machine = Computer(
            label=wanted.label,
            hostname=wanted.hostname,
            transport_type=TRANSPORTS[wanted.transport],
            scheduler_type=SCHEDULERS[wanted.scheduler],
            workdir=wanted.work_dir,
        )
        _set_what_may_change(wanted, machine)
        machine.store()
    if not machine.is_configured:
        machine.configure(**wanted.connection)
    detail = f"{machine.transport_type}, {machine.scheduler_type}, jobs run in {machine.get_workdir()}"
    if changed:
        detail = f"changed: {changed}"
    return machine, Step("computer", state, wanted.label, detail, machine.pk, problem)


def _set_what_may_change(wanted: ComputerFile, machine: Computer) -> None:
    """Set what counts for no hash."""
    machine.description = wanted.description
    machine.set_prepend_text(wanted.setup_lines)
    machine.set_minimum_job_poll_interval(wanted.poll_s)
    if machine.get_scheduler().job_resource_class.accepts_default_mpiprocs_per_machine():
        machine.set_default_mpiprocs_per_machine(wanted.mpiprocs)
    machine.set_property(SITE_PROPERTY, wanted.site.model_dump(mode="json", exclude_none=True))


def _update(wanted: ComputerFile, machine: Computer) -> list[str]:
    """Change what may change, and return what was."""
    differences = [one for one in _differences(wanted, machine) if one.name not in _WHICH_MACHINE]
    if differences:
        _set_what_may_change(wanted, machine)
        machine.store()
        if machine.is_configured:
            machine.configure(**machine.get_configuration() | wanted.connection)
    return [one.told(" was") for one in differences]


@dataclass(frozen=True)
class _Difference:
    """What differs: its name, what is there and what is wanted."""

    name: str
    found: Any
    wanted: Any

    def __str__(self) -> str:
        return self.told(" is")

    def told(self, verb: str) -> str:
        """Return the difference in words."""
        between = ", not" if verb == " is" else ", now"
        return f"{self.name}{verb} {_told(self.found)}{between} {_told(self.wanted)}"


_WHICH_MACHINE = ("hostname", "transport", "scheduler", "work_dir")
"""What says which computer it is, and is never changed."""


def _differences(wanted: ComputerFile, machine: Computer) -> Iterator[_Difference]:
    """Yield in what the computer that is there is another than ``wanted``."""
    pairs: list[tuple[str, Any, Any]] = [
        ("hostname", machine.hostname, wanted.hostname),
        ("transport", machine.transport_type, TRANSPORTS[wanted.transport]),
        ("scheduler", machine.scheduler_type, SCHEDULERS[wanted.scheduler]),
        ("work_dir", machine.get_workdir(), wanted.work_dir),
        ("description", machine.description, wanted.description),
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
            yield _Difference(name, found, expected)


def _told(value: Any) -> str:
    return repr(getattr(value, "value", value))


def ensure_code(wanted: ComputerFile, machine: Computer) -> tuple[InstalledCode, Step]:
    """Return the engine on ``machine``; a code with its label is left as it is, and the step says if it is another
    code.
    """
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
