"""The group of a campaign: whoever launches, it is opened in the first step, and never for what another calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.campaigns.report import status
from aiida_pet.campaigns.resumption import resume_builder
from aiida_pet.workchains import groups
from aiida_pet.workchains.groups import PREFIX, group_of
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain

Inputs = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def inputs(module_inputs: Inputs) -> dict[str, Any]:
    return module_inputs(["a", "b"])


def relax(inputs: dict[str, Any], label: str = "") -> Any:
    return run_get_node(RelaxWorkChain, **inputs, metadata={"label": label})[1]


def members(group: orm.Group) -> set[int]:
    return {node.pk for node in group.nodes}


def test_launches_from_python_have_a_group_with_their_results(inputs: dict[str, Any]) -> None:
    plain, named, again = relax(inputs), relax(inputs, "mine"), relax(inputs, "mine")
    found = {node.pk: group_of(node) for node in (plain, named, again)}
    assert [found[node.pk].label for node in (plain, named, again)] == [
        f"{PREFIX}relax {plain.pk}",
        f"{PREFIX}mine",
        f"{PREFIX}mine {again.pk}",
    ]
    for node in (plain, named, again):
        assert members(found[node.pk]) == {node.pk, node.outputs.results.pk}
    assert status(named).group == f"{PREFIX}mine"


def test_stages_of_a_screening_have_no_group_of_their_own(inputs: dict[str, Any]) -> None:
    builder = ScreeningWorkChain.get_builder_from_protocol(
        *(inputs[name] for name in ("code", "model", "structures")),
        options=inputs["options"],
        stages=("relax", "hull"),
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert group_of(node).label == f"{PREFIX}screening {node.pk}"
    assert members(group_of(node)) == {node.pk, node.outputs.results.pk}
    children = [one for one in node.called if isinstance(one, orm.WorkChainNode)]
    assert len(children) == 2
    assert [group_of(one) for one in children] == [None, None]


def test_a_launch_that_is_taken_up_from_python_shares_its_group(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        answers = iter([False])
        patch.setattr("aiida_pet.workchains.lane.is_stop_requested", lambda _: next(answers, True))
        stopped = relax(inputs | {"job_size": 1}, "long")
    assert stopped.exit_status == 400
    _, node = run_get_node(resume_builder(stopped))
    assert node.is_finished_ok
    assert group_of(node).pk == group_of(stopped).pk
    assert members(group_of(node)) == {
        one.pk for launch in (stopped, node) for one in (launch, launch.outputs.results)
    }


def test_a_group_that_cannot_be_made_sinks_no_campaign(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: Any) -> None:
        raise RuntimeError("database is locked")

    monkeypatch.setattr(groups, "_new_group", locked)
    node = relax(inputs)
    assert node.is_finished_ok
    assert group_of(node) is None
