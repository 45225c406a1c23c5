import numpy as np
import pytest

from aiida_pet.campaigns.estimates import (
    BOOKKEEPING_S,
    DEFAULT_PARAMETERS,
    Rate,
    estimate_at,
    past_rate,
)
from aiida_pet.data.model import PetModelData
from aiida_pet.job.tasks import Task, entry_of


def test_estimate_of_one_lane_sums_jobs_and_atoms():
    expected = estimate_at(Rate(0.5, 10.0, 800.0), np.array([2, 2, 4, 8]), lanes=1, job_size=2)
    assert (expected.rows, expected.atoms, expected.jobs, expected.job_size) == (4, 16, 2, 2)
    assert expected.wall_s == pytest.approx(2 * (10 + BOOKKEEPING_S) + 16 * 0.5)
    assert expected.memory_mb == 800.0


def test_estimate_of_lanes_is_that_of_the_slowest():
    rate = Rate(1.0, 0.0, 0.0)
    two = estimate_at(rate, np.array([10, 10, 10, 10]), lanes=2, job_size=None)
    assert (two.lanes, two.jobs) == (2, 2)
    assert two.wall_s == pytest.approx(BOOKKEEPING_S + 20)


def test_estimate_has_no_more_lanes_than_rows():
    assert estimate_at(Rate(1.0, 0.0, 0.0), np.array([1, 1]), lanes=8, job_size=None).lanes == 2


def test_rate_without_past_jobs_is_the_default_and_says_so(own_model):
    rate = past_rate(Task.STATIC, own_model)
    assert rate.s_per_atom == entry_of(Task.STATIC).seconds_per_atom
    assert "the profile has no past job with this model" in rate.basis


def test_default_rate_of_a_larger_model_is_scaled(tmp_path, aiida_profile):
    path = tmp_path / "large.ckpt"
    path.write_bytes(str(tmp_path).encode())
    card = {"name": "large", "elements": [74], "outputs": ["energy"], "n_parameters": 10 * DEFAULT_PARAMETERS}
    rate = past_rate(Task.RELAX, PetModelData.from_card(path, card).store())
    assert rate.s_per_atom == pytest.approx(10 * entry_of(Task.RELAX).seconds_per_atom)
    assert "times 10 since this model is larger" in rate.basis


def test_rate_is_taken_from_past_jobs_of_the_same_task(launch, alloys_file):
    node = launch("relax", alloys_file, "--lanes", 2)
    model = node.inputs.model
    records = node.outputs.summary["jobs"]
    rate = past_rate(Task.RELAX, model)
    assert rate.jobs == len(records) == 2
    assert rate.s_per_atom == pytest.approx(sum(record["compute_s"] for record in records) / 42)
    assert rate.memory_mb == 123.0
    assert rate.basis == "2 past jobs with this model on cpu"
    assert past_rate(Task.STATIC, model).jobs == 0


# 0.25 s for a row of two atoms, and 10 s until the first batch
EIGHTH = Rate(0.125, 10.0, 0.0)


@pytest.mark.parametrize(
    ("limits", "jobs", "job_size"),
    [
        # a small one of 64 rows, then what is left of a minute after the start: 64 + 4 * 200 + 136
        ({}, 6, 200),
        # 0.8 of the walltime: 64 + 7 * 120 + 96
        ({"walltime": 50}, 9, 120),
        # never more than is allowed: 64 + 9 * 100 + 36
        ({"job_size": 100}, 11, 100),
    ],
)
def test_estimate_of_timed_jobs_begins_small_and_goes_on_by_the_rate(limits, jobs, job_size):
    given = {"job_size": None} | limits
    expected = estimate_at(EIGHTH, np.full(1000, 2), job_duration=60, **given)
    assert (expected.pilot_size, expected.jobs, expected.job_size) == (64, jobs, job_size)
    assert expected.wall_s == pytest.approx(jobs * (10 + BOOKKEEPING_S) + 250)
    assert estimate_at(EIGHTH, np.full(1000, 2), **given).pilot_size is None


def test_estimate_of_timed_jobs_grows_no_faster_than_a_lane_does():
    # an hour has room for all, but after 64 rows no lane goes beyond 20 times as many
    expected = estimate_at(Rate(1e-6, 0.0, 0.0), np.ones(6000, int), lanes=2, job_duration=3600)
    assert (expected.lanes, expected.jobs, expected.job_size) == (2, 2 * 3, 3000 - 64 - 1280)


def test_what_was_measured_elsewhere_is_told():
    past = Rate(0.5, 10.0, 800.0, jobs=3, device="cuda:0", computer="cluster")
    assert past.elsewhere("cuda", "cluster") == past.elsewhere("", "cluster") == ""
    assert past.elsewhere("cpu", "cluster") == past.elsewhere("cuda", "here") == "cuda:0 of cluster"
    default = Rate(0.5, 10.0, 800.0)
    assert default.elsewhere("", "here") == default.elsewhere("cpu", "here") == ""
    assert default.elsewhere("cuda", "here") == "one CPU core"


def test_dry_run_warns_of_a_time_of_another_device(launch, invoke, read, alloys_file, site):
    launch("relax", alloys_file)
    on_gpu = [*site, "--setting", "device=cuda", "--dry-run"]
    told = " ".join(invoke("launch", "relax", alloys_file, *on_gpu).stderr.split())
    assert "Warning: the time was measured on cpu of " in told
    assert read("launch", "relax", alloys_file, *on_gpu)["elsewhere"].startswith("cpu of ")
    told = invoke("launch", "screen", alloys_file, *on_gpu, "--stages", "relax").stderr
    assert "was measured on cpu of" in " ".join(told.split())
    same = [*site, "--setting", "device=cpu", "--dry-run"]
    assert "was measured" not in invoke("launch", "relax", alloys_file, *same).stderr
