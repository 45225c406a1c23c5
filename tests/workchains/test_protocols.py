"""Protocols are complete, ordered from loose to tight, and refuse what they do not know."""

from __future__ import annotations

import pytest

from aiida_pet.engine.job import Task
from aiida_pet.engine.parameters import ParameterError, parse_parameters
from aiida_pet.workchains.protocols import (
    ProtocolError,
    available_protocols,
    default_protocol,
    protocol_inputs,
)


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_the_three_protocols_with_a_description(task: Task) -> None:
    protocols = available_protocols(task)
    assert list(protocols) == ["fast", "moderate", "precise"]
    assert all(len(description) > 10 for description in protocols.values())
    assert default_protocol(task) == "moderate"
    for name in protocols:
        parse_parameters(task, protocol_inputs(task, name).parameters)


def test_relaxation_gets_tighter_from_fast_to_precise() -> None:
    found = [protocol_inputs(Task.RELAX, name).parameters for name in ("fast", "moderate", "precise")]
    assert [p["fmax"] for p in found] == sorted((p["fmax"] for p in found), reverse=True)
    assert [p["stress_max"] for p in found] == sorted((p["stress_max"] for p in found), reverse=True)
    assert [p["dtype"] for p in found] == ["float32", "float64", "float64"]


def test_override_changes_one_key_and_keeps_the_others() -> None:
    inputs = protocol_inputs(Task.RELAX, "fast", {"parameters": {"fmax": 0.3}, "max_failures": 2})
    assert inputs.parameters["fmax"] == 0.3
    assert inputs.parameters["stress_max"] == 0.5
    assert inputs.max_failures == 2


def test_default_protocol_is_taken_if_none_is_named() -> None:
    assert protocol_inputs(Task.RELAX) == protocol_inputs(Task.RELAX, "moderate")


def test_unknown_protocol_is_refused() -> None:
    with pytest.raises(
        ProtocolError, match="no protocol 'quick' for relax: there are fast, moderate, precise"
    ):
        protocol_inputs(Task.RELAX, "quick")


def test_unknown_override_is_refused() -> None:
    with pytest.raises(
        ProtocolError, match=r"unknown overrides \['optimizer'\]; known are parameters, settings"
    ):
        protocol_inputs(Task.RELAX, "fast", {"optimizer": "fire"})


def test_unknown_parameter_in_an_override_is_refused() -> None:
    with pytest.raises(ParameterError, match="fmaks: unknown; known are"):
        protocol_inputs(Task.RELAX, "fast", {"parameters": {"fmaks": 1}})
