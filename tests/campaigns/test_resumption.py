"""A campaign stopped between two jobs, and taken up by another: every row once, and only what is left is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.orm import Int

from aiida_pet.calculations.relax import RelaxCalculation
from aiida_pet.campaigns.errors import NotResumableError
from aiida_pet.campaigns.report import status
from aiida_pet.campaigns.resumption import (
    computed_again,
    resume_builder,
    what_is_done,
    without_given_up,
)
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.done import current
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.stopping import is_stop_requested, request_stop

Inputs = Callable[..., dict[str, Any]]


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Return a function: all is stopped once lanes ask the n-th time; None lets them go on."""

    def after(count: int | None) -> None:
        asked: list[orm.ProcessNode] = []

        def stopped() -> bool:
            return count is not None and len(asked) >= count

        def requested(node: orm.ProcessNode) -> bool:
            asked.append(node)
            return stopped()

        monkeypatch.setattr("aiida_pet.workchains.lane.is_stop_requested", requested)
        monkeypatch.setattr("aiida_pet.workchains.screening.is_stop_requested", lambda _: stopped())

    return after


@pytest.fixture(scope="module")
def whole(module_inputs: Inputs) -> dict[str, Any]:
    """Inputs, and the results of a campaign that nobody stopped."""
    inputs = module_inputs(["a", "max_steps", "c", "d", "e"])
    _, node = run_get_node(RelaxWorkChain, **inputs)
    return inputs | {"results": node.outputs.results}


def relax(inputs: dict[str, Any], **more: Any) -> Any:
    known = {name: value for name, value in inputs.items() if name != "results"}
    return run_get_node(RelaxWorkChain, **known, **more)[1]


def test_a_mark_on_a_process_stops_those_below_it(module_inputs: Inputs) -> None:
    node = relax(module_inputs(2))
    lane = node.called[-1]
    assert not is_stop_requested(lane)
    request_stop(node)
    assert is_stop_requested(lane)
    assert is_stop_requested(node)


def test_stopped_lanes_say_so_and_the_rest_is_left(whole: dict[str, Any], stop_after: Any) -> None:
    stop_after(2)
    node = relax(whole, job_size=2)
    assert node.exit_status == 400
    assert f"Stopped as asked, with 3 rows left: `aiida-pet resume {node.pk}`" in node.exit_message
    assert len(jobs_of(node)) == 1
    assert node.outputs.summary["rows_left"] == 3


@pytest.mark.parametrize("lanes", [1, 2])
def test_resumed_campaign_computes_what_is_left_and_has_every_row_once(
    whole: dict[str, Any], stop_after: Any, lanes: int
) -> None:
    stop_after(3)
    first = relax(whole, job_size=1)
    done = {name for table in what_is_done(first)[""].values() for name in table.ids.tolist()}
    assert len(done) == 2
    stop_after(None)
    builder = resume_builder(first)
    builder.lanes = Int(lanes)
    _, second = run_get_node(builder)
    assert second.is_finished_ok, second.exit_message
    jobs = jobs_of(second)
    computed = [name for job in jobs for name in job.outputs.results.ids.tolist()]
    assert sorted(computed) == sorted({"a", "max_steps", "c", "d", "e"} - done)
    assert len([one for one in second.called if one.process_label == "LaneWorkChain"]) == lanes
    assert second.outputs.results.to_dataframe().equals(whole["results"].to_dataframe())
    assert second.inputs.parameters.get_dict() == first.inputs.parameters.get_dict()


def test_campaign_whose_folders_were_removed_is_resumed_and_goes_on_removing(
    whole: dict[str, Any], stop_after: Any
) -> None:
    stop_after(3)
    first = relax(whole, job_size=1, clean_workdir=True)
    stop_after(None)
    _, second = run_get_node(resume_builder(first))
    assert second.is_finished_ok, second.exit_message
    assert second.outputs.results.to_dataframe().equals(whole["results"].to_dataframe())
    for node, jobs in ((first, 2), (second, 3)):
        cleaned = [job.outputs.remote_folder.is_cleaned for job in jobs_of(node)]
        assert cleaned == [True] * jobs


def test_resumed_twice_takes_over_both(whole: dict[str, Any], stop_after: Any) -> None:
    stop_after(2)
    first = relax(whole, job_size=1)
    stop_after(3)
    _, second = run_get_node(resume_builder(first))
    assert second.exit_status == 400
    stop_after(None)
    _, third = run_get_node(resume_builder(second))
    assert third.is_finished_ok
    assert [len(jobs_of(node)) for node in (first, second, third)] == [1, 2, 2]
    assert third.outputs.results.to_dataframe().equals(whole["results"].to_dataframe())


def test_nothing_left_runs_no_job(whole: dict[str, Any]) -> None:
    node = relax(whole)
    _, again = run_get_node(resume_builder(node))
    assert again.is_finished_ok
    assert jobs_of(again) == []
    assert again.outputs.results.to_dataframe().equals(whole["results"].to_dataframe())


def test_a_process_killed_without_results_is_resumed(whole: dict[str, Any], stop_after: Any) -> None:
    stop_after(2)
    node = relax(whole, job_size=2)
    builder = resume_builder(node)
    # of a campaign that was killed there are the jobs, and no table
    assert set(builder.done) == {f"job_{jobs_of(node)[0].pk}"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"fmax": 0.5}}, "was made with other parameters"),
        ({"structures": None}, "is neither the result of a job"),
    ],
)
def test_results_of_other_science_are_refused(
    whole: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    node = relax(whole)
    builder = resume_builder(node)
    if "parameters" in change:
        builder.parameters = orm.Dict(change["parameters"])
    else:
        builder.done = {"job": StructureSetData.from_table(whole["results"].to_table()).store()}
    with pytest.raises(ValueError, match=message):
        run_get_node(builder)


def test_what_is_no_campaign_is_refused(module_inputs: Inputs) -> None:
    node = relax(module_inputs(1))
    with pytest.raises(
        NotResumableError, match="is a LaneWorkChain: only launches of tasks and screenings can be resumed"
    ):
        resume_builder(next(one for one in node.called if one.process_label == "LaneWorkChain"))


def test_a_screening_is_resumed_in_the_stage_where_it_stopped(module_inputs: Inputs, stop_after: Any) -> None:
    inputs = module_inputs(["a", "soft", "c", "d"])
    names = ("code", "model", "structures")

    def screen(**more: Any) -> Any:
        builder = ScreeningWorkChain.get_builder_from_protocol(
            *(inputs[name] for name in names),
            options=inputs["options"],
            stages=("relax", "phonons", "elastic"),
            job_size=2,
            reuse=False,
            **more,
        )
        return run_get_node(builder)[1]

    undisturbed = screen()
    stop_after(4)  # twice in the relaxation, and once in the phonons
    first = screen()
    assert first.exit_status == 400
    assert "Stage elastic left rows" in first.exit_message
    assert "Stopped as asked, before it began" in first.exit_message
    stop_after(None)
    done = what_is_done(first)
    assert {step: sorted(len(table) for table in tables.values()) for step, tables in done.items()} == {
        "relax": [2, 2],
        "phonons": [2],
    }
    builder = resume_builder(first)
    builder.lanes = Int(2)
    _, second = run_get_node(builder)
    assert second.is_finished_ok, second.exit_message
    assert second.outputs.results.to_dataframe().equals(undisturbed.outputs.results.to_dataframe())
    jobs = [job.process_class.TASK.value for job in jobs_of(second)]
    assert "relax" not in jobs
    assert jobs.count("phonons") == 2
    stages = {stage.name: stage.rows_done for stage in status(second).stages}
    assert stages == {"relax": 4, "phonons": 4, "elastic": 3}


def test_rows_that_were_given_up_are_taken_over_and_kill_no_other_job(
    module_inputs: Inputs, stop_after: Any
) -> None:
    inputs = module_inputs(["killer_1.5", "b", "c"])
    # after two jobs of the killer alone, of which each makes the lane ask twice, and one that shows that it is to blame
    stop_after(6)
    first = relax(inputs, job_size=1)
    assert first.exit_status == 400
    assert first.outputs.results.column("status").tolist() == ["failed", "converged", "left"]
    stop_after(None)
    _, second = run_get_node(resume_builder(first))
    assert second.is_finished_ok, second.exit_message
    assert [job.outputs.results.ids.tolist() for job in jobs_of(second)] == [["c"]]
    assert second.outputs.results.column("status").tolist() == ["failed", "converged", "converged"]


def test_launch_in_which_no_row_came_through_blames_none(module_inputs: Inputs) -> None:
    node = relax(module_inputs(["killer_1", "killer_2"]), job_size=1)
    assert node.exit_status == 301
    assert [lane.is_finished_ok for lane in node.called if lane.process_label == "LaneWorkChain"] == [True]
    assert what_is_done(node) == {"": {}}


def test_culprits_that_are_left_are_given_up_at_last(module_inputs: Inputs) -> None:
    """The first launch worked, and then ended job after job; the second has nothing but culprits."""
    inputs = module_inputs(["a_1", "killer_2", "killer_3", "killer_4"])
    first = relax(inputs, job_size=1, max_failures=4)
    assert first.outputs.results.column("status").tolist() == ["converged", "left", "left", "left"]
    _, second = run_get_node(resume_builder(first))
    assert second.outputs.results.column("status").tolist().count("failed") == 2
    _, third = run_get_node(resume_builder(second))
    assert third.is_finished_ok, third.exit_message
    assert third.outputs.results.column("status").tolist() == ["converged", "failed", "failed", "failed"]


def test_rows_given_up_are_tried_again_if_that_is_asked_for(module_inputs: Inputs) -> None:
    node = relax(module_inputs(["killer", "b"]), job_size=1)
    assert node.is_finished_ok, node.exit_message
    _, taken_over = run_get_node(resume_builder(node))
    assert jobs_of(taken_over) == []
    _, again = run_get_node(resume_builder(taken_over, done=without_given_up(what_is_done(taken_over))))
    assert len(jobs_of(again)) == 2
    assert again.outputs.results.column("status").tolist() == ["failed", "converged"]


def test_rows_that_a_version_before_gave_up_are_tried_again(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = relax(module_inputs(["killer", "b"]), job_size=1)
    lane = next(one for one in node.called if one.process_label == "LaneWorkChain")
    name = f"given_up_{lane.pk}"
    assert name in what_is_done(node)[""]
    table = lane.outputs.given_up
    monkeypatch.setattr(
        type(table.base.attributes),
        "get",
        lambda self, key: {"status": {"left": 1}} if key == "counts" else None,
    )
    assert not current({name: table})
    monkeypatch.undo()
    monkeypatch.setattr(RelaxCalculation, "CACHE_VERSION", RelaxCalculation.CACHE_VERSION + 1)
    assert not current({name: table})


def test_screening_resumed_twice_takes_over_no_results_of_a_wrong_engine(
    module_inputs: Inputs, stop_after: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = module_inputs(["a", "b"])
    builder = ScreeningWorkChain.get_builder_from_protocol(
        *(inputs[name] for name in ("code", "model", "structures")),
        options=inputs["options"],
        stages=("relax",),
        job_size=1,
        reuse=False,
    )
    stop_after(2)
    _, first = run_get_node(builder)
    _, second = run_get_node(resume_builder(first))
    assert set(what_is_done(second)) == {"relax"}
    monkeypatch.setattr(RelaxCalculation, "CACHE_VERSION", RelaxCalculation.CACHE_VERSION + 1)
    assert what_is_done(second) == {}


def test_results_of_an_engine_that_was_wrong_are_not_taken_over(
    whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = relax(whole)
    tables = what_is_done(first)[""]
    assert computed_again(first) == []
    assert set(tables) == {f"job_{jobs_of(first)[0].pk}"}
    monkeypatch.setattr(RelaxCalculation, "CACHE_VERSION", RelaxCalculation.CACHE_VERSION + 1)
    assert what_is_done(first) == {"": {}}
    [sentence] = computed_again(first)
    assert sentence.startswith(
        "5 finished rows are computed again, since an earlier version of aiida-pet made them, whose results"
    )
    with pytest.raises(ValueError, match="was made by a version of the engine with other results"):
        relax(whole, done=tables)


@pytest.mark.parametrize("at_home", [True, False])
def test_what_concerns_a_computer_is_taken_to_no_other(
    module_inputs: Inputs, pet_code: orm.InstalledCode, at_home: bool
) -> None:
    inputs = module_inputs(1)
    copy = orm.RemoteData(computer=inputs["code"].computer, remote_path="/scratch/own_model").store()
    builder = RelaxWorkChain.get_builder()
    more = {"remote_model": copy, "settings": {"threads": 2}, "asked": {"options": {"account": "x"}}}
    for name, value in {**inputs, **more}.items():
        setattr(builder, name, value)
    node = instantiate_process(get_manager().get_runner(), builder).node
    code = None if at_home else pet_code
    resumed = resume_builder(node, code)
    of_computer = {"options", "asked", "settings", "remote_model"}
    assert {name for name in of_computer if name in resumed} == (of_computer if at_home else set())
    assert resumed.code.uuid == (inputs["code"] if at_home else pet_code).uuid
    if at_home:
        assert resumed.remote_model.uuid == copy.uuid
        assert resumed.settings == {"threads": 2}
