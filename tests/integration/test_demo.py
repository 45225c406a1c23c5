"""``make demo`` on the phases of two metals: interrupted, then whole on a terminal; nothing of it keeps running."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from support.terminal import Screens, on_terminal

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1200)]

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
ELEMENTS = ("Mo", "Ta")
N_PHASES = 12  # three of each metal, and six orderings of both
STARTED = re.compile(
    r"lanes? (waiting in the queue|starting|computing)"
)  # in a line of progress, once there is a job
PATIENCE_S = 600


STAGES = ("relax", "symmetry", "hull", "phonons", "elastic")
AFTER = re.compile(r"^\$ aiida-pet status|^rows  +\d")  # what is printed below the picture when all has ended
TITLE = re.compile(r"screen <(\d+)> phases")  # of the live picture
LANE = re.compile(r"lane \d+ +(starting|computing|fetching results)")
"""A lane whose engine has begun: so few crystals may be computed between two looks at them."""


def demo_in(folder: Path) -> list[str]:
    return [sys.executable, str(DEMO), "--folder", str(folder), "--elements", *ELEMENTS]


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    command = demo_in(folder)
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


def on_two_terminals(folder: Path) -> tuple[Screens, Screens]:
    """Return the screens of the demo at 80 columns, and of `status --watch` beside it at 120."""
    demo, watched = Screens(80, 40), Screens(120, 30)
    with ThreadPoolExecutor(1) as pool:
        variables = {"OMP_NUM_THREADS": "1"}
        running: Future[Screens] = pool.submit(
            on_terminal, demo_in(folder), 80, 40, environment=variables, timeout=PATIENCE_S, screens=demo
        )
        while not (launched := TITLE.search(demo.raw)):
            if running.done():
                raise AssertionError(demo.raw)
            time.sleep(0.5)
        command = [str(Path(sys.executable).parent / "aiida-pet"), "status", launched[1], "--watch"]
        variables |= {"AIIDA_PATH": str(folder / "aiida"), "XDG_CACHE_HOME": str(folder / "cache")}
        on_terminal(command, 120, 30, environment=variables, timeout=PATIENCE_S, screens=watched)
        return running.result(), watched


def assert_live(screens: Screens, raw: str) -> None:
    """No line of the live picture wraps, none is left behind, and every stage has been running in it."""
    part = Screens(screens.columns, screens.lines, raw=raw)
    assert max(map(len, part.printed())) < screens.columns
    pictures = [
        frame
        for frame in screens.frames
        if any(TITLE.search(line) for line in frame) and not any(AFTER.search(line) for line in frame)
    ]
    assert max(sum(bool(TITLE.search(line)) for line in frame) for frame in pictures) == 1
    for name in STAGES:
        shown = [[line for line in frame if line.split()[:1] == [name]] for frame in pictures]
        assert max(map(len, shown)) == 1, name
    assert LANE.search(raw)
    assert re.search(r"about (\d+ min )?\d+ s left", raw)


def assert_comes_again_from_the_cache(folder: Path, campaign: Path) -> None:
    """The screening of the demo, exported as a campaign file and launched from it, runs no engine."""
    programs = Path(sys.executable).parent
    variables = {"AIIDA_PATH": str(folder / "aiida"), "XDG_CACHE_HOME": str(folder / "cache")}

    def run(program: str, *arguments: str) -> str:
        command = [str(programs / program), *arguments]
        environment = os.environ | variables | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows_of(pk: int) -> dict[str, dict[str, object]]:
        found = json.loads(run("aiida-pet", "results", str(pk), "--format", "json"))["rows"]
        return {row.pop("id"): row for row in found}

    first = json.loads(run("aiida-pet", "status", "last", "--json"))
    run("aiida-pet", "setup")  # starts the daemon, which the demo stopped
    try:
        run("aiida-pet", "export-launch", "last", "-o", str(campaign))
        pk = json.loads(run("aiida-pet", "launch", "screen", str(campaign), "--wait", "--json"))["pk"]
        again = json.loads(run("aiida-pet", "status", str(pk), "--json"))
    finally:
        run("verdi", "daemon", "stop")
    assert pk != first["pk"]
    assert again["jobs_cached"] == len(again["jobs"]) == len(first["jobs"]) > 0
    assert again["statuses"] == first["statuses"]
    assert rows_of(pk) == rows_of(first["pk"])


def assert_second_run_computes_nothing(folder: Path, log: Path, before: dict[str, object]) -> None:
    """The demo over a demo that ended takes all jobs from the cache and tells the same rows."""
    assert start(folder, log).wait(PATIENCE_S) == 0, log.read_text()
    assert "All jobs came from AiiDA's cache" in log.read_text()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["compute_s"] == 0
    for name in ("statuses", "through", "left_at", "known_phases"):
        assert summary[name] == before[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("icet")  # examples/alloys.py, which has the lattice constants, needs it
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

    demo, watched = on_two_terminals(folder)
    assert demo.status == 0, demo.raw
    assert running_in(folder / "aiida") == []
    told = demo.raw
    assert_live(demo, *re.search(r"--wait --json(.*?)\$ aiida-pet status", told, re.DOTALL).groups())  # type: ignore[union-attr]
    assert watched.status == 0, watched.raw
    assert_live(watched, watched.raw)
    for part in (
        "What each stage let through",
        "Space groups",
        "where it comes from",
        "Known phases beside their nearest competitors",
        "Warnings",
        "known phases lie on the hull",
    ):
        assert part in told

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n_structures"] == N_PHASES
    assert summary["statuses"] == {"converged": N_PHASES}
    assert (summary["n_converged"], summary["n_failed"]) == (N_PHASES, 0)
    assert 0 < summary["compute_s"] < summary["engine_s"] < summary["lanes"] * summary["wall_s"]
    wanted = {"e_above_hull", "min_frequency", "bulk_modulus", "shear_modulus", "stage", "symmetry_kept_0_01"}
    assert wanted <= set(summary["columns"])
    assert list(summary["stages"]) == ["relax", "symmetry", "hull", "phonons", "elastic"]
    assert sum(summary["left_at"].values()) == N_PHASES
    # the metals are on the hull, and some compound came through as well
    assert set(summary["known_phases"]) == {"Mo-bcc", "Ta-bcc", "MoTa-B2", "Mo2Ta-C11_b"}
    assert {summary["known_phases"][name] for name in ("Mo-bcc", "Ta-bcc", "MoTa-B2")} == {"found"}
    assert summary["left_at"]["done"] == len(summary["through"]) > 2
    for row in summary["through"]:
        assert row["e_above_hull"] <= 0.025
        assert row["min_frequency"] > -0.1
        assert 20 < row["bulk_modulus"] < 400
    from aiida_pet import models

    assert summary["model_sha256"] == models.sha256_of(models.embedded_path())
    assert_comes_again_from_the_cache(folder, tmp_path / "campaign.yaml")
    assert_second_run_computes_nothing(folder, tmp_path / "second.log", summary)
    assert running_in(folder / "aiida") == []
