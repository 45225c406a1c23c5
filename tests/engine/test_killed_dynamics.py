"""A job of dynamics that is killed with signal 9 in the middle, three times, and its path and frames all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec
from aiida_pet.job.tasks import Task
from aiida_pet.job.trajectory_files import Trajectories, segments_of
from aiida_pet.tables.crystals import StructureTable

STEPS = 400


def job(path: Path, table: StructureTable, model_file: tuple[Path, str]) -> JobFolder:
    folder = JobFolder(path)
    parameters = {
        "ensemble": "nvt",
        "thermostat": "langevin",
        "rotation": "random",
        "temperature": 600.0,
        "equilibration_steps": 100,
        "steps": STEPS - 100,
        "frames_every": 7,
        "sample_every": 5,
        "symprecs": (),
    }
    settings = EngineSettings(device="cpu", threads=1, flush_interval_s=0.2)
    folder.write_inputs(
        JobSpec(Task.MD, parameters, model_file[1], model_path=str(model_file[0]), settings=settings), table
    )
    return folder


def engine(folder: JobFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "aiida_pet.engine", str(folder.path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def kill_in_the_middle(folder: JobFolder, after: float) -> None:
    """Start the engine, and kill it ``after`` s after it wrote a state of its own."""
    state = folder.path / "state.npz"
    before = state.stat().st_mtime_ns if state.exists() else 0
    process = engine(folder)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if state.exists() and state.stat().st_mtime_ns > before:
            break
        time.sleep(0.01)
    time.sleep(after)
    assert process.poll() is None, "it was done before it was killed"
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_no_frame_is_lost_and_none_is_there_twice(tmp_path, model_file, alloys):
    table = alloys(2, seed=4)
    whole = job(tmp_path / "whole", table, model_file)
    killed = job(tmp_path / "killed", table, model_file)
    assert engine(whole).wait() == ExitStatus.OK
    expected = Trajectories(segments_of(whole.path))
    rng = np.random.default_rng()
    for _ in range(3):
        kill_in_the_middle(killed, rng.uniform(0.0, 0.5))
        found = Trajectories(segments_of(killed.path))
        for name in found.ids:  # what is there is right and without a gap
            steps = found.read(name).series["steps"]
            np.testing.assert_array_equal(steps, 7 * np.arange(len(steps)))
    assert engine(killed).wait() == ExitStatus.OK
    found = Trajectories(segments_of(killed.path))
    for name in table.ids.tolist():
        one, other = expected.read(name), found.read(name)
        assert len(one) == STEPS // 7 + 1
        for series, values in one.series.items():
            np.testing.assert_array_equal(other.series[series], values, err_msg=f"{name} {series}")
    results, _ = killed.read_results()
    reference, _ = whole.read_results()
    assert results is not None
    assert reference is not None
    for column, values in reference.select(table.ids).columns.items():
        np.testing.assert_array_equal(results.select(table.ids).columns[column], values, err_msg=column)
