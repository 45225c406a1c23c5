"""What can be asked of a computer without a job: connection, folders, queue, engine. Each answer has its remedy."""

from __future__ import annotations

import shlex
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida.orm import Computer, InstalledCode, User

from aiida_pet import __version__

LEAST_FREE_KIB = 2 * 1024**2
CLOSED = 0o700
READ_OR_ENTER = 0o055  # by group or others
_CONTENT = "aiida-pet writes, reads and removes this\n"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    :ivar what: in a word.
    :ivar ok: whether all is well.
    :ivar detail: what was found.
    :ivar remedy: what to do, empty if all is well.
    """

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def check_computer(computer: Computer, code: InstalledCode | None) -> Iterator[Check]:
    """Connect to ``computer`` and yield what was found: connection, work directory, access, space, queue, engine.

    Ends early if there is no connection. A work directory that is not there is made, closed to other users.

    :param code: the engine there, None to leave it out.
    """
    label = computer.label
    configure = f"`verdi computer configure {computer.transport_type} {shlex.quote(label)}`"
    if not computer.is_configured:
        yield Check("connection", False, f"computer {label!r} is not configured", configure)
        return
    user = User.collection.get_default()
    if user is not None and not computer.is_user_enabled(user):
        yield Check(
            "connection",
            False,
            f"computer {label!r} is disabled",
            f"`verdi computer enable {shlex.quote(label)}`",
        )
        return
    transport = computer.get_transport()
    try:
        transport.open()
    except Exception as error:  # each transport has errors of its own
        hint = (
            f"check that `ssh {computer.get_configuration().get('host', computer.hostname)}` logs in without a "
            f"password, then {configure}"
            if "ssh" in computer.transport_type
            else configure
        )
        yield Check("connection", False, f"{computer.hostname}: {_line(error)}", hint)
        return
    try:
        yield Check(
            "connection", True, f"{computer.transport_type} to {computer.hostname} as {transport.whoami()}"
        )
        yield from _check_through(transport, computer, code)
    finally:
        transport.close()


def _check_through(transport: Any, computer: Computer, code: InstalledCode | None) -> Iterator[Check]:
    work_dir = work_dir_of(computer, transport)
    folder = _check_folder(transport, work_dir)
    yield folder
    if folder.ok:
        yield check_access(transport, work_dir)
        yield _check_space(transport, work_dir)
    yield _check_queue(transport, computer)
    if code is not None:
        yield check_engine(transport, code)


def work_dir_of(computer: Computer, transport: Any) -> str:
    """Return the work directory of ``computer`` with the user's name in it."""
    return str(computer.get_workdir()).format(username=transport.whoami())


def make_closed(transport: Any, folder: str) -> None:
    """Make ``folder`` unless it is there, and let only its owner into one that was made.

    AiiDA makes the folders of jobs as the umask of the login says, and uploads their inputs long before the engine
    starts and closes its own: what is in a closed folder nobody else reaches.

    :raises OSError: if it cannot be made or closed; transports may raise others.
    """
    if not transport.isdir(folder):
        transport.makedirs(folder, ignore_existing=True)
        transport.chmod(folder, CLOSED)


def check_access(transport: Any, work_dir: str) -> Check:
    """Tell whether others than its owner may read or enter the work directory, which is there."""
    try:
        mode = transport.get_mode(f"{work_dir}/.")  # of the folder itself, where the path is a link
    except Exception as error:  # each transport has errors of its own
        return Check("access", False, f"{work_dir}: {_line(error)}", f"look at `ls -ld {work_dir}/.` there")
    if mode & READ_OR_ENTER:
        return Check(
            "access",
            False,
            f"{work_dir} has mode {mode:04o}: other users can enter it and read files that the umask does not protect",
            f"`chmod 700 {work_dir}` there. If other users need this folder, set up a computer with a closed work_dir "
            "inside it",
        )
    return Check("access", True, f"{work_dir} is closed to other users (mode {mode:04o})")


def _check_folder(transport: Any, work_dir: str) -> Check:
    """Write, read and remove a file."""
    name = f"{work_dir}/.aiida-pet-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as local:
        sent, back = Path(local, "sent"), Path(local, "back")
        sent.write_text(_CONTENT)
        try:
            make_closed(transport, work_dir)
            transport.putfile(str(sent), name)
            try:
                transport.getfile(name, str(back))
            finally:
                transport.remove(name)
        except Exception as error:  # each transport has errors of its own
            return Check(
                "work directory",
                False,
                f"{work_dir}: {_line(error)}",
                "make it writable, free space, or set up a computer with another work_dir",
            )
        same = back.read_text() == _CONTENT
    if not same:
        return Check(
            "work directory", False, f"{work_dir}: a file came back changed", "check the file system"
        )
    return Check("work directory", True, f"{work_dir}: a file was written, read and removed")


def _check_space(transport: Any, work_dir: str) -> Check:
    status, output, error = transport.exec_command_wait(f"df -Pk {shlex.quote(work_dir)}")
    words = output.strip().splitlines()[-1].split() if output.strip() else []
    if status or len(words) < 5 or not words[3].isdecimal():
        return Check("disk", False, f"df {work_dir}: {_line(error or output)}", "check the disk by hand")
    free = int(words[3])
    detail = f"{free / 1024**2:,.1f} GB free in {work_dir} ({words[4]} used)"
    if free < LEAST_FREE_KIB:
        remedy = "free space: `verdi calcjob cleanworkdir` removes the folders of jobs that ended"
        return Check("disk", False, detail, remedy)
    return Check("disk", True, detail)


def _check_queue(transport: Any, computer: Computer) -> Check:
    scheduler = computer.get_scheduler()
    scheduler.set_transport(transport)
    try:
        jobs = scheduler.get_jobs(as_dict=True)
    except Exception as error:  # each scheduler has errors of its own
        return Check(
            "queue",
            False,
            f"{computer.scheduler_type}: {_line(error)}",
            "check that the scheduler runs, and that its commands are on the PATH of a shell without a terminal there",
        )
    return Check("queue", True, f"{computer.scheduler_type} answers and has {len(jobs)} jobs")


def check_engine(transport: Any, code: InstalledCode) -> Check:
    """Ask the engine for its version, in the environment that a job gives it."""
    path = str(code.filepath_executable)
    install = "pip install 'aiida-pet[engine]' into its environment there, or make a code with another path"
    before = [text for text in (code.computer.get_prepend_text(), code.prepend_text) if text]
    command = "\n".join([*before, f"{shlex.quote(path)} --version"])
    status, output, error = transport.exec_command_wait(command)
    last = (output.strip().splitlines() or [""])[-1]
    if status or not last.startswith("pet-engine "):
        return Check(
            "engine", False, f"{path}: {_line(error.strip() or output.strip() or 'no answer')}", install
        )
    found = last.removeprefix("pet-engine ")
    if found != __version__:
        return Check(
            "engine",
            False,
            f"{path} belongs to aiida-pet {found}, but this is aiida-pet {__version__}",
            f"install aiida-pet {__version__} there, or install {found} here and run `verdi daemon restart`",
        )
    return Check("engine", True, f"{path}, aiida-pet {found}, the same version as here")


def _line(error: Any) -> str:
    """Return the last line of what went wrong."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
