import numpy as np
import pytest

from aiida_pet.cli.estimate import (
    BOOKKEEPING_S,
    DEFAULT_PARAMETERS,
    DEFAULT_S_PER_ATOM,
    Rate,
    estimate,
    past_rate,
)
from aiida_pet.data.model import PetModelData
from aiida_pet.engine.job import Task


def test_estimate_of_one_lane_sums_jobs_and_atoms():
    expected = estimate(np.array([2, 2, 4, 8]), lanes=1, job_size=2, rate=Rate(0.5, 10.0, 800.0))
    assert (expected.rows, expected.atoms, expected.jobs, expected.job_size) == (4, 16, 2, 2)
    assert expected.wall_s == pytest.approx(2 * (10 + BOOKKEEPING_S) + 16 * 0.5)
    assert expected.memory_mb == 800.0


def test_estimate_of_lanes_is_that_of_the_slowest():
    rate = Rate(1.0, 0.0, 0.0)
    two = estimate(np.array([10, 10, 10, 10]), lanes=2, job_size=None, rate=rate)
    assert (two.lanes, two.jobs) == (2, 2)
    assert two.wall_s == pytest.approx(BOOKKEEPING_S + 20)


def test_estimate_has_no_more_lanes_than_rows():
    assert estimate(np.array([1, 1]), lanes=8, job_size=None, rate=Rate(1.0, 0.0, 0.0)).lanes == 2


def test_rate_without_past_jobs_is_the_default_and_says_so(own_model):
    rate = past_rate(Task.STATIC, own_model)
    assert rate.s_per_atom == DEFAULT_S_PER_ATOM["static"]
    assert "no past job with this model" in rate.basis


def test_default_rate_of_a_larger_model_is_scaled(tmp_path, aiida_profile):
    path = tmp_path / "large.ckpt"
    path.write_bytes(str(tmp_path).encode())
    card = {"name": "large", "elements": [74], "outputs": ["energy"], "n_parameters": 10 * DEFAULT_PARAMETERS}
    rate = past_rate(Task.RELAX, PetModelData.from_card(path, card).store())
    assert rate.s_per_atom == pytest.approx(10 * DEFAULT_S_PER_ATOM["relax"])
    assert "times 10 for a model so much larger" in rate.basis


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
