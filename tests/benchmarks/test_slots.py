"""The queue of the benchmarks: no more programs at once than slots, and each gets its turn."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from benchmarks.slots import Slots


@pytest.mark.parametrize("program", ["sleep 0.2", "sleep 0.2; exit 3"])
def test_no_more_jobs_run_than_there_are_slots(tmp_path: Path, program: str) -> None:
    log = tmp_path / "log"
    with Slots(tmp_path / "pipe", 2) as slots:
        script = f"{slots.prepend_text}\necho start >> {log}\n(echo -n; {program})\necho end >> {log}"
        jobs = [subprocess.Popen(["bash", "-c", script]) for _ in range(6)]
        for job in jobs:
            job.wait(timeout=30)
    running = most = 0
    lines = log.read_text().split()
    for line in lines:
        running += 1 if line == "start" else -1
        most = max(most, running)
    assert lines.count("end") == 6
    assert most == 2


def test_slot_of_a_job_that_is_terminated_comes_back(tmp_path: Path) -> None:
    with Slots(tmp_path / "pipe", 1) as slots:
        first = subprocess.Popen(["bash", "-c", f"{slots.prepend_text}\necho on; sleep 0.5"], stdout=-1)
        assert first.stdout is not None
        assert first.stdout.readline() == b"on\n"
        first.terminate()
        first.communicate(timeout=30)
        second = subprocess.run(
            ["bash", "-c", f"{slots.prepend_text}\necho on"], timeout=30, stdout=-1, check=True
        )
    assert second.stdout == b"on\n"
