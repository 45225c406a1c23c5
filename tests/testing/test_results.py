"""The results of the engine that stands in: the columns of the catalogue, by whatever parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.columns import Kind, Source, columns_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.crystals import ordered_alloy
from aiida_pet.testing.results import finish_rows

TYPES = {Kind.NUMBER: "f", Kind.COUNT: "i", Kind.FLAG: "b", Kind.TEXT: "U"}


def table(*names: str, **columns: Any) -> StructureTable:
    rows = StructureTable.from_ase((name, ordered_alloy(place)) for place, name in enumerate(names))
    rows.columns |= columns
    return rows


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        (Task.STATIC, {}),
        (Task.STATIC, {"outputs": ["energies", "features", "uncertainty"], "symprecs": []}),
        (Task.RELAX, {"pressure": 5.0, "averaging": "spacegroup", "forces": "direct"}),
        (Task.PHONONS, {"supercell_check": 8.0, "symprecs": [1e-3]}),
        (Task.ELASTIC, {"relax_first": False}),
    ],
)
def test_columns_units_and_types_are_those_of_the_catalogue(task: Task, parameters: dict[str, Any]) -> None:
    rows = finish_rows(table("a", "b"), task, parameters)
    parsed = parse_parameters(task, parameters)
    expected = {
        name: column
        for column in columns_of(Source(task), parsed)
        if column.shape[:1] != ("*",) and "layergroup" not in column.name
        for name in column.names(parsed.symprecs)
    }
    found = rows.columns | rows.atom_columns
    assert set(found) == set(expected)
    for name, column in expected.items():
        assert rows.units.get(name, "") == column.unit, name
        assert found[name].dtype.kind == TYPES[column.kind], name
        assert found[name].ndim == max(1, len(column.shape) + (column.shape[:1] != ("A",))), name


def test_layer_groups_are_there_for_slabs() -> None:
    rows = table("slab")
    rows.pbc[0] = [True, True, False]
    assert "layergroup_0_01" in finish_rows(rows, Task.STATIC).columns


def test_names_of_crystals_decide_what_becomes_of_them() -> None:
    rows = finish_rows(table("low", "high", "max_steps"))
    assert rows.columns["energy"].tolist() == [-16.0, -15.5, -16.0]
    assert rows.columns["status"].tolist() == ["converged", "converged", "max_steps"]
    assert finish_rows(table("hard", "soft"), Task.PHONONS).columns["min_frequency"].tolist() == [0.0, -2.0]


def test_saddle_is_left_for_less_energy_where_nothing_holds_it() -> None:
    held, free = finish_rows(table("saddle")), finish_rows(table("saddle"), Task.RELAX, {"symmetry": "none"})
    assert held.columns["energy"].tolist() == [-16.0]
    assert free.columns["energy"] == pytest.approx([-16.2])
    assert finish_rows(held, Task.PHONONS).columns["is_dynamically_stable"].tolist() == [False]
    assert finish_rows(free, Task.PHONONS).columns["is_dynamically_stable"].tolist() == [True]


def test_enthalpy_is_that_of_the_pressure() -> None:
    rows = finish_rows(table("a"), Task.RELAX, {"pressure": 160.21766208})  # 1 eV/A^3
    assert rows.columns["enthalpy"] == pytest.approx(-16.0 + 3.16**3)


def test_born_charges_are_noticed() -> None:
    given = table("a", dielectric_tensor=np.eye(3)[None])
    given.atom_columns["born_charges"] = np.zeros((2, 3, 3))
    assert finish_rows(given, Task.PHONONS).columns["has_nac"].tolist() == [True]
    assert "has_nac" not in finish_rows(table("a"), Task.PHONONS).columns
