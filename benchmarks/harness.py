"""What every benchmark needs: a measurement and how it is printed, the machine in words, an AiiDA profile."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import Role, kill_all, processes_of

ROOT = Path(__file__).parents[1]
LOOK_S = 10.0  # between two looks at whether the daemon is still there
LOG_LINES = 20


@dataclass(frozen=True)
class Measurement:
    """One measured value.

    :ivar name: ``group/what``.
    :ivar value: in ``unit``.
    :ivar unit: of the value.
    :ivar against: what the value is compared with, in words with its number and unit.
    :ivar ratio: how many times better than what it is compared with; None where there is nothing to compare with.
    :ivar detail: figures that explain the value, by name with the unit at the end.
    """

    name: str
    value: float
    unit: str
    against: str
    ratio: float | None
    detail: dict[str, Any] = field(default_factory=dict)

    def to_json(self, machine: str) -> str:
        """Return the line to print; figures are given to four digits, null for what is no number."""
        return json.dumps(_rounded(asdict(self)) | {"machine": machine})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    return float(f"{value:.4g}") if math.isfinite(value) else None


def threads() -> int:
    """Return the CPU threads each job gets: OMP_NUM_THREADS, or 1."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def lanes() -> int:
    """Return how many jobs run at once: two, where there are as many cores."""
    return max(1, min(2, len(os.sched_getaffinity(0))))


def machine() -> str:
    """Return processor, cores, threads and the load others put on them, in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        name = names[0] if names else name
    load = os.getloadavg()[0]
    return f"{name}, {os.cpu_count()} cores, {threads()} thread(s) per job, load at the start {load:.1f}"


@contextmanager
def isolated_profile(workers: int = 1) -> Iterator[None]:
    """Set up a profile in a temporary folder as ``aiida-pet setup`` does, daemon running; remove both after.

    :raises RuntimeError: if AiiDA is imported already: it reads AIIDA_PATH once, at import.
    """
    if "aiida.manage.configuration.settings" in sys.modules:
        raise RuntimeError(
            "AiiDA was imported before its folder was chosen: start each benchmark in its own process"
        )
    folder = Path(tempfile.mkdtemp(prefix="aiida-pet-bench-"))
    os.environ["AIIDA_PATH"] = str(folder)
    (folder / ".aiida").mkdir()
    from aiida_pet.computers.interpreter import prepare_environment

    prepare_environment()
    from aiida_pet.computers.daemon import broker_answers
    from aiida_pet.computers.local_setup import set_up

    try:
        problems = [step.problem for step in set_up(None, None, workers) if step.problem]
        if problems or not broker_answers(0):  # for which the set-up has waited
            raise RuntimeError(f"the set-up failed: {'; '.join(problems) or 'the broker does not answer'}")
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # who is impatient would leave a daemon behind
        try:
            _stop_daemon()
        finally:
            kill_all(folder)  # engines of a campaign that was given up, and a daemon that did not listen
            shutil.rmtree(folder, ignore_errors=True)


def _stop_daemon() -> None:
    from aiida.engine.daemon.client import DaemonException

    from aiida_pet.computers.daemon import daemon_client, daemon_runs

    client = daemon_client()
    if client is None or not daemon_runs(client):
        return
    try:
        client.stop_daemon(wait=True)
    except DaemonException as error:
        print(f"the daemon did not stop when asked to, and is killed: {error}", file=sys.stderr)


def wait_for(node: Any, interval_s: float = 0.5) -> None:
    """Return when the process ``node`` has ended, well or not.

    :raises RuntimeError: if the daemon is gone: then it would never end.
    """
    looked = time.monotonic()
    while not node.is_terminated:
        time.sleep(interval_s)
        if time.monotonic() > looked + LOOK_S:
            check_daemon()
            looked = time.monotonic()


def check_daemon() -> None:
    """:raises RuntimeError: with the end of its log if the daemon of the profile is gone."""
    if not processes_of(os.environ["AIIDA_PATH"], Role.DAEMON):
        raise RuntimeError(f"the daemon is gone, so nothing moves; the end of its log:\n{_end_of_log()}")


def check_ended_well(node: Any, what: str) -> None:
    """:raises RuntimeError: if ``node`` did not end well, with what it and those below it say."""
    if node.is_finished_ok:
        return
    said = [
        f"<{one.pk}> {one.process_label}: {_state(one)}"
        for one in [node, *node.called_descendants]
        if not one.is_finished_ok
    ]
    told = "\n".join(said[:LOG_LINES])
    raise RuntimeError(f"{what} did not end well:\n{told}\nthe end of the daemon's log:\n{_end_of_log()}")


def _state(node: Any) -> str:
    state = node.process_state.value if node.process_state else "created"
    why = node.exit_message or node.exception or node.process_status or "it gives no reason"
    return f"{state} [{node.exit_status}]: {why}"


def _end_of_log() -> str:
    from aiida_pet.computers.daemon import daemon_client

    client = daemon_client()
    try:
        lines = Path(client.daemon_log_file).read_text().splitlines() if client else []
    except OSError:
        lines = []
    return "\n".join(lines[-LOG_LINES:]) or "(nothing)"


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files under ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
