"""Settings that rows bring: what does not fit is an error of its row that names column, value and what was expected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.job.given_columns import GIVEN_COLUMNS
from aiida_pet.job.given_rows import given_of_row, given_supercells
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.suitability import foreseen
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable

WRONG: dict[str, list[Any]] = {
    "q_mesh": [[0, 3, 3], [-3, 3, 3], [2.5, 3, 3], [3, 3, np.nan], [3, np.inf, 3]],
    "supercell_matrix": [
        np.diag([np.inf, 2, 2]),
        np.diag([2, 2, np.nan]),
        1.5 * np.eye(3),
        [[1, 0, 0], [1, 0, 0], [0, 0, 1]],
        -2 * np.eye(3),
    ],
    "primitive_matrix": [np.diag([np.nan, 1, 1]), [[1, 0, 0], [1, 0, 0], [0, 0, 1]]],
}
WRONG |= dict.fromkeys(("fc2_supercell", "fc3_supercell"), WRONG["supercell_matrix"])


def table_with(name: str, values: Any) -> StructureTable:
    crystals = [(f"row-{number}", bulk("W", a=3.2)) for number in range(len(values))]
    return replace(StructureTable.from_ase(crystals), columns={name: np.asarray(values, dtype=float)})


@pytest.mark.parametrize("name", WRONG)
def test_value_that_does_not_fit_is_named_with_what_was_expected(name: str) -> None:
    shape = GIVEN_COLUMNS[name].shape
    assert shape is not None
    table = table_with(
        name,
        [
            *WRONG[name],
            np.full(shape, np.nan),
            np.zeros(shape),
            np.full(shape, 2) + np.eye(*shape) if len(shape) == 2 else np.full(shape, 2),
        ],
    )
    bad = len(WRONG[name])
    for row in range(bad):
        with pytest.raises(ValueError, match=rf"^{name} = .*: expected "):
            given_of_row(table, row, name)
    assert given_of_row(table, bad, name) is None
    assert given_of_row(table, bad + 1, name) is None
    np.testing.assert_array_equal(given_of_row(table, bad + 2, name), table.columns[name][-1])
    task = Task.CONDUCTIVITY if name.startswith("fc") else Task.PHONONS
    refused = foreseen(task, table, parse_parameters(task, {"given_cells": True}))
    assert sorted(refused) == list(range(bad))
    assert foreseen(task, table, parse_parameters(task, {"given_cells": False})) == {}


def test_true_and_false_are_no_numbers_of_points() -> None:
    table = table_with("q_mesh", [[1, 1, 1]])
    table.columns["q_mesh"] = np.ones((1, 3), dtype=bool)
    with pytest.raises(
        ValueError, match=r"^q_mesh = \[True, True, True\]: expected 3 positive whole numbers"
    ):
        given_of_row(table, 0, "q_mesh")


def test_supercells_of_both_orders_belong_together_and_a_wrong_mesh_stops_them() -> None:
    table = table_with("fc2_supercell", [np.eye(3), np.eye(3), np.eye(3)])
    third = np.stack([2 * np.eye(3), np.full((3, 3), np.nan), np.eye(3)])
    meshes = np.array([[4.0, 4, 4], [4, 4, 4], [4, 4, 0]])
    table = replace(table, columns=table.columns | {"fc3_supercell": third, "q_mesh": meshes})
    found = given_supercells(table, 0)
    assert found is not None
    np.testing.assert_array_equal(found[1], 2 * np.eye(3))
    assert given_supercells(table, 1) is None
    with pytest.raises(ValueError, match=r"^q_mesh = \[4.0, 4.0, 0.0\]: expected 3 positive whole numbers"):
        given_supercells(table, 2)
