"""A campaign that was taken to another profile in an archive tells the same of its rows there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida.manage.configuration import profile_context
from aiida.storage.sqlite_temp import SqliteTempBackend
from aiida.tools.archive import create_archive, import_archive

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


def told(read: Callable[..., Any], uuid: str) -> Any:
    from aiida import orm

    pks = dict(orm.QueryBuilder().append(orm.Node, project=["id", "uuid"]).all())
    documents = [read(*command, uuid, row_id) for command in COMMANDS for row_id in IDS]
    documents.append(read("results", uuid))
    documents.append(read("find", "--id", IDS[0], "--campaign", uuid))
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
    assert here[0]["steps"][-1]["imported_from"][0]["path"] == str(alloys_file)
    create_archive([node], filename=tmp_path / "campaign.aiida")
    with elsewhere():
        from aiida import orm

        assert orm.QueryBuilder().append(orm.ProcessNode).count() == 0
        import_archive(tmp_path / "campaign.aiida")
        assert told(read, uuid) == here
