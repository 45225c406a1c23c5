"""Lookups read what a data frame of everything would show, and only the columns that they need."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiida_pet.data.lookup import columns_in, frame_columns, read_columns, select_positions
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import FilterError, filter_frame
from aiida_pet.tables.table import Table

WHERE = [
    "energy < -15",
    "n_atoms > 1 and status == converged",
    "formula == Mo",
    "stress_xy > 0",
    "id != 'wbm-1-2'",
]


@pytest.fixture
def node(aiida_profile: Any, structure_table: StructureTable) -> StructureSetData:
    return StructureSetData.from_table(structure_table).store()


def test_columns_are_those_of_the_data_frame(node: StructureSetData) -> None:
    assert frame_columns(node) == list(node.to_dataframe())


def test_values_are_those_of_the_data_frame(node: StructureSetData) -> None:
    whole = node.to_dataframe()
    names = ["formula", "energy", "n_atoms", "stress_yz", "symmetry_kept_0_01"]
    pd.testing.assert_frame_equal(read_columns(node, names), whole[names])
    places = np.array([3, 0])
    pd.testing.assert_frame_equal(read_columns(node, names, places), whole[names].iloc[places])
    assert list(read_columns(node, names, places[:0])) == names


@pytest.mark.parametrize("where", WHERE)
def test_conditions_choose_what_they_choose_in_the_data_frame(node: StructureSetData, where: str) -> None:
    expected = filter_frame(node.to_dataframe(), where).index.tolist()
    assert 0 < len(expected) < 5
    assert node.ids[select_positions(node, where)].tolist() == expected


def test_condition_reads_only_its_columns(node: StructureSetData, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original: Callable[..., Any] = TableData.get_array

    def get_array(self: Any, name: str) -> Any:
        read.append(name)
        return original(self, name)

    monkeypatch.setattr(TableData, "get_array", get_array)
    fresh = StructureSetData.collection.get(uuid=node.uuid)
    select_positions(fresh, "energy < -15")
    assert set(read) == {"ids", "column_energy"}


def test_unknown_columns_are_named(node: StructureSetData) -> None:
    with pytest.raises(FilterError, match=r"no column 'enrgy'.*did you mean energy"):
        select_positions(node, "enrgy < 0")
    with pytest.raises(KeyError, match="no column 'enrgy'"):
        read_columns(node, ["enrgy"])


def test_columns_in_a_condition() -> None:
    assert columns_in("a < 1 and not (b == c or id == x)", ["a", "b", "z"]) == ["a", "b"]


def test_table_without_crystals_has_no_formulas(aiida_profile: Any) -> None:
    node = TableData.from_table(Table(np.array(["x", "y"]), {"v": np.array([1.0, 2.0])}))
    assert frame_columns(node) == ["v"]
    with pytest.raises(KeyError, match="formula"):
        read_columns(node, ["formula"])


def test_elements_are_counted_row_by_row(node: StructureSetData, structure_table: StructureTable) -> None:
    for symbol in ("Mo", "Ta", "Na", "Cl", "O"):
        expected = [atoms.get_chemical_symbols().count(symbol) for atoms in structure_table.iter_ase()]
        assert node.count_element(symbol).tolist() == expected
    assert node.formulas(np.array([3, 1])).tolist() == node.formulas()[[3, 1]].tolist()


def test_a_word_that_no_row_has_is_a_warning(aiida_profile: Any, caplog: pytest.LogCaptureFixture) -> None:
    table = Table(np.array(["x", "y"]), {"phase": np.array(["alpha", "beta"])})
    found = TableData.from_table(table)
    assert select_positions(found, "phase == alpa").tolist() == []
    assert "phase is never 'alpa' (did you mean alpha?)" in caplog.text
    caplog.clear()
    assert select_positions(found, "phase != beta").tolist() == [0]
    assert not caplog.text
