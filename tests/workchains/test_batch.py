"""A batch: shares, one copy of the model, lanes at the same time, one table; nothing is run twice with caching on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.calculations.staging import StageModelCalculation, find_staged_model
from aiida_pet.data.table import TableData
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.lane import LaneWorkChain
from aiida_pet.workchains.staging import StagingWorkChain

Inputs = Callable[..., dict[str, Any]]

SIZES = [1, 3, 1, 2, 1, 1, 4]


@pytest.fixture(scope="module")
def campaign(module_inputs: Inputs) -> Any:
    """A finished batch of 7 crystals in 2 lanes and jobs of 2."""
    inputs = module_inputs([f"c{i}" for i in range(7)], SIZES)
    _, node = run_get_node(BatchWorkChain, lanes=2, job_size=2, **inputs)
    assert node.is_finished_ok, node.exit_message
    return node


def called(node: Any, process_class: type) -> list[Any]:
    return [child for child in node.called if child.process_class is process_class]


def test_results_are_in_the_order_of_the_input(campaign: Any) -> None:
    results = campaign.outputs.results
    assert results.ids.tolist() == [f"c{i}" for i in range(7)]
    assert results.column("energy").tolist() == [-16.0 * size for size in SIZES]
    assert results.base.attributes.get("counts")["status"] == {"converged": 7}


def test_lanes_share_the_rows_and_walk_in_jobs(campaign: Any) -> None:
    lanes = sorted(called(campaign, LaneWorkChain), key=lambda lane: lane.pk)
    assert [lane.inputs.rows.ids.tolist() for lane in lanes] == [["c6", "c0", "c2"], ["c1", "c3", "c4", "c5"]]
    sizes = [[job.outputs.summary["rows_total"] for job in jobs_of(lane)] for lane in lanes]
    assert sizes == [[2, 1], [2, 2]]


def test_model_was_uploaded_once_for_all_jobs(campaign: Any) -> None:
    (staging,) = called(campaign, StagingWorkChain)
    assert [child.process_class for child in staging.called].count(StageModelCalculation) == 1
    linked = {job.inputs.remote_model.uuid for job in jobs_of(campaign)}
    assert linked == {staging.outputs.remote_model.uuid}


def test_summary_adds_up_the_jobs(campaign: Any) -> None:
    summary = campaign.outputs.summary.get_dict()
    assert (summary["rows"], summary["rows_done"], summary["rows_left"]) == (7, 7, 0)
    assert summary["statuses"] == {"converged": 7}
    assert (summary["n_jobs"], summary["n_jobs_cached"]) == (4, 0)
    assert summary["evaluations"] == 49
    assert summary["engine_s"] == pytest.approx(sum(job["engine_s"] for job in summary["jobs"]))
    assert 0 < summary["compute_s"] < summary["engine_s"] < summary["job_wall_s"]


def test_same_launch_with_caching_on_runs_no_engine(campaign: Any, caching: None) -> None:
    inputs = {
        name: campaign.inputs[name] for name in ("task", "code", "model", "structures", "lanes", "job_size")
    }
    options = campaign.get_metadata_inputs()["options"]
    faster = options | {
        "max_wallclock_seconds": 600,
        "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 2},
    }
    _, again = run_get_node(BatchWorkChain, options=faster, settings={"threads": 2}, **inputs)
    assert again.is_finished_ok, again.exit_message
    assert all(job.base.caching.is_created_from_cache for job in jobs_of(again))
    assert again.outputs.summary["n_jobs_cached"] == 4
    assert again.outputs.summary["engine_s"] == 0
    assert not called(again, StagingWorkChain)
    assert (
        again.outputs.results.column("energy").tolist() == campaign.outputs.results.column("energy").tolist()
    )


def test_cleaning_changes_no_hash_and_leaves_the_folders_of_jobs_from_the_cache(
    module_inputs: Inputs,
) -> None:
    inputs = module_inputs(["one", "two", "three"])
    _, first = run_get_node(BatchWorkChain, job_size=2, **inputs)
    _, again = run_get_node(BatchWorkChain, job_size=2, reuse=True, clean_workdir=True, **inputs)
    for node in (first, again):
        assert node.is_finished_ok, node.exit_message
        for job in jobs_of(node):
            assert job.base.caching.is_created_from_cache is (node is again)
            assert Path(job.outputs.remote_folder.get_remote_path(), "job.json").exists()


def test_chosen_rows_come_in_their_own_order(module_inputs: Inputs) -> None:
    rows = TableData.from_ids(["c3", "c0"])
    _, node = run_get_node(BatchWorkChain, rows=rows, **module_inputs([f"c{i}" for i in range(5)]))
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.ids.tolist() == ["c3", "c0"]


def test_single_job_that_did_it_all_is_not_stored_twice(module_inputs: Inputs) -> None:
    _, node = run_get_node(BatchWorkChain, **module_inputs(3))
    assert node.outputs.results.uuid == jobs_of(node)[0].outputs.results.uuid


def test_rows_that_failed_physically_are_no_failure_of_the_batch(module_inputs: Inputs) -> None:
    _, node = run_get_node(BatchWorkChain, **module_inputs(["a", "max_steps-b"]))
    assert node.is_finished_ok
    assert node.outputs.summary["statuses"] == {"converged": 1, "max_steps": 1}


def test_killer_has_failed_and_the_others_are_done(module_inputs: Inputs) -> None:
    inputs = module_inputs(["a", "killer_0.5", "soft"]) | {"task": "phonons"}
    _, node = run_get_node(BatchWorkChain, lanes=2, **inputs)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.row("killer_0.5")["status"] == "failed"
    assert results.row("killer_0.5")["message"].startswith(
        "given up: the engine broke down twice on this row, the second time in a job with this row alone: The"
    )
    assert results.base.attributes.get("counts")["status"] == {"converged": 2, "failed": 1}
    assert node.outputs.summary["rows_left"] == 0
    # it was not relaxed, and nobody looked at its space group and phonons
    frame = results.to_dataframe()
    assert frame["n_steps"].tolist() == [7, 0, 7]
    assert frame["spacegroup_0_01"].tolist() == [229, pd.NA, 229]
    assert frame["is_dynamically_stable"].tolist() == [True, pd.NA, False]
    assert results.row("killer_0.5")["is_dynamically_stable"] is None


def test_lanes_that_stop_early_leave_rows_and_say_why(module_inputs: Inputs) -> None:
    inputs = module_inputs(4, STAND_IN_ROWS=1, STAND_IN_MEMORY=2)
    inputs["settings"] = {"max_batch_cost": 8.0}
    _, node = run_get_node(BatchWorkChain, lanes=2, job_size=2, max_failures=1, **inputs)
    assert node.is_finished_ok  # each job of two does one row and goes on with the other
    assert node.outputs.summary["n_jobs"] == 4


def test_no_results_at_all_say_why(module_inputs: Inputs) -> None:
    _, node = run_get_node(BatchWorkChain, **module_inputs(3, STAND_IN_FAIL="BAD_DEVICE"))
    assert node.exit_status == 301
    assert node.exit_message.startswith("No row has a result. Job <")
    assert "The device cannot be used: as the test asked. Ask the queue for a GPU" in node.exit_message


def test_staging_that_fails_says_so(generate_workchain: Any, module_inputs: Inputs) -> None:
    batch = generate_workchain(BatchWorkChain, module_inputs(2) | {"task": orm.Str("relax")})
    staging = orm.WorkChainNode()
    staging.set_process_state("excepted")
    batch.ctx.staging = staging.store()
    exit_code = batch.inspect_stage()
    label = batch.inputs.code.computer.label
    assert exit_code.status == 300
    assert (
        f"could not be brought to computer `{label}` (process <{staging.pk}>). It gave" in exit_code.message
    )
    assert f"`verdi computer test {label}`" in exit_code.message


def test_staged_model_that_is_given_is_taken(module_inputs: Inputs) -> None:
    inputs = module_inputs(1)
    run_get_node(BatchWorkChain, **inputs)
    remote = find_staged_model(inputs["model"], inputs["code"].computer)
    _, node = run_get_node(BatchWorkChain, remote_model=remote, **module_inputs(2))
    assert jobs_of(node)[0].inputs.remote_model.uuid == remote.uuid


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "melt"}, "unknown task 'melt': expected one of static, relax"),
        ({"parameters": {"fmaks": 1}}, "bad parameters of relax:\n  fmaks: unknown; known are"),
        ({"settings": {"gpu": 1}}, "settings.gpu: unknown"),
        ({"options": {"walltime": 1}}, r"unknown options: walltime; known are account"),
        ({"options": {"max_wallclock_seconds": "1h"}}, "max_wallclock_seconds"),
        ({"lanes": 0}, "lanes = 0: expected a whole number >= 1"),
        ({"job_size": -1}, "job_size = -1: expected a whole number >= 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_inputs_are_refused_at_submission(
    module_inputs: Inputs, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_get_node(BatchWorkChain, **(module_inputs(2) | change))


def test_too_many_jobs_are_refused(module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiida_pet.workchains.batch.MAX_JOBS", 2)
    with pytest.raises(
        ValueError, match=r"job_size = 1 cuts 5 rows into 5 jobs, but at most 2 .*: use a job_size of 3"
    ):
        run_get_node(BatchWorkChain, job_size=1, **module_inputs(5))


def test_builder_takes_the_protocol_of_the_task(module_inputs: Inputs) -> None:
    inputs = module_inputs(2)
    builder = BatchWorkChain.get_builder_from_protocol(
        inputs["code"], inputs["model"], inputs["structures"], task="static", protocol="fast", lanes=3
    )
    assert builder.task.value == "static"
    assert builder.parameters["dtype"] == "float32"
    assert builder.lanes.value == 3
    assert "fmax" not in builder.parameters.get_dict()


def test_lanes_that_are_started_again_are_those_that_run(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a worker that was killed between the start of the lanes and the checkpoint."""
    launch_lanes = BatchWorkChain.launch_lanes

    def launch_twice(self: Any) -> None:
        launch_lanes(self)
        self._awaitables.clear()
        launch_lanes(self)

    monkeypatch.setattr(BatchWorkChain, "launch_lanes", launch_twice)
    _, node = run_get_node(BatchWorkChain, lanes=2, **module_inputs(4))
    assert node.is_finished_ok, node.exit_message
    assert len(called(node, LaneWorkChain)) == 2
    assert len(node.outputs.results) == 4


def test_rows_that_two_jobs_did_are_there_once(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiida_pet.workchains.batch.called_as", lambda *_: None)

    class Twice(BatchWorkChain):
        def launch_lanes(self) -> None:
            super().launch_lanes()
            super().launch_lanes()

    inputs = module_inputs(["a", "b", "max_steps-c"])
    _, node = run_get_node(Twice, lanes=2, **inputs)
    assert node.is_finished_ok, node.exit_message
    assert len(called(node, LaneWorkChain)) == 4
    assert node.outputs.results.ids.tolist() == ["a", "b", "max_steps-c"]
    assert node.outputs.results.base.attributes.get("counts")["status"] == {"converged": 2, "max_steps": 1}
    assert any(
        "computed twice, by two jobs: 3 rows" in log.message for log in orm.Log.collection.get_logs_for(node)
    )
