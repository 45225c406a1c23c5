"""What a launch stands on beside the daemon: broker and disks. What is wrong with them, each with its remedy."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from aiida.engine.daemon.client import DaemonClient
from aiida.manage.configuration import Profile
from aiida.storage.psql_dos.backend import get_filepath_container

REPAIR = "`aiida-pet repair`"
LEAST_FREE_B = 64 * 1024**2
"""With less than that a disk is as good as full: one shard or one packed file of the repository is as large."""
_LOG_TAIL_B = 256 * 1024
_PATIENCE_S = 3.0
# Of the system, SQLite and PostgreSQL.
_DISK_FULL = ("No space left on device", "[Errno 28]", "database or disk is full", "could not extend file")
_DATABASE_GONE = (
    "server closed the connection unexpectedly",
    "terminating connection due to administrator command",
    "connection to server",
    "Can't reconnect until invalid transaction is rolled back",
)
_FAULTS = ((_DISK_FULL, "met a full disk"), (_DATABASE_GONE, "lost its connection to the database"))
# How a record of AiiDA's daemon log begins: time and PID of the worker.
LOCKED = (
    "the database of the profile is locked, since another process is writing, such as the daemon or another command: "
    "nothing is broken, and nothing needs to be started; repeat the command"
)
"""What an error comes to that :func:`is_locked` knows."""
_LOCKED = re.compile(r"database (table )?is locked|deadlock detected|lock timeout")
_RECORD = re.compile(r"^(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d [AP]M) <(\d+)> ", re.MULTILINE)


def is_locked(error: BaseException) -> bool:
    """Return whether SQLite or PostgreSQL waited in vain for another process that is writing."""
    return _LOCKED.search(str(error)) is not None


def broker_problem(profile: Profile) -> str | None:
    """Return that RabbitMQ does not answer, with the remedy; None if it does. ZeroMQ's broker is the daemon's."""
    if profile.process_control_backend != "core.rabbitmq":
        return None
    config = profile.process_control_config
    host, port = str(config.get("broker_host") or "127.0.0.1"), int(config.get("broker_port") or 5672)
    try:
        with socket.create_connection((host, port), timeout=_PATIENCE_S):
            return None
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).lower()
        return (
            f"the message broker RabbitMQ does not answer at {host}:{port} ({reason}), so nothing can be submitted "
            f"and nothing moves: start the broker (`service rabbitmq-server start`, as root), then run {REPAIR}"
        )


def repository_folder(profile: Profile) -> Path | None:
    """Return where the files of ``profile`` are, with SQLite its database too; None if its storage names no folder."""
    config = profile.storage_config
    if "repository_uri" in config:
        return get_filepath_container(profile).parent
    return Path(config["filepath"]) if config.get("filepath") else None


def disk_problems(profile: Profile, jobs: Iterable[Any] = ()) -> list[str]:
    """Return which disks of this machine are full, of the disk with the profile's files and the disks on which jobs
    work.

    :param jobs: CalcJobNodes; those on other machines are left out.
    """
    folders: dict[str, Path] = {}
    repository = repository_folder(profile)
    if repository is not None:
        folders["the files and the database of the profile"] = repository
    for job in jobs:
        computer = job.computer
        if computer is not None and computer.transport_type == "core.local":
            told = f"the jobs on computer {computer.label}"
            folders.setdefault(told, Path(job.get_remote_workdir() or "/"))
    found: list[str] = []
    for what, folder in folders.items():
        free = _free_bytes(folder)
        if free is not None and free < LEAST_FREE_B:
            found.append(
                f"the disk of {what} is full ({free / 1024**2:.0f} MB free in {folder}): free space there, then run "
                f"{REPAIR}, because workers often stop working after they met a full disk"
            )
    return found


def _free_bytes(folder: Path) -> int | None:
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    try:
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None


def worker_problem(client: DaemonClient) -> str | None:
    """Return that a worker that lives met a full disk or lost its database, as the daemon's log says; None if not.

    One that has logged anything else than errors since then goes on, and is left alone.
    """
    settled: set[int] = set()
    for record in reversed(_records(_tail(Path(client.daemon_log_file)))):
        if record.pid in settled:
            continue
        what = next((what for texts, what in _FAULTS if any(text in record.text for text in texts)), None)
        if what is None and record.is_error:
            continue
        settled.add(record.pid)
        if what is not None and _lives_since(record.pid, record.time):
            return (
                f"worker {record.pid} of the daemon {what} at {record.time}, and may have stopped working: remove the "
                f"cause, then run {REPAIR} (the log is {client.daemon_log_file})"
            )
    return None


class _Record(NamedTuple):
    """A record of the daemon's log.

    :ivar time: as it stands there.
    :ivar pid: process id of the worker.
    :ivar text: with the traceback under it.
    """

    time: str
    pid: int
    text: str

    @property
    def is_error(self) -> bool:
        return "[ERROR]" in self.text or "[CRITICAL]" in self.text


def _lives_since(pid: int, time: str) -> bool:
    """Return whether process ``pid`` lives, and did so at ``time`` already."""
    try:
        started: float = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    return started <= datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p").astimezone().timestamp() + 1.0


def _records(log: str) -> list[_Record]:
    heads = list(_RECORD.finditer(log))
    ends = [*(head.start() for head in heads[1:]), len(log)][: len(heads)]
    return [
        _Record(head.group(1), int(head.group(2)), log[head.end() : end])
        for head, end in zip(heads, ends, strict=True)
    ]


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            handle.seek(max(0, path.stat().st_size - _LOG_TAIL_B))
            return handle.read().decode(errors="replace")
    except OSError:
        return ""
