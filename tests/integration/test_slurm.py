"""Two lanes over a real SLURM queue: at the same time, each with a GPU of its own; stopped, and taken up."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from support.services.comparison import assert_same_rows
from support.services.profile import Profile, Row, isolated_profile
from support.services.slurm import N_GPUS, Slurm

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

NOTE = "gpu.txt"  # what a job writes of itself, in its folder
N_RATTLED = 200
PATIENCE_S = 300


def seen_gpus(profile: Profile) -> dict[int, str]:
    """Return CUDA_VISIBLE_DEVICES as the jobs saw it, by SLURM's id of the job."""
    notes = (path.read_text().split() for path in (profile.folder / "work").rglob(NOTE))
    return {int(job): gpu for job, gpu in notes}


def test_two_lanes_run_at_once_each_on_its_own_gpu(
    slurm: Slurm, crystals: Path, embedded_rows: dict[str, Row]
) -> None:
    with isolated_profile(slurm.environment) as profile:
        profile.set_up()
        code = profile.make_computer("cluster", scheduler="core.slurm")
        _, rows = profile.relax(
            crystals,
            code,
            "--option=custom_scheduler_commands='#SBATCH --gres=gpu:1'",
            f"--option=prepend_text=echo $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES > {NOTE}; sleep 3",
        )
        gpus = seen_gpus(profile)

    assert_same_rows(rows, embedded_rows)
    jobs = {job.job_id: job for job in slurm.finished()}
    assert {job.state for job in jobs.values()} == {"COMPLETED"}
    assert gpus.keys() == jobs.keys()
    assert len(jobs) == N_GPUS
    one, other = jobs.values()
    assert max(one.start, other.start) < min(one.end, other.end)
    assert sorted(gpus.values()) == [str(number) for number in range(N_GPUS)]


def rattled() -> list[Atoms]:
    """Return crystals of which the engine writes some before it has finished all."""
    crystals = []
    for number in range(N_RATTLED):
        crystal = bulk("W", cubic=True).repeat((2, 1, 1))
        crystal.rattle(0.1, seed=number)
        crystal.info["id"] = f"rattled-{number:04d}"
        crystals.append(crystal)
    return crystals


def test_stopped_campaign_keeps_what_its_jobs_had_finished_and_goes_on(slurm: Slurm, tmp_path: Path) -> None:
    path = tmp_path / "rattled.xyz"
    write(path, rattled())
    with isolated_profile(slurm.environment) as profile:
        profile.set_up()
        engine, go = profile.held_engine()
        code = profile.make_computer("cluster", scheduler="core.slurm", executable=engine)
        pk = profile.launch(path, code, "--setting=flush_interval_s=0")
        deadline = time.monotonic() + PATIENCE_S
        while not profile.status(pk)["rows_done"]:
            assert time.monotonic() < deadline, f"no row in {PATIENCE_S} s"
        profile.pet("stop", str(pk))
        go.touch()
        stopped = profile.rows(pk)
        done = {name for name, row in stopped.items() if row["status"] != "left"}
        again = json.loads(profile.pet("resume", str(pk), "--wait", "--json"))
        rows = profile.rows(again["pk"])
    assert {job.state.split()[0] for job in slurm.finished()} == {"CANCELLED", "COMPLETED"}
    assert 0 < len(done) < N_RATTLED
    assert sum(job["rows_done"] for job in again["jobs"]) == N_RATTLED - len(done)
    assert {row["status"] for row in rows.values()} == {"converged"}
    assert len(rows) == N_RATTLED
    for name in done:
        assert rows[name]["energy"] == stopped[name]["energy"]
