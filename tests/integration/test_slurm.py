"""Two lanes over a real SLURM queue at the same time, each with a GPU of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from services.comparison import assert_same_rows
from services.profile import Profile, Row, isolated_profile
from services.slurm import N_GPUS, Slurm

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

NOTE = "gpu.txt"  # what a job writes of itself, in its folder


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
