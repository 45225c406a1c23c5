"""The processes of a profile are told apart, and only they are killed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import Role, kill_all, processes_of, role_of

PYTHON = "/venv/bin/python"


@pytest.mark.parametrize(
    ("line", "role"),
    [
        (f"{PYTHON} /venv/bin/verdi -p pet daemon start-circus 1", Role.DAEMON),
        (f"{PYTHON} /venv/bin/verdi -p pet daemon worker", Role.DAEMON),
        (f"{PYTHON} /venv/bin/verdi -p pet daemon broker --service-dir /tmp/x", Role.DAEMON),
        (f"{PYTHON} -c from|circus|import|stats;", Role.DAEMON),
        (f"{PYTHON} /venv/bin/pet-engine .", Role.ENGINE),
        ("bash _aiidasubmit.sh", Role.SCRIPT),
        (f"{PYTHON} /venv/bin/aiida-pet launch static 3 --code pet-engine@localhost", Role.CLIENT),
        (f"{PYTHON} /venv/bin/verdi process list", Role.OTHER),
        ("", Role.OTHER),
    ],
)
def test_role_is_read_from_the_command_line(line: str, role: Role) -> None:
    assert role_of([word.replace("|", " ") for word in line.split()]) is role


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes of the profile in ``tmp_path / "mine"``, and one of a profile with a name that begins alike."""
    started = [
        subprocess.Popen(
            ["sleep", "60"], env={"AIIDA_PATH": str(tmp_path / home), "PATH": os.environ["PATH"]}
        )
        for home in ("mine", "mine/.aiida", "mine-too")
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_only_processes_of_the_profile_are_killed(
    tmp_path: Path, sleepers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIIDA_PATH", str(tmp_path / "mine"))
    home = tmp_path / "mine"
    assert {process.pid for process in processes_of(home)} == {process.pid for process in sleepers[:2]}
    assert kill_all(home, Role.DAEMON) == []
    assert kill_all(home) == ["sleep 60", "sleep 60"]
    assert processes_of(home) == []
    assert sleepers[2].poll() is None
