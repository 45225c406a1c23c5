"""Words that no row has are told with what may be meant, and nothing else is."""

from __future__ import annotations

import pytest

from aiida_pet.analysis.hull.above_hull import HullStatus
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.columns import words_of
from aiida_pet.tables.condition_words import slips_in

COLUMNS = ["status", "warnings", "energy", "formula", "phase", "stage"]
VALUES = {"phase": ["alpha", "beta"], "formula": ["MoTa"]}


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("status == convergd", "status is never 'convergd' (did you mean converged or diverged?)"),
        ("energy < 0 and status != 'max_step'", "status is never 'max_step' (did you mean max_steps?)"),
        ("status in [left, convergd]", "status is never 'convergd' (did you mean converged or diverged?)"),
        ("stagnan in warnings", "warnings is never 'stagnan' (did you mean stagnant?)"),
        ("not (alpa == phase)", "phase is never 'alpa' (did you mean alpha?)"),
    ],
)
def test_a_slip_is_told(where: str, told: str) -> None:
    assert slips_in(where, COLUMNS, lambda name: VALUES.get(name, ())) == [told]


@pytest.mark.parametrize(
    "where",
    [
        "status == converged",
        "status == left and 'rough' in warnings",
        "phase == gamma",  # it is there in no row, and near to none
        "formula == MoTa3",
        "stage == hul",  # of which not all values are known
        "status == stage",
        "energy < 3",
        "own == convergd",
    ],
)
def test_what_may_be_meant_as_it_stands_is_left(where: str) -> None:
    assert slips_in(where, COLUMNS, lambda name: VALUES.get(name, ())) == []


def test_the_catalogue_knows_every_word() -> None:
    assert set(words_of("status")) == {status.value for status in RowStatus}
    assert set(words_of("phonons_status")) == set(words_of("status"))
    assert set(words_of("hull_status")) == {status.value for status in HullStatus}
    assert words_of("message") == words_of("energy") == ()
