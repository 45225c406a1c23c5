"""What every benchmark needs: a measurement and how it is printed, the machine in words, an AiiDA profile."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


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
        """Return the line to print; figures are given to four digits."""
        return json.dumps(_rounded(asdict(self)) | {"machine": machine})


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def threads() -> int:
    """Return the CPU threads each job gets: OMP_NUM_THREADS, or 1."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


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
    """Set up a profile in a temporary folder by ``aiida-pet setup``, daemon running; remove both after.

    :raises RuntimeError: if AiiDA is imported already: it reads AIIDA_PATH once, at import.
    """
    if "aiida.manage.configuration.settings" in sys.modules:
        raise RuntimeError(
            "AiiDA was imported before its folder was chosen: start each benchmark in its own process"
        )
    folder = Path(tempfile.mkdtemp(prefix="aiida-pet-bench-"))
    os.environ["AIIDA_PATH"] = str(folder)
    (folder / ".aiida").mkdir()
    from click.testing import CliRunner

    from aiida_pet.cli import main

    try:
        outcome = CliRunner().invoke(main, ["setup", "--workers", str(workers)], catch_exceptions=False)
        if outcome.exit_code:
            raise RuntimeError(f"aiida-pet setup failed: {outcome.output}")
        yield
    finally:
        _stop_daemon()
        shutil.rmtree(folder, ignore_errors=True)


def _stop_daemon() -> None:
    from aiida_pet.cli.session import daemon_client

    client = daemon_client()
    if client is not None and client.is_daemon_running:
        client.stop_daemon(wait=True)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files under ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
