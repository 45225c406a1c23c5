"""The processes of a profile: found by the AIIDA_PATH in their environment, told apart by their command lines."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import psutil

PATIENCE_S = 30.0


class Role(StrEnum):
    """What a process does for the profile."""

    DAEMON = "daemon"  # supervisor, workers, broker, and the supervisor's statistics
    ENGINE = "engine"
    SCRIPT = "script"  # of a job, which waits for its engine
    CLIENT = "client"  # `aiida-pet`
    OTHER = "other"


def processes_of(home: Path | str, *roles: Role) -> list[psutil.Process]:
    """Return the processes whose AIIDA_PATH is ``home`` or below it, oldest first; never this one.

    :param roles: only these; all if none is given.
    """
    found = []
    for process in psutil.process_iter():
        try:
            path = process.environ().get("AIIDA_PATH", "")
            mine = process.pid != os.getpid() and bool(path) and Path(path).is_relative_to(home)
            if mine and (not roles or role_of(process.cmdline()) in roles):
                found.append((process.create_time(), process))
        except psutil.Error:
            continue
    return [process for _, process in sorted(found, key=lambda entry: entry[0])]


def role_of(words: list[str]) -> Role:
    """Return what the process with the command line ``words`` does."""
    programs = {Path(word).name for word in words[:2]}  # scripts come behind their interpreter
    if "pet-engine" in programs:
        return Role.ENGINE
    if ("verdi" in programs and "daemon" in words) or any("circus" in word for word in words):
        return Role.DAEMON
    if "_aiidasubmit.sh" in programs:
        return Role.SCRIPT
    return Role.CLIENT if "aiida-pet" in programs else Role.OTHER


def kill(processes: Iterable[psutil.Process]) -> list[str]:
    """Kill ``processes`` with SIGKILL, in that order, and return their command lines as soon as all are gone.

    :raises RuntimeError: if one is still there after half a minute.
    """
    killed, lines = [], []
    for process in processes:
        try:
            line = " ".join(process.cmdline())
            process.kill()
        except psutil.NoSuchProcess:
            continue
        killed.append(process)
        lines.append(line)
    _, alive = psutil.wait_procs(killed, PATIENCE_S)
    if alive:
        raise RuntimeError(f"killed with SIGKILL, but still there after {PATIENCE_S:g} s: {alive}")
    return lines


def kill_all(home: Path | str, *roles: Role) -> list[str]:
    """Kill the profile's processes of ``roles`` until there are no more, and return their command lines.

    The oldest go first, so that the supervisor is gone before it could start a worker again.

    :raises RuntimeError: if there are always new ones.
    """
    lines: list[str] = []
    deadline = time.monotonic() + PATIENCE_S
    while found := processes_of(home, *roles):
        lines += kill(found)
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {len(lines)} were killed there are still {found}")
    return lines
