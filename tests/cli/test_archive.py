"""A campaign that was taken to another profile in an archive tells the same of its rows there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiida.cmdline.commands.cmd_archive import verdi_archive
from aiida.manage.configuration import get_config, profile_context
from aiida.storage.sqlite_temp import SqliteTempBackend
from aiida.tools.archive import create_archive, import_archive
from click.testing import CliRunner

from aiida_pet.workchains.jobs import jobs_of

COMMANDS = [["trace"], ["show"]]
IDS = ["alloy-0", "alloy-3"]


@pytest.fixture
def elsewhere(aiida_profile: Any) -> Callable[[], Any]:
    """Return a way into a second profile, empty, for a `with`."""
    # the profile of tests is closed meanwhile, and nodes of it with it
    profile = SqliteTempBackend.create_profile("elsewhere")
    return lambda: profile_context(profile, allow_switch=True)


def without_pks(value: Any, pks: dict[int, str]) -> Any:
    """Return what a command said, pks replaced by uuids wherever they stand."""
    if isinstance(value, dict):
        return {
            key: pks[item] if key == "pk" and item in pks else without_pks(item, pks)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [without_pks(item, pks) for item in value]
    if isinstance(value, str):
        return re.sub(r"<(\d+)>", lambda found: f"<{pks.get(int(found[1]), found[1])}>", value)
    return value


def told(read: Callable[..., Any], uuid: str, ids: Sequence[str] = IDS) -> Any:
    from aiida import orm

    pks = dict(orm.QueryBuilder().append(orm.Node, project=["id", "uuid"]).all())
    documents = [read(*command, uuid, row_id) for command in COMMANDS for row_id in ids]
    documents.append(read("results", uuid))
    documents.append(read("find", "--id", ids[0], "--campaign", uuid))
    for row in documents[-1]["rows"]:
        row["campaign"] = pks[row["campaign"]]
    return without_pks(documents, pks)


def test_rows_stay_traceable(
    launch: Any, read: Callable[..., Any], alloys_file: Path, elsewhere: Any, tmp_path: Path
) -> None:
    node = launch("relax", alloys_file, "--lanes", 2, "--label", "to be taken along")
    uuid = node.uuid
    here = told(read, uuid)
    steps = [step["role"] for step in here[0]["steps"]]
    assert {"result", "part", "job", "model", "code", "parameters", "input"} <= set(steps)
    assert here[0]["steps"][-1]["imported_from"][-1]["path"] == str(alloys_file)
    create_archive([node], filename=tmp_path / "campaign.aiida")
    with elsewhere():
        from aiida import orm

        assert orm.QueryBuilder().append(orm.ProcessNode).count() == 0
        import_archive(tmp_path / "campaign.aiida")
        assert told(read, uuid) == here


@pytest.fixture
def resumed(launch: Any, invoke: Any, alloys_file: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """A launch of six crystals that was stopped after its first job, of two, and the one that took it up."""
    asked: list[Any] = []

    def requested(lane: Any) -> bool:
        asked.append(lane)
        return len(asked) > 1

    with monkeypatch.context() as patched:
        patched.setattr("aiida_pet.workchains.lane.is_stop_requested", requested)
        stopped = launch("relax", alloys_file, "--job-size", 2)
    assert stopped.exit_status == 400
    invoke("resume", stopped.pk, "--label", "taken up")
    assert launch.node.is_finished_ok, launch.node.exit_message
    return stopped, launch.node


def verdi(*arguments: Any) -> None:
    """Run `verdi archive` with arguments."""
    # not through `verdi` itself, which would load the default profile instead of that of the test
    result = CliRunner().invoke(
        verdi_archive,
        [str(argument) for argument in arguments],
        obj={"config": get_config()},
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output


def test_resumed_campaign_travels_with_what_it_took_over(
    resumed: Any, read: Callable[..., Any], elsewhere: Any, tmp_path: Path
) -> None:
    stopped, node = resumed
    (first, *_), (second, *_) = (jobs_of(stopped), jobs_of(node))
    # a row of either launch; the job of the first is told by its uuid
    ids = [str(job.outputs.results.ids[0]) for job in (first, second)]
    jobs, uuid, path = [first.uuid, second.uuid], node.uuid, tmp_path / "resumed.aiida"
    here = told(read, uuid, ids)
    verdi("create", "--nodes", node.pk, "--", path)
    with elsewhere():
        verdi("import", path)
        assert told(read, uuid, ids) == here
        for row_id, job in zip(ids, jobs, strict=True):
            steps = read("trace", uuid, row_id)["steps"]
            assert [step["uuid"] for step in steps if step["role"] == "job"] == [job]
            # once, although the launch that was stopped came along
            (row,) = read("find", "--id", row_id)["rows"]
            assert (row["id"], row["label"], row["status"]) == (row_id, "taken up", "converged")
