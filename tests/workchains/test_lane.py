"""A lane: what it does with each way in which a job can end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node

from aiida_pet.calculations.staging import StageModelCalculation
from aiida_pet.computers.model_store import Publication
from aiida_pet.data.table import TableData
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.lane import MAX_RESTAGINGS, LaneWorkChain
from aiida_pet.workchains.staging import StagingWorkChain, stage_model
from aiida_pet.workchains.stopping import request_stop
from aiida_pet.workchains.walk import Ending, Walk

Inputs = Callable[..., dict[str, Any]]


def flat(done: list[list[str]]) -> list[str]:
    """The finished rows of all jobs."""
    return [name for job in done for name in job]


@pytest.fixture
def run_lane(batch_inputs: Inputs) -> Callable[..., Any]:
    """Return a function that runs a lane over `ids` and returns (node, results of each job, rows of each job)."""

    def run(
        ids: list[str] | int,
        job_size: int,
        extra: dict[str, Any] | None = None,
        kind: type[LaneWorkChain] = LaneWorkChain,
        **environment: Any,
    ) -> Any:
        inputs = batch_inputs(ids, **environment)
        rows = TableData.from_ids(inputs["structures"].ids)
        inputs |= {"rows": rows, "job_size": job_size} | (extra or {})
        _, node = run_get_node(kind, **inputs)
        jobs = jobs_of(node)
        done = [job.outputs.results.ids.tolist() if "results" in job.outputs else [] for job in jobs]
        return node, done, [job.outputs.summary["rows_total"] for job in jobs]

    return run


def test_lane_walks_its_share_in_jobs(run_lane: Any) -> None:
    node, done, sizes = run_lane(5, 2)
    assert node.is_finished_ok, node.exit_message
    assert sizes == [2, 2, 1]
    assert sorted(flat(done)) == [f"alloy-000{i}" for i in range(5)]


def test_jobs_are_as_long_as_is_wanted_after_a_pilot(run_lane: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aiida_pet.workchains.sharing.PILOT_ROWS", 2)
    paces = []

    def pace_of(summary: Any, n_rows: int, n_atoms: int) -> dict[str, float]:
        paces.append((n_rows, n_atoms, summary["rows_done"]))
        return {"s_per_atom": 1.0, "start_s": 2.0, "rows": float(n_rows)}

    monkeypatch.setattr("aiida_pet.workchains.lane.pace_of", pace_of)
    # crystals of two atoms: eight seconds hold three of them after two of start
    node, done, sizes = run_lane(9, 100, {"job_duration": 8})
    assert node.is_finished_ok, node.exit_message
    assert sizes == [2, 3, 3, 1]
    assert paces == [(2, 4, 2), (3, 6, 3), (3, 6, 3), (1, 2, 1)]
    assert len(set(flat(done))) == 9
    # job_size and the walltime still hold
    assert run_lane(5, 2, {"job_duration": 8})[2] == [2, 2, 1]
    inputs = {"job_duration": 100, "options": {"resources": {"num_machines": 1}, "max_wallclock_seconds": 10}}
    assert run_lane(9, 100, inputs)[2] == [2, 3, 3, 1]


def test_job_of_the_whole_set_needs_no_list_of_rows(run_lane: Any) -> None:
    node, _, _ = run_lane(3, 10)
    assert "rows" not in jobs_of(node)[0].inputs


def test_rows_left_by_the_clock_are_taken_up(run_lane: Any) -> None:
    node, done, sizes = run_lane(7, 4, STAND_IN_ROWS=3)
    assert node.is_finished_ok, node.exit_message
    assert sizes == [4, 4, 1]
    assert len(set(flat(done))) == len(flat(done)) == 7


def test_job_is_given_the_folder_of_the_one_before_only_if_that_left_rows(run_lane: Any) -> None:
    node, _, sizes = run_lane(7, 4, STAND_IN_ROWS=3)
    first, second, third = jobs_of(node)
    assert sizes == [4, 4, 1]
    assert "remote_state" not in first.inputs
    assert second.inputs.remote_state.uuid == first.outputs.remote_folder.uuid
    assert third.inputs.remote_state.uuid == second.outputs.remote_folder.uuid
    in_order, _, _ = run_lane(4, 2)
    assert all("remote_state" not in job.inputs for job in jobs_of(in_order))


def test_memory_makes_jobs_and_batches_smaller(run_lane: Any) -> None:
    node, done, sizes = run_lane(7, 7, {"settings": {"max_batch_cost": 800.0}}, STAND_IN_MEMORY=2)
    assert node.is_finished_ok, node.exit_message
    assert sizes == [7, 3, 2, 2, 1, 2]
    assert len(flat(done)) == 7
    costs = [job.get_metadata_inputs()["settings"]["max_batch_cost"] for job in jobs_of(node)]
    assert costs == [800.0, 400.0, 200.0, 200.0, 200.0, 200.0]


def test_crystal_for_which_memory_is_too_small_is_left_to_jobs_with_more(run_lane: Any) -> None:
    node, done, _ = run_lane(1, 1, STAND_IN_MEMORY=0)
    assert done == [[], []]
    assert node.exit_status == 303
    assert node.exit_message.startswith(
        "Memory ran out twice for rows that were alone in their job (1 such row)"
    )


def test_rows_of_a_broken_machine_are_left_however_few_they_are(run_lane: Any) -> None:
    node, _, sizes = run_lane(2, 1, {"max_failures": 4}, STAND_IN_ABSENT=1)
    assert node.exit_status == 400
    assert sizes == [1] * 4
    assert "with 2 rows left" in node.exit_message
    assert "given_up" not in node.outputs


def test_rows_that_end_every_job_once_a_lane_has_worked_are_left(run_lane: Any) -> None:
    """As on a machine that breaks: engines begin, and then end."""
    ids = ["a_1", "killer_2", "killer_3", "killer_4"]
    node, done, _ = run_lane(ids, 1, {"max_failures": 4})
    assert node.exit_status == 400
    assert flat(done) == ["a_1"]
    assert "with 3 rows left" in node.exit_message
    assert "given_up" not in node.outputs


def test_crystal_that_kills_its_job_is_given_up_and_the_others_finish(run_lane: Any) -> None:
    node, done, _ = run_lane(["a", "b", "c", "killer", "e", "f"], 6)
    assert node.is_finished_ok, node.exit_message
    assert sorted(flat(done)) == ["a", "b", "c", "e", "f"]
    given_up = node.outputs.given_up
    assert given_up.ids.tolist() == ["killer"]
    assert given_up.column("status").tolist() == ["failed"]
    message = given_up.column("message")[0]
    assert message.startswith(
        "given up: the engine broke down twice on this row, the second time in a job with this row alone: The engine "
        "ended without a single"
    )
    assert given_up.to_table().n_atoms.tolist() == [2]


def test_crystal_that_needs_more_time_than_a_job_has_is_left_and_blamed_for_nothing(run_lane: Any) -> None:
    node, done, _ = run_lane(1, 6, STAND_IN_ROWS=0)
    assert done == [[], []]
    assert node.exit_status == 303
    assert node.exit_message == (
        "Time ran out twice for rows that were alone in their job (1 such row): give jobs more (`--walltime`, "
        "`--memory`)."
    )
    assert "given_up" not in node.outputs


def test_step_that_is_done_again_takes_up_the_job_that_it_had_started(run_lane: Any) -> None:
    """As after a worker that was killed between the start of a job and the checkpoint."""
    started = []

    class Again(LaneWorkChain):
        def run_job(self) -> Any:
            before = self.ctx.walk, self.ctx.n_jobs
            first = super().run_job()["job"]
            self.ctx.walk, self.ctx.n_jobs = before
            again = super().run_job()
            started.append((first.pk, again["job"].pk))
            return again

    node, done, _ = run_lane(4, 2, kind=Again)
    assert node.is_finished_ok, node.exit_message
    assert started == [(job.pk, job.pk) for job in jobs_of(node)]
    assert len(flat(done)) == 4


def test_damaged_shard_loses_no_row(run_lane: Any) -> None:
    """Each job loses the first two rows it does: what is left is run again, alone, until it cannot."""
    node, done, sizes = run_lane(6, 6, {"max_failures": 2}, STAND_IN_DAMAGE=1)
    assert done[0] == ["alloy-0002", "alloy-0003", "alloy-0004", "alloy-0005"]
    assert sizes[:2] == [6, 2]
    assert node.exit_status == 400


@pytest.mark.parametrize(
    ("failure", "job_status", "message"),
    [
        ("BAD_JOB", 302, "did not understand its job folder"),
        ("BAD_MODEL", 303, "The model was refused"),
        ("BAD_DEVICE", 304, "The device cannot be used"),
    ],
)
def test_what_would_fail_again_stops_the_lane(
    run_lane: Any, failure: str, job_status: int, message: str
) -> None:
    node, _, sizes = run_lane(4, 2, STAND_IN_FAIL=failure)
    assert node.exit_status == 300
    job = jobs_of(node)[0]
    assert job.exit_status == job_status
    assert node.exit_message.startswith(
        f"Job <{job.pk}> failed, and another job would fail in the same way, so the lane stops: "
    )
    assert message in node.exit_message
    assert len(sizes) == 1


def corrupt(path: Path) -> None:
    """Change the content and not the size."""
    content = path.read_bytes()
    path.write_bytes(b"\0" * 8 + content[8:])


def run_staged_lane(inputs: dict[str, Any], remote: orm.RemoteData, **extra: Any) -> Any:
    rows = TableData.from_ids(inputs["structures"].ids)
    _, node = run_get_node(LaneWorkChain, rows=rows, remote_model=remote, **inputs, **extra)
    return node


@pytest.mark.parametrize("fault", ["corrupted", "purged", "short"])
def test_copy_that_went_bad_is_staged_again_and_every_row_is_done(batch_inputs: Inputs, fault: str) -> None:
    inputs = batch_inputs(4)
    remote = stage_model(inputs["model"], inputs["code"].computer)
    path = Path(remote.get_remote_path(), "model.ckpt")
    if fault == "corrupted":
        corrupt(path)
    elif fault == "short":
        path.write_bytes(b"short")
    else:
        shutil.rmtree(inputs["code"].computer.get_workdir())
    node = run_staged_lane(inputs, remote, job_size=3)
    assert node.is_finished_ok, node.exit_message
    # no row of the refused job is blamed: the next has the same
    told = [(job.exit_status, job.outputs.summary["rows_total"]) for job in jobs_of(node)]
    assert told == [(303, 3), (0, 3), (0, 1)]
    assert sorted(flat([job.outputs.results.ids.tolist() for job in jobs_of(node)[1:]])) == [
        f"alloy-000{i}" for i in range(4)
    ]
    assert path.read_bytes() == inputs["model"].get_content("rb")
    assert len([child for child in node.called if child.process_class is StagingWorkChain]) == 1


def test_model_that_is_refused_though_it_is_whole_stops_the_lane(batch_inputs: Inputs) -> None:
    inputs = batch_inputs(4, STAND_IN_FAIL="BAD_MODEL")
    remote = stage_model(inputs["model"], inputs["code"].computer)
    node = run_staged_lane(inputs, remote, job_size=2)
    assert node.exit_status == 300
    assert len(jobs_of(node)) == MAX_RESTAGINGS + 1
    assert "so the lane stops: The model was refused: as the test asked" in node.exit_message
    # it was looked at each time, and not sent again
    assert not [one for one in node.called_descendants if one.process_class is StageModelCalculation]


def test_restagings_are_counted_in_a_row(generate_workchain: Any, batch_inputs: Inputs) -> None:
    inputs = batch_inputs(2)
    remote = stage_model(inputs["model"], inputs["code"].computer)
    inputs |= {"task": orm.Str("relax"), "rows": TableData.from_ids(inputs["structures"].ids)}
    lane = generate_workchain(LaneWorkChain, inputs | {"job_size": orm.Int(1), "remote_model": remote})
    lane.setup()
    answers = []
    for status in (303, 303, 310, 303, 303, 303):
        walk = Walk.from_dict(lane.ctx.walk)
        walk.next_job()
        lane.ctx.walk = walk.to_dict()
        job = orm.CalcJobNode(computer=inputs["code"].computer)
        job.set_process_state("finished")
        job.set_exit_status(status)
        lane.ctx.job = job.store()
        stopped = lane.inspect_job()
        answers.append((lane.was_model_refused(), None if stopped is None else stopped.status))
    again, on, stop = (True, None), (False, None), (False, 300)
    assert answers == [again, again, on, again, again, stop]


def test_model_that_cannot_be_staged_again_stops_the_lane(
    batch_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = batch_inputs(4)
    remote = stage_model(inputs["model"], inputs["code"].computer)
    corrupt(Path(remote.get_remote_path(), "model.ckpt"))
    publication = (remote.get_remote_path(), Publication.DAMAGED)
    monkeypatch.setattr("aiida_pet.workchains.staging.publish", lambda *_: publication)
    node = run_staged_lane(inputs, remote, job_size=4)
    assert node.exit_status == 300
    assert "its model was refused and could not be uploaded again (process <" in node.exit_message
    assert "2 uploads to" in node.exit_message


def test_folder_that_the_user_gave_is_left_as_it_is(batch_inputs: Inputs, tmp_path: Path) -> None:
    inputs = batch_inputs(2)
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.ckpt").write_bytes(b"another model")
    remote = orm.RemoteData(remote_path=str(folder), computer=inputs["code"].computer).store()
    node = run_staged_lane(inputs, remote, job_size=2)
    assert node.exit_status == 300
    assert len(jobs_of(node)) == 1
    assert (folder / "model.ckpt").read_bytes() == b"another model"


def folders_of(node: Any) -> list[tuple[bool, bool]]:
    """Of each job: is its folder there, and does AiiDA know it as cleaned."""
    remotes = [job.outputs.remote_folder for job in jobs_of(node)]
    return [(Path(remote.get_remote_path()).exists(), remote.is_cleaned) for remote in remotes]


KEPT, GONE = (True, False), (False, True)


def test_folders_are_kept_unless_told_otherwise(run_lane: Any) -> None:
    node, _, _ = run_lane(4, 2)
    assert folders_of(node) == [KEPT, KEPT]


def test_folders_of_jobs_that_ended_well_are_removed_as_the_lane_goes(
    run_lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiida_pet.workchains import lane

    asked: list[list[int]] = []
    clean = lane.clean_folders
    monkeypatch.setattr(lane, "clean_folders", lambda pks: clean(asked.append(list(pks)) or asked[-1]))
    node, done, _ = run_lane(5, 2, {"clean_workdir": True})
    assert node.is_finished_ok, node.exit_message
    assert folders_of(node) == [GONE, GONE, GONE]
    assert len(flat(done)) == 5
    assert [pks for pks in asked if pks] == [[job.pk] for job in jobs_of(node)]


def test_folder_with_the_state_of_rows_stays_until_a_later_job_has_its_own(
    run_lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = []
    in_order = LaneWorkChain._in_order_of_structures

    def look(self: Any, rows: list[int]) -> Any:
        there.append([kept for kept, _ in folders_of(self.node)])
        return in_order(self, rows)

    monkeypatch.setattr(LaneWorkChain, "_in_order_of_structures", look)
    node, _, sizes = run_lane(7, 7, {"clean_workdir": True}, STAND_IN_ROWS=3)
    assert node.is_finished_ok, node.exit_message
    assert sizes == [7, 4, 1]
    # each job that left rows is there when the next is made, which links its state, and gone when that has ended
    assert there == [[], [True], [False, True]]
    assert folders_of(node) == [GONE, GONE, GONE]
    first, second, third = jobs_of(node)
    assert second.inputs.remote_state.uuid == first.outputs.remote_folder.uuid
    assert third.inputs.remote_state.uuid == second.outputs.remote_folder.uuid


def test_folders_of_jobs_that_failed_stay(run_lane: Any) -> None:
    node, _, _ = run_lane(["a", "b", "c", "killer"], 2, {"clean_workdir": True})
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.given_up.ids.tolist() == ["killer"]
    assert folders_of(node) == [GONE if job.is_finished_ok else KEPT for job in jobs_of(node)]
    assert {job.is_finished_ok for job in jobs_of(node)} == {True, False}


@pytest.fixture
def by_hand(generate_workchain: Any, batch_inputs: Inputs) -> Any:
    """A lane that cleans, and a function that ends a job in it by hand and says which folders are removed."""
    from aiida_pet.workchains.walk import Ending

    inputs = batch_inputs(2)
    inputs |= {"task": orm.Str("relax"), "rows": TableData.from_ids(inputs["structures"].ids)}
    inputs |= {"job_size": orm.Int(2), "clean_workdir": orm.Bool(True)}
    lane = generate_workchain(LaneWorkChain, inputs)
    lane.setup()
    work_dir = Path(inputs["code"].computer.get_workdir())
    paths: list[Path] = []

    def end(ending: Ending, finished: set[int], cached: bool = False) -> list[int]:
        job = orm.CalcJobNode(computer=inputs["code"].computer).store()
        if cached:
            job.base.extras.set(job.base.caching.CACHED_FROM_KEY, "an older one")
        path = work_dir / f"job-{len(paths)}"
        path.mkdir(parents=True)
        (path / "state.npz").touch()
        remote = orm.RemoteData(remote_path=str(path), computer=inputs["code"].computer)
        remote.base.links.add_incoming(job, LinkType.CREATE, "remote_folder")
        remote.store()
        paths.append(path)
        lane._clean_after(job, ending, finished)
        return [number for number, one in enumerate(paths) if not one.exists()]

    return lane, end, Ending


def test_state_of_a_job_is_kept_while_those_after_it_only_link_it(by_hand: Any) -> None:
    _, end, ending = by_hand
    assert end(ending.TIME, {0}) == []
    assert end(ending.MODEL, set()) == []  # its state is a link to that of the one before
    assert end(ending.BROKEN, set()) == []
    assert end(ending.TIME, set()) == []
    assert end(ending.BROKEN, {1}) == [0, 3]  # it wrote a state of its own
    assert end(ending.FINISHED, {1}) == [0, 3, 5]


def test_folder_of_a_job_from_the_cache_is_of_another_campaign(by_hand: Any) -> None:
    _, end, ending = by_hand
    assert end(ending.FINISHED, {0}, cached=True) == []
    assert end(ending.FINISHED, {0}) == [1]


def test_computer_that_cannot_be_reached_is_tried_again_later(
    by_hand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, end, ending = by_hand
    reports: list[str] = []
    monkeypatch.setattr(lane, "report", reports.append)

    def unreachable(*_: Any) -> Any:
        raise ConnectionError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(orm.AuthInfo, "get_transport", unreachable)
        assert end(ending.FINISHED, {0}) == []
    assert reports == ["the folders of 1 jobs are not removed yet: ConnectionError: connection refused"]
    assert end(ending.FINISHED, {1}) == [0, 1]
    assert len(reports) == 1


def test_folder_that_cannot_be_removed_is_not_called_cleaned(
    by_hand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane, end, ending = by_hand
    with monkeypatch.context() as patch:
        patch.setattr("aiida_pet.workchains.cleaning.clean_remote", lambda *_: None)
        assert end(ending.FINISHED, {0}) == []
    (pk,) = lane.ctx.to_clean
    assert not orm.load_node(pk).outputs.remote_folder.is_cleaned


def test_broken_machine_stops_the_lane_after_max_failures(run_lane: Any) -> None:
    node, _, sizes = run_lane(6, 6, {"max_failures": 3}, STAND_IN_ABSENT=1)
    assert node.exit_status == 400
    assert len(sizes) == 3
    assert node.exit_message.startswith(
        "3 successive jobs finished no row, so the lane stops with 6 rows left."
    )
    assert "pet-engine: command not found" in node.exit_message


@pytest.fixture
def lane_of_one(generate_workchain: Any, batch_inputs: Inputs) -> Any:
    """A lane whose only row ended a job before, and is in another one."""
    inputs = batch_inputs(1)
    inputs["task"] = orm.Str("relax")
    rows = TableData.from_ids(inputs["structures"].ids)
    lane = generate_workchain(LaneWorkChain, inputs | {"rows": rows, "job_size": orm.Int(1)})
    lane.setup()
    walk = Walk.from_dict(lane.ctx.walk)
    walk.next_job()
    walk.settle(set(), Ending.BROKEN)
    walk.next_job()
    lane.ctx.walk = walk.to_dict()
    lane.ctx.job = orm.CalcJobNode(computer=inputs["code"].computer)
    return lane


def test_job_that_was_killed_by_hand_stops_the_lane_and_blames_no_row(lane_of_one: Any) -> None:
    job = lane_of_one.ctx.job
    job.set_process_state("killed")
    job.store()
    exit_code = lane_of_one.inspect_job()
    assert exit_code.status == 301
    assert exit_code.message.startswith(
        f"Job <{job.pk}> was killed, so the lane stops with 1 row left: `aiida-pet"
    )
    assert Walk.from_dict(lane_of_one.ctx.walk).given_up == {}


@pytest.mark.parametrize("stopped", [False, True])
def test_job_that_was_cancelled_as_the_launch_was_stopped_blames_no_row(
    lane_of_one: Any, stopped: bool
) -> None:
    job = lane_of_one.ctx.job
    job.set_process_state("finished")
    job.set_exit_status(100)
    job.store()
    if stopped:
        request_stop(lane_of_one.node)
    assert lane_of_one.inspect_job() is None
    walk = Walk.from_dict(lane_of_one.ctx.walk)
    assert (walk.waiting_rows, list(walk.given_up)) == (([0], []) if stopped else ([], [0]))
    assert not lane_of_one.has_rows()


def test_unknown_options_are_refused(run_lane: Any) -> None:
    with pytest.raises(ValueError, match=r"unknown options: walltime; known are account"):
        run_lane(2, 2, {"options": {"walltime": 60}})
