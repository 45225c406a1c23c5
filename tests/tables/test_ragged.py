"""Ragged columns against lists of arrays, alone and in a table that is cut, joined, written and read."""

from __future__ import annotations

import io

import numpy as np
import pytest

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.table import Table


@pytest.fixture
def rows() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(n, 2, 3)) for n in (3, 0, 5, 1)]


@pytest.mark.parametrize("index", [[2, 0], [1], [], [3, 2, 1, 0, 2]])
def test_rows_are_taken_as_from_a_list(rows: list[np.ndarray], index: list[int]) -> None:
    taken = Ragged.of(rows).take(np.array(index, dtype=np.int64))
    assert len(taken) == len(index)
    for place, row in enumerate(index):
        assert np.array_equal(taken[place], rows[row])


def test_concatenated_with_a_table_that_lacks_the_column(rows: list[np.ndarray]) -> None:
    with_column = Table(np.array(["a", "b"]), ragged={"fc": Ragged.of(rows[:2])})
    without = Table(np.array(["c"]))
    more = Table(np.array(["d", "e"]), ragged={"fc": Ragged.of(rows[2:])})
    joined = Table.concatenate([with_column, without, more]).ragged["fc"]
    for place, row in enumerate([rows[0], rows[1], np.zeros((0, 2, 3)), rows[2], rows[3]]):
        assert np.array_equal(joined[place], row)


def test_a_file_brings_it_back(rows: list[np.ndarray]) -> None:
    from ase.build import bulk

    table = StructureTable.from_ase((name, bulk("W")) for name in "abcd")
    table.ragged["fc"] = Ragged.of(rows)
    file = io.BytesIO()
    table.save(file)
    file.seek(0)
    again = StructureTable.load(file).take([3, 2]).ragged["fc"]
    assert np.array_equal(again[0], rows[3])
    assert np.array_equal(again[1], rows[2])


def test_what_does_not_fit_is_refused(rows: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="end with 9"):
        Ragged(np.concatenate(rows), np.array([0, 3]))
    with pytest.raises(ValueError, match="'fc' must have 3 rows, got 4"):
        Table(np.array(["a", "b", "c"]), ragged={"fc": Ragged.of(rows)})
    with pytest.raises(ValueError, match="a row that has values"):
        Ragged.of([None, None])
