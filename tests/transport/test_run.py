"""A job of the transport: its folder, its processes, and what is left of one that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.job.folder import TRANSPORT_FILE, EngineSettings, ExitStatus, JobFolder, JobSpec
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.transport.run import run_transport
from support.third_order import forces_rows, killing

GIVEN = {"mesh": [5, 5, 5], "temperatures": [300.0], "symprecs": [], "opposites": "auto"}


@pytest.fixture(scope="module")
def rows() -> StructureTable:
    return forces_rows({f"Cu-{a}": bulk("Cu", "fcc", a=a) for a in (3.5, 3.55, 3.6)})


@pytest.fixture
def folder(rows, tmp_path):
    def make(name="job", table=rows, **settings) -> JobFolder:
        folder = JobFolder(tmp_path / name)
        spec = JobSpec(Task.CONDUCTIVITY, GIVEN, "", settings=EngineSettings(**({"threads": 2} | settings)))
        folder.write_inputs(spec, table)
        (folder.path / TRANSPORT_FILE).write_text("{}\n")
        return folder

    return make


def test_all_rows_on_two_processes(folder):
    job = folder()
    assert run_transport(job.path) is ExitStatus.OK
    found, damaged = job.read_results()
    assert damaged == []
    assert sorted(found.ids.tolist()) == ["Cu-3.5", "Cu-3.55", "Cu-3.6"]
    assert (found.columns["kappa_300"] > 0).all()
    beat = job.read_progress()
    assert (beat.step, beat.rows_done, beat.statuses) == ("done", 3, {"converged": 3})
    assert beat.memory_mb > 10


def test_job_that_was_killed_goes_on_with_equal_results(folder):
    whole, cut = folder("whole"), folder("cut", threads=1)
    assert run_transport(whole.path) is ExitStatus.OK
    process = subprocess.Popen(
        [sys.executable, "-m", "aiida_pet.engine", str(cut.path)], start_new_session=True
    )
    deadline = time.time() + 60
    while not cut.shards() and time.time() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = [path.stat().st_mtime for path in cut.shards()]
    assert 1 <= len(before) < 3
    assert run_transport(cut.path) is ExitStatus.OK
    assert [path.stat().st_mtime for path in cut.shards()][: len(before)] == before
    assert cut.read_progress().starts == 2
    one, other = (job.read_results()[0].select(["Cu-3.5", "Cu-3.55", "Cu-3.6"]) for job in (whole, cut))
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name], err_msg=name)


def test_signal_ends_it_in_order(folder):
    job = folder(threads=1)
    process = subprocess.Popen([sys.executable, "-m", "aiida_pet.engine", str(job.path)])
    deadline = time.time() + 60
    while not job.shards() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    status = process.wait(timeout=30)
    beat = job.read_progress()
    if status == ExitStatus.OK:  # it was through before the signal came
        assert beat.rows_done == 3
    else:
        assert status == ExitStatus.ROWS_LEFT
        assert beat.step == "stopped"
        assert beat.message.startswith("ROWS_LEFT: signal SIGTERM")


def test_walltime_leaves_rows(folder):
    job = folder(walltime_s=0.0)
    assert run_transport(job.path) is ExitStatus.ROWS_LEFT
    assert job.read_progress().message.startswith("ROWS_LEFT: walltime")


def test_process_that_is_killed_fails_its_row_alone(folder, rows, monkeypatch):
    bad = rows.take([0, 1, 2])
    bad.ids = np.array(["killer", "Cu-3.55", "Cu-3.6"])
    monkeypatch.setattr("aiida_pet.transport.run.transport_of_row", killing)
    job = folder("killed", table=bad)
    assert run_transport(job.path) is ExitStatus.OK
    found = job.read_results()[0].select(["killer", "Cu-3.55", "Cu-3.6"])
    assert found.columns["status"].tolist() == ["failed", "converged", "converged"]
    assert "killed" in found.columns["message"][0]


def test_damaged_shard_is_done_again(folder):
    job = folder()
    job.path.joinpath("results-00000.npz").write_bytes(b"PK nothing")
    assert run_transport(job.path) is ExitStatus.OK
    assert (job.path / "damaged-results-00000.npz").exists()
    assert len(job.read_results()[0]) == 3


def test_job_that_is_none_is_told(folder, tmp_path):
    job = folder()
    (job.path / "job.json").unlink()
    assert run_transport(job.path) is ExitStatus.BAD_JOB


def test_it_runs_without_torch_and_aiida(folder, rows):
    job = folder(table=rows.take([0]))
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'aiida', 'metatomic')))\n"
        "from aiida_pet.engine.__main__ import main\n"
        f"sys.exit(main([{str(job.path)!r}]))"
    )
    script = Path(job.path) / "run.py"  # processes are spawned, and import it
    script.write_text("if __name__ == '__main__':\n" + "\n".join(f"    {line}" for line in code.splitlines()))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(job.read_results()[0]) == 1
