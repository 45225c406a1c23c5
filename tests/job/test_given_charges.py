"""Born charges and dielectric tensors of rows: what the correction can use, and what is said of what it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.job.given_charges import breaks_sum_rule, charges_of_row
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.suitability import foreseen
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable

CHARGES = np.array([1.09 * np.eye(3), -1.09 * np.eye(3)])
TENSOR = 2.43 * np.eye(3)
SKEWED = TENSOR + np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]])
NAN = np.full((3, 3), np.nan)


def table_of(charges: Any, tensor: Any) -> StructureTable:
    table = StructureTable.from_ase([("row", bulk("NaCl", "rocksalt", a=5.64))])
    table.atom_columns["born_charges"] = np.asarray(charges)
    table.columns["dielectric_tensor"] = np.asarray(tensor)[None]
    return table


@pytest.mark.parametrize(
    ("charges", "tensor", "column"),
    [
        (CHARGES, -TENSOR, "dielectric_tensor"),
        (CHARGES, 0 * TENSOR, "dielectric_tensor"),
        (CHARGES, np.diag([2.0, 2.0, -1.0]), "dielectric_tensor"),
        (CHARGES, np.diag([2.0, 2.0, np.nan]), "dielectric_tensor"),
        (CHARGES, np.diag([2.0, 2.0, np.inf]), "dielectric_tensor"),
        (CHARGES, SKEWED, "dielectric_tensor"),
        (CHARGES, 2.43, "dielectric_tensor"),
        (CHARGES, [2.4, 2.4, 2.4], "dielectric_tensor"),
        (CHARGES, TENSOR > 0, "dielectric_tensor"),
        ([1.09, -1.09], TENSOR, "born_charges"),
        ([[1.09] * 3, [-1.09] * 3], TENSOR, "born_charges"),
        ([CHARGES[0], NAN], TENSOR, "born_charges"),
        ([np.inf * np.ones((3, 3)), CHARGES[1]], TENSOR, "born_charges"),
    ],
)
def test_what_the_correction_cannot_use_is_named_before_anything_runs(
    charges: Any, tensor: Any, column: str
) -> None:
    table = table_of(charges, tensor)
    with pytest.raises(ValueError, match=rf"^{column} .*: expected a .*3 x 3 matrix"):
        charges_of_row(table, 0)
    for task in (Task.PHONONS, Task.QHA, Task.CONDUCTIVITY):
        assert foreseen(task, table, parse_parameters(task, {}))[0].startswith(column)
        assert foreseen(task, table, parse_parameters(task, {"nac": False})) == {}
    assert foreseen(Task.ELASTIC, table, parse_parameters(Task.ELASTIC, {})) == {}


def test_nan_throughout_stands_for_unknown_values() -> None:
    for charges, tensor in ((CHARGES, NAN), (np.stack([NAN, NAN]), TENSOR), (np.stack([NAN, NAN]), NAN)):
        table = table_of(charges, tensor)
        assert charges_of_row(table, 0) is None
        assert foreseen(Task.PHONONS, table, parse_parameters(Task.PHONONS, {})) == {}
    del table.columns["dielectric_tensor"]
    assert charges_of_row(table, 0) is None


def test_what_is_a_tensor_up_to_rounding_is_taken_as_it_is() -> None:
    rough = TENSOR + np.array([[0, 0.02, 0], [0, 0, 0], [0, 0, 0]])
    found = charges_of_row(table_of(CHARGES.astype(np.float32), rough), 0)
    assert found is not None
    np.testing.assert_array_equal(found[1], rough)
    np.testing.assert_allclose(found[0], CHARGES, rtol=1e-6)
    assert found[0].dtype == np.float64


def test_a_sum_of_charges_that_is_no_rounding_is_told() -> None:
    assert not breaks_sum_rule(CHARGES)
    assert not breaks_sum_rule(CHARGES + 0.05)  # the sum is 0.1 e; 0.14 e is the limit of two atoms
    assert breaks_sum_rule(CHARGES + 0.08)
    one_component = np.zeros((2, 3, 3))
    one_component[0, 1, 2] = -0.2
    assert breaks_sum_rule(CHARGES + one_component)
