"""How far a campaign is: from summaries of finished jobs and live heartbeats of running ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common import LinkType
from aiida.engine import run_get_node

from aiida_pet.campaigns.progress import Heartbeats, campaign_progress
from aiida_pet.campaigns.resumption import resume_builder
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import PROGRESS_FILE, Progress
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.lane import LANE_TYPE

Inputs = Callable[..., dict[str, Any]]


def test_finished_batch_is_told_from_its_jobs(module_inputs: Inputs) -> None:
    _, node = run_get_node(BatchWorkChain, lanes=2, job_size=1, **module_inputs(["a", "max_steps-b", "c"]))
    progress = campaign_progress(node)
    assert (progress.rows_total, progress.rows_done, progress.rows_left) == (3, 3, 0)
    assert progress.statuses == {"converged": 2, "max_steps": 1}
    told = sorted((lane.rows_total, lane.rows_done, len(lane.jobs)) for lane in progress.lanes)
    assert told == [(1, 1, 1), (2, 2, 2)]
    assert sorted(pk for lane in progress.lanes for pk in lane.jobs) == [job.pk for job in progress.jobs]
    assert progress.finished
    assert progress.state == "finished [0]"
    assert progress.eta_s is None
    assert progress.rate == 0
    assert progress.engine_s == pytest.approx(node.outputs.summary["engine_s"])


@pytest.fixture
def running_lane(module_inputs: Inputs, tmp_path: Path) -> Callable[..., Any]:
    """Return a factory of a batch that runs: one lane of 10 rows, one job, with or without a heartbeat."""

    def make(heartbeat: Progress | str | None) -> Any:
        inputs = module_inputs(10)
        batch = orm.WorkChainNode(process_type="aiida.workflows:pet.batch")
        batch.base.links.add_incoming(inputs["structures"], LinkType.INPUT_WORK, "structures")
        batch.set_process_state("waiting")
        batch.store()
        lane = orm.WorkChainNode(process_type=LANE_TYPE)
        rows = TableData.from_ids(inputs["structures"].ids).store()
        lane.base.links.add_incoming(rows, LinkType.INPUT_WORK, "rows")
        lane.base.links.add_incoming(batch, LinkType.CALL_WORK, "lane_000")
        lane.set_process_state("waiting")
        lane.store()
        job = orm.CalcJobNode(computer=inputs["code"].computer, process_type="aiida.calculations:pet.relax")
        job.base.links.add_incoming(inputs["structures"], LinkType.INPUT_CALC, "structures")
        job.base.links.add_incoming(lane, LinkType.CALL_CALC, "job_00000")
        job.set_remote_workdir(str(tmp_path))
        job.set_process_state("waiting")
        job.store()
        if heartbeat is not None:
            text = heartbeat if isinstance(heartbeat, str) else heartbeat.to_json()
            (tmp_path / PROGRESS_FILE).write_text(text)
        return batch

    return make


def test_running_job_is_told_from_its_heartbeat(running_lane: Any) -> None:
    now = time.time()
    heartbeat = Progress(
        rows_total=10,
        rows_done=4,
        statuses={"converged": 4},
        rate=2.0,
        engine_s=5.0,
        step="running",
        updated=now,
    )
    progress = campaign_progress(running_lane(heartbeat))
    assert (progress.rows_total, progress.rows_done) == (10, 4)
    assert progress.statuses == {"converged": 4}
    assert progress.rate == 2.0
    assert progress.eta_s == pytest.approx(3.0)
    assert progress.engine_s == 5.0
    assert not progress.finished
    assert (progress.jobs[0].step, progress.jobs[0].updated) == ("running", now)


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({"step": "running", "eta_s": 100.0}, 70.0),
        ({"step": "running", "eta_s": 10.0}, 0.0),
        ({"step": "running"}, None),
        ({"step": "loading", "eta_s": 100.0}, None),
        ({"step": "done"}, 0.0),
    ],
)
def test_time_left_of_an_engine_is_counted_from_its_heartbeat(
    running_lane: Any, told: dict[str, Any], left: float | None
) -> None:
    heartbeat = Progress(rows_total=10, updated=time.time() - 30.0, **told)
    found = campaign_progress(running_lane(heartbeat)).jobs[0].left_s
    assert found == (None if left is None else pytest.approx(left, abs=3.0))


@pytest.mark.parametrize("heartbeat", [None, "{ half a heartb"], ids=["none", "damaged"])
def test_job_without_a_heartbeat_has_done_nothing_yet(running_lane: Any, heartbeat: str | None) -> None:
    progress = campaign_progress(running_lane(heartbeat))
    assert (progress.rows_total, progress.rows_done) == (10, 0)
    assert progress.eta_s is None
    assert progress.jobs[0].step == ""


def test_computer_that_cannot_be_reached_is_no_failure(
    running_lane: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    batch = running_lane(Progress(rows_total=10, rows_done=4, step="running"))

    def unreachable(*_: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr(orm.AuthInfo, "get_transport", unreachable)
    assert campaign_progress(batch).rows_done == 0
    assert "cannot read heartbeats from computer" in caplog.text
    assert "no route to host" in caplog.text


def test_rows_given_up_count_as_done(module_inputs: Inputs) -> None:
    _, node = run_get_node(BatchWorkChain, **module_inputs(["a", "killer", "c"]))
    progress = campaign_progress(node)
    assert (progress.rows_done, progress.rows_left) == (3, 0)
    assert progress.statuses == {"converged": 2, "failed": 1}
    assert [lane.rows_done for lane in progress.lanes] == [3]


def test_campaign_that_needed_no_job_has_done_all(module_inputs: Inputs) -> None:
    _, first = run_get_node(BatchWorkChain, **module_inputs(2))
    _, again = run_get_node(resume_builder(first))
    assert campaign_progress(again).jobs == []
    assert (campaign_progress(again).rows_done, campaign_progress(again).rows_total) == (2, 2)


def test_computer_is_connected_to_no_more_often_than_it_wants(
    running_lane: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = running_lane(Progress(rows_total=10, rows_done=4, step="running"))
    heartbeats = Heartbeats()

    def rows_done() -> int:
        return campaign_progress(batch, heartbeats=heartbeats).rows_done

    monkeypatch.setattr(
        "aiida.transports.plugins.local.LocalTransport.get_safe_open_interval", lambda _: 60.0
    )
    assert rows_done() == 4
    (tmp_path / PROGRESS_FILE).write_text(Progress(rows_total=10, rows_done=7, step="running").to_json())
    assert rows_done() == 4
    now = time.monotonic()
    monkeypatch.setattr("aiida_pet.campaigns.progress.time.monotonic", lambda: now + 61.0)
    assert rows_done() == 7


def test_rows_of_the_launch_before_count_as_done(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def after_one_job(lane: Any) -> bool:
        asked.append(lane)
        return len(asked) == 2

    monkeypatch.setattr("aiida_pet.workchains.lane.is_stop_requested", after_one_job)
    _, first = run_get_node(BatchWorkChain, job_size=2, **module_inputs(["a", "max_steps-b", "c", "d", "e"]))
    assert campaign_progress(first).rows_done == 2
    _, again = run_get_node(resume_builder(first))
    progress = campaign_progress(again)
    assert [lane.rows_total for lane in progress.lanes] == [3]
    assert (progress.rows_total, progress.rows_done, progress.rows_left) == (5, 5, 0)
    assert progress.statuses == {"converged": 4, "max_steps": 1}
