"""``make demo`` on a handful of alloys: interrupted, then whole; nothing of it keeps running."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1200)]

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
N_ALLOYS = 12  # the elements and some binaries
STARTED = re.compile(
    r"lanes? (waiting in the queue|starting|computing)"
)  # in a line of progress, once there is a job
PATIENCE_S = 600


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(DEMO), "--folder", str(folder), "--limit", str(N_ALLOYS)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as handle:
        return subprocess.Popen(
            command, stdout=handle, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def running_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose AiiDA folder, working directory or command line lies in ``folder``."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            places = [process.environ().get("AIIDA_PATH", ""), process.cwd(), *process.cmdline()]
            if any(str(folder) in place for place in places):
                found.append(process)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("icet")
    return tmp_path / "demo"


def test_interrupted_demo_leaves_nothing_running_and_the_next_is_whole(folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "first.log"
    first = start(folder, log)
    deadline = time.monotonic() + PATIENCE_S
    while not STARTED.search(log.read_text()) and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert first.poll() is None, log.read_text()
    assert running_in(folder / "aiida"), log.read_text()
    os.killpg(first.pid, signal.SIGINT)  # what Ctrl-C does
    assert first.wait(PATIENCE_S) != 0
    assert "interrupted" in log.read_text()
    assert running_in(folder / "aiida") == []
    assert not (folder / "summary.json").exists()

    log = tmp_path / "second.log"
    assert start(folder, log).wait(PATIENCE_S) == 0, log.read_text()
    assert running_in(folder / "aiida") == []
    told = log.read_text()
    for part in (
        "What each stage let through",
        "extrapolation",
        "Ordered phases on the hull",
        "published DFT",
        "Space groups",
        "where it comes from",
    ):
        assert part in told

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n_structures"] == N_ALLOYS
    assert summary["statuses"] == {"converged": N_ALLOYS}
    assert (summary["n_converged"], summary["n_failed"]) == (N_ALLOYS, 0)
    assert 0 < summary["compute_s"] < summary["engine_s"] < summary["lanes"] * summary["wall_s"]
    wanted = {"e_above_hull", "min_frequency", "bulk_modulus", "shear_modulus", "stage", "symmetry_kept_0_01"}
    assert wanted <= set(summary["columns"])
    assert list(summary["stages"]) == ["relax", "symmetry", "hull", "phonons", "elastic"]
    assert sum(summary["left_at"].values()) == N_ALLOYS
    # the elements are on the hull by definition, and some compounds came through as well
    assert summary["left_at"]["done"] > len(summary["through"]) > 0
    for row in summary["through"]:
        assert row["e_above_hull"] <= 0.025
        assert row["min_frequency"] > -0.1
        assert 20 < row["bulk_modulus"] < 400
    from aiida_pet import models

    assert summary["model_sha256"] == models.sha256_of(models.embedded_path())
