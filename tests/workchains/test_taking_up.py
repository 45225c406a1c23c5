"""One resume at a time: who takes up a launch that another took up is told which, and of two at once one ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_pet.campaigns.errors import TakenUpError
from aiida_pet.campaigns.resumption import check_not_taken_up, resume_builder
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain

Inputs = Callable[..., dict[str, Any]]


@pytest.fixture
def stopped(module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> Callable[..., orm.WorkChainNode]:
    """Return a function that runs a launch, or takes one up, and stops it after a job of one row."""

    def run(builder: Any = None) -> orm.WorkChainNode:
        answers = iter([False])
        with monkeypatch.context() as patch:
            patch.setattr("aiida_pet.workchains.lane.is_stop_requested", lambda _: next(answers, True))
            inputs = module_inputs(["a", "b", "c"]) | {"job_size": 1}
            node = run_get_node(builder)[1] if builder else run_get_node(RelaxWorkChain, **inputs)[1]
        assert node.exit_status == 400
        return node

    return run


def test_who_took_it_up_is_named_as_long_as_it_works_and_when_it_has_ended(stopped: Any) -> None:
    node = stopped()
    check_not_taken_up(node)
    builder = resume_builder(node)
    process = instantiate_process(get_manager().get_runner(), builder)
    with pytest.raises(
        TakenUpError, match=f"<{node.pk}> is already being resumed by launch <{process.node.pk}>"
    ) as caught:
        resume_builder(node)
    assert (caught.value.pk, caught.value.by, caught.value.is_running) == (node.pk, process.node.pk, True)
    process.execute()
    assert process.node.is_finished_ok
    with pytest.raises(TakenUpError, match=f"was resumed by launch <{process.node.pk}>, which ended well"):
        resume_builder(node)


def test_of_two_at_once_the_later_ends_and_computes_nothing(stopped: Any) -> None:
    node = stopped()
    builders = [resume_builder(node), resume_builder(node)]  # both asked before either was there
    first, second = (instantiate_process(get_manager().get_runner(), builder) for builder in builders)
    second.execute()
    assert second.node.exit_status == 310
    assert (
        f"Launch <{first.node.pk}>, which began earlier, already resumes launch <{node.pk}>"
        in second.node.exit_message
    )
    assert jobs_of(second.node) == []
    first.execute()
    assert first.node.is_finished_ok
    with pytest.raises(TakenUpError, match=f"by launch <{first.node.pk}>, which ended well"):
        check_not_taken_up(node)


def test_one_that_did_not_end_well_is_to_be_taken_up_itself(stopped: Any) -> None:
    node = stopped()
    second = stopped(resume_builder(node))
    with pytest.raises(TakenUpError, match=f"did not end well: resume <{second.pk}>"):
        resume_builder(node)
    _, third = run_get_node(resume_builder(second))
    with pytest.raises(TakenUpError) as caught:
        resume_builder(node)
    assert caught.value.by == third.pk


def test_a_screening_says_so_too(module_inputs: Inputs) -> None:
    inputs = module_inputs(["a", "b"])
    builder = ScreeningWorkChain.get_builder_from_protocol(
        *(inputs[name] for name in ("code", "model", "structures")),
        options=inputs["options"],
        stages=("relax",),
    )
    _, node = run_get_node(builder)
    again = [resume_builder(node), resume_builder(node)]
    _, first = run_get_node(again[0])
    assert first.is_finished_ok
    _, second = run_get_node(again[1])
    assert second.exit_status == 310
    with pytest.raises(TakenUpError):
        resume_builder(node)
