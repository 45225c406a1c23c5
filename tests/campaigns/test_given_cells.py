"""What a launch says of columns with settings that crystals lack, and when it says nothing."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.campaigns.given_cells import not_given
from aiida_pet.job.input_columns import read_by
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

ASKED = ("given_cells",)
MATRICES = np.tile(2 * np.eye(3), (2, 1, 1))


def said(
    task: Task, columns: dict[str, object], asked: tuple[str, ...] = ASKED, **parameters: object
) -> list[str]:
    table = StructureTable.from_ase([("a", bulk("W")), ("b", bulk("Mo"))])
    table.columns = {name: np.asarray(value) for name, value in columns.items() if name != "displacements"}
    if "displacements" in columns:
        table.ragged = {"displacements": Ragged.of(columns["displacements"])}  # type: ignore[arg-type]
    read = read_by(task)
    filled = parse_parameters(task, {"given_cells": True} | parameters).model_dump(mode="json")
    return not_given((*read.rows, *read.ragged), table, filled, asked)


def test_nothing_is_said_of_a_set_that_has_all() -> None:
    mesh = np.full((2, 3), 5.0)
    assert said(Task.PHONONS, {"supercell_matrix": MATRICES, "q_mesh": mesh}) == []
    assert (
        said(Task.CONDUCTIVITY, {"fc2_supercell": MATRICES, "fc3_supercell": MATRICES, "q_mesh": mesh}) == []
    )


def test_each_column_that_is_not_there_is_named_with_what_is_used_instead() -> None:
    assert said(Task.PHONONS, {}, min_image=11.0) == [
        "given_cells=true, but the set has no column supercell_matrix: min_image=11.0 is used instead",
        "given_cells=true, but the set has no column q_mesh: mesh=40.0 is used instead",
    ]
    first, second, _ = said(Task.CONDUCTIVITY, {}, fc3_supercell=[2, 2, 2])
    assert first.endswith("no column fc2_supercell: fc2_min_image=12.0 is used instead")
    assert second.endswith("no column fc3_supercell: fc3_supercell=[2, 2, 2] is used instead")


@pytest.mark.parametrize("nothing", [np.nan, 0.0])
def test_rows_without_a_value_are_counted(nothing: float) -> None:
    mesh = np.array([[5.0] * 3, [nothing] * 3])
    (line,) = said(Task.PHONONS, {"supercell_matrix": MATRICES, "q_mesh": mesh})
    assert (
        line
        == "given_cells=true, but column q_mesh has no value for 1 of 2 crystals: mesh=40.0 is used instead"
    )


def test_columns_that_are_used_only_together_are_named_together() -> None:
    two, three, _ = said(Task.CONDUCTIVITY, {"fc2_supercell": MATRICES})
    assert "2 of 2 crystals lack fc2_supercell or fc3_supercell, which are used only together" in two
    assert "the set has no column fc3_supercell" in three
    told = said(Task.PHONONS, {"primitive_matrix": MATRICES, "q_mesh": np.full((2, 3), 5.0)})
    assert len(told) == 2
    assert "lack primitive_matrix or supercell_matrix, which are used only together" in told[1]


def test_a_parameter_that_replaces_the_columns_is_no_surprise() -> None:
    mesh = np.full((2, 3), 5.0)
    assert said(Task.PHONONS, {"q_mesh": mesh}, supercell=[2, 2, 2]) == []


def test_a_default_is_silent_unless_the_set_has_some_of_the_columns() -> None:
    assert said(Task.CONDUCTIVITY, {}, asked=()) == []
    assert len(said(Task.CONDUCTIVITY, {"q_mesh": np.full((2, 3), 5.0)}, asked=())) == 2
    assert said(Task.CONDUCTIVITY, {"fc2_supercell": MATRICES}, given_cells=False) == []


def test_displacements_are_looked_for_only_where_they_are_asked_for() -> None:
    there = {"supercell_matrix": MATRICES, "q_mesh": np.full((2, 3), 5.0)}
    asked = ("given_cells", "given_displacements")
    (line,) = said(Task.PHONONS, there, asked, given_displacements=True)
    assert (
        line == "given_displacements=true, but the set has no column displacements: the task chooses instead"
    )
    some = there | {"displacements": [np.array([[0, 0, 0.01, 0, 0]]), None]}
    (line,) = said(Task.PHONONS, some, asked, given_displacements=True)
    assert "column displacements has no value for 1 of 2 crystals" in line
