"""Levels of theory of several outputs in one line."""

from __future__ import annotations

import pytest

from aiida_pet.training.levels import (
    level_of,
    level_of_energies,
    levels_in_words,
    levels_of,
    levels_of_outputs,
)


@pytest.mark.parametrize(
    "text",
    ["", "PBE (Materials Project)", "PBE, VASP; r2: r2SCAN", "r2: r2SCAN", "PBE; a: HSE06; b: r2SCAN+U"],
)
def test_levels_are_read_as_they_were_written(text: str) -> None:
    assert levels_in_words(levels_of(text)) == text


def test_level_of_a_variant_is_set_once() -> None:
    first = levels_in_words(levels_of("PBE") | {"r2": "r2SCAN"})
    again = levels_in_words(levels_of(first) | {"r2": "r2SCAN"})
    assert first == again == "PBE; r2: r2SCAN"
    assert level_of(first, "r2") == "r2SCAN"
    assert level_of(first, None) == "PBE"
    assert level_of(first, "hse") == ""


def test_levels_of_outputs_that_are_gone_are_not_told() -> None:
    assert levels_of_outputs("PBE; r2: r2SCAN", ["energy/r2", "non_conservative_force/r2"]) == "r2: r2SCAN"
    assert levels_of_outputs("PBE; r2: r2SCAN", ["energy"]) == "PBE"
    assert levels_of_outputs("PBE; r2: r2SCAN", ["energy", "energy/r2"]) == "PBE; r2: r2SCAN"


def test_energies_have_the_level_of_the_outputs_that_gave_them() -> None:
    assert level_of_energies("PBE; r2: r2SCAN", "r2") == "r2SCAN"
    assert level_of_energies("PBE; r2: r2SCAN", None) == "PBE"
    assert level_of_energies("r2: r2SCAN", None) == ""
    assert level_of_energies("PBE", "pbe") == "PBE"  # a model that names one level for all its outputs
