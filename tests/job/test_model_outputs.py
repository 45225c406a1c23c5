"""Which outputs a task needs of a model."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aiida_pet.job.model_outputs import why_no_answer

PLAIN = ["energy", "non_conservative_force", "non_conservative_stress"]
TUNED = ["energy/r2", "non_conservative_force/r2"]


@pytest.mark.parametrize(
    ("parameters", "outputs", "told"),
    [
        ({}, TUNED, "set variant=r2"),
        ({"variant": "r2"}, PLAIN, "set variant=null"),
        ({"variant": "hse"}, [*PLAIN, *TUNED], "set variant=null or variant=r2"),
        (
            {"variant": "r2", "stress": "direct"},
            [*PLAIN, *TUNED],
            "set stress=conservative .or variant=null.",
        ),
        ({"forces": "direct"}, ["energy"], "set forces=conservative, or use another model"),
    ],
)
def test_missing_outputs_are_told_with_what_to_set(
    parameters: dict[str, Any], outputs: list[str], told: str
) -> None:
    assert re.search(told, why_no_answer(parameters, outputs) or "")


@pytest.mark.parametrize(
    ("parameters", "outputs"),
    [
        ({}, ["energy"]),
        ({"variant": None, "forces": "direct", "stress": "direct"}, PLAIN),
        ({"variant": "r2", "forces": "direct"}, TUNED),
        ({"forces": "direct"}, ["energy", "non_conservative_forces"]),  # name of older models
    ],
)
def test_outputs_that_are_there_are_found(parameters: dict[str, Any], outputs: list[str]) -> None:
    assert why_no_answer(parameters, outputs) is None
