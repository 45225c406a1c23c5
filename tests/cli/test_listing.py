"""What there is: launches and sets in lists, labels, `last`, and how they go."""

from __future__ import annotations

from typing import Any

import pytest

from aiida_pet.campaigns.deletion import going_with
from aiida_pet.campaigns.errors import NoSuchNodeError
from aiida_pet.campaigns.nodes import load
from aiida_pet.campaigns.stages import StageStatus

IDS = ["list-a", "list-b", "list-c"]


@pytest.fixture
def campaign(make_campaign: Any) -> Any:
    made = make_campaign(IDS)
    made.finish_job(IDS[:2])
    made.node.label = "relax 3 of some"
    return made


def line_of(document: list[dict[str, Any]], pk: int) -> dict[str, Any]:
    (line,) = [one for one in document if one["pk"] == pk]
    return line


def test_a_launch_is_a_line_that_says_how_far_it_is(invoke: Any, read: Any, campaign: Any) -> None:
    line = line_of(read("list"), campaign.node.pk)
    assert (line["label"], line["what"], line["state"]) == ("relax 3 of some", "relax", "waiting")
    assert (line["rows_done"], line["rows"], line["engine_s"]) == (2, 3, 60.0)
    assert line["crystals"] == f"<{campaign.structures.pk}>"
    assert line["age_s"] < 600
    assert line["pk"] in [one["pk"] for one in read("list", "--running")]
    campaign.set_results(IDS)
    campaign.end(campaign.node, exit_status=400)
    line = line_of(read("list"), campaign.node.pk)
    assert (line["rows_done"], line["rows"], line["state"]) == (2, 3, "finished [400]")
    assert line["pk"] not in [one["pk"] for one in read("list", "--running")]
    text = invoke("list", "--limit", 1, "--columns", "label,rows").stdout
    assert text.splitlines()[2].split()[-1] == "2/3"


def test_jobs_and_lanes_are_in_no_list(read: Any, campaign: Any) -> None:
    listed = {one["pk"] for one in read("list", "--limit", 0)}
    assert listed.isdisjoint({one.pk for one in (*campaign.jobs, *campaign.lanes)})


def test_last_is_the_newest_launch(read: Any, make_campaign: Any, campaign: Any) -> None:
    assert load("last").pk == campaign.node.pk
    newer = make_campaign(IDS)
    assert load("last").pk == newer.node.pk


def test_same_content_is_the_same_node(invoke: Any, read: Any, alloys_file: Any, tmp_path: Any) -> None:
    # content that no other test has
    alloys_file.write_text(alloys_file.read_text().replace("series=odd", f"series={tmp_path.name}"))
    first = read("data", "import", alloys_file, "--label", "alloys v1.2")
    copy = tmp_path / "copy.xyz"
    copy.write_bytes(alloys_file.read_bytes())
    again = read("data", "import", copy, "--label", "the same")
    assert (first["created"], again["created"]) == (True, False)
    assert again["pk"] == first["pk"]
    # labels may hold dots, and each of them names the node
    assert load("alloys v1.2").pk == load("the same").pk == first["pk"]
    (line,) = [one for one in read("data", "list") if one["pk"] == first["pk"]]
    assert (line["label"], line["crystals"]) == ("alloys v1.2, the same", 6)
    assert line["source"] == "alloys.xyz and 1 more"
    assert "has this content already" in invoke("data", "import", copy).stdout
    # another column or another atom is another content
    copy.write_text(alloys_file.read_text().replace("series=even", "series=odd"))
    assert read("data", "import", copy)["pk"] != first["pk"]
    assert first["pk"] not in [one["pk"] for one in read("data", "list", "--limit", 1)]


def test_label_of_several_is_the_newest_and_that_is_said(invoke: Any, make_campaign: Any) -> None:
    old, new = make_campaign(IDS).node, make_campaign(IDS).node
    for node in (old, new):
        invoke("label", node.pk, "twice")
    result = invoke("results", "twice", status=1)
    assert f"the newest, <{new.pk}>, is taken; the others are {old.pk}" in result.stderr
    assert "is no" not in result.stderr
    assert load("twice").pk == new.pk
    for wrong in ("12", "last", " "):
        assert "names something else" in invoke("label", new.pk, wrong, status=2).output
    invoke("label", new.pk, "once")
    assert load("twice").pk == old.pk
    with pytest.raises(NoSuchNodeError):
        load("never")


def test_what_runs_is_not_deleted_and_what_ended_goes_with_its_jobs(invoke: Any, make_campaign: Any) -> None:
    made = make_campaign(IDS)
    job = made.finish_job(IDS)
    made.set_results(IDS)
    assert "has not ended" in invoke("delete", made.node.pk, status=1).output
    made.end(made.node)
    found = going_with([made.node.pk])
    assert {made.node.pk, job.pk, job.outputs.results.pk} <= found.pks
    assert made.structures.pk not in found.pks
    assert "nothing was" in invoke("delete", made.node.pk, "--dry-run").output
    assert load(made.node.pk).pk == made.node.pk
    pk = made.node.pk
    assert "deleted" in invoke("delete", pk, "--yes").output
    with pytest.raises(NoSuchNodeError):
        load(pk)
    assert load(made.structures.pk).pk == made.structures.pk


def test_screening_that_runs_says_its_stage_and_counts_the_rows_of_it(
    invoke: Any, read: Any, campaign: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stage(name: str, state: str, *counts: int | None) -> StageStatus:
        return StageStatus(name, None, state, *counts, keep=None)

    running = [
        stage("relax", "finished [0]", 3, 3, 2),
        stage("phonons", "waiting", 2, 1, None),
        stage("elastic", "to come", None, None, None),
    ]
    monkeypatch.setattr("aiida_pet.campaigns.listing.stages_of", lambda *_: running)
    line = line_of(read("list"), campaign.node.pk)
    assert (line["rows_done"], line["rows"], line["stage"]) == (1, 2, "stage 2 of 3 (phonons)")
    text = invoke("list", "--limit", 1, "--columns", "rows,state").stdout
    assert " ".join(text.splitlines()[-1].split()[1:]) == "1/2 waiting, stage 2 of 3 (phonons)"
    running[1:] = [stage("hull", "waiting", None, None, None)]  # a hull says its rows only when it has ended
    line = line_of(read("list"), campaign.node.pk)
    assert (line["rows_done"], line["rows"], line["stage"]) == (0, 2, "stage 2 of 2 (hull)")
    campaign.set_results(IDS)
    campaign.end(campaign.node)
    line = line_of(read("list"), campaign.node.pk)
    assert (line["rows_done"], line["rows"], line["stage"]) == (2, 3, "")
