from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed, ValidationError

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.table import DuplicateIdError, Table


@pytest.fixture
def table() -> Table:
    table = Table(np.array(["a", "b-2", "ü/3"]))
    table.set_column("status", ["converged", "left", "converged"])
    table.set_column("energy", [-1.5, np.nan, 2.5], "eV")
    table.set_column("n_steps", [3, 0, 5])
    table.set_column("kept", [True, False, True])
    table.set_column("stress", np.arange(18.0).reshape(3, 6), "eV/A^3")
    table.set_column("message", ["", "time ran out; Zeit läuft", ""])
    return table


@pytest.fixture
def make(aiida_profile: Any) -> Any:
    from aiida_pet.data.table import TableData

    return TableData


def test_round_trip_through_the_database_keeps_everything(make: Any, table: Table) -> None:
    loaded = orm.load_node(make.from_table(table).store().pk)
    assert type(loaded) is make
    again = loaded.to_table()
    assert again.ids.tolist() == table.ids.tolist()
    assert list(again.columns) == list(table.columns)
    assert again.units == table.units
    for name, values in table.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)
        assert again.columns[name].dtype.kind == values.dtype.kind


def test_columns_are_files_without_pickle(make: Any, table: Table) -> None:
    node = make.from_table(table)
    names = node.base.repository.list_object_names()
    assert sorted(names) == sorted(["ids.npy", *(f"column_{name}.npy" for name in table.columns)])
    for name in names:
        with node.base.repository.open(name, "rb") as handle:
            array = np.load(handle, allow_pickle=False)
        assert array.dtype.kind in "Sfib"


def test_attributes_are_finite_and_hold_what_people_query(make: Any, table: Table) -> None:
    node = make.from_table(table).store()
    attributes = node.base.attributes.all
    assert attributes["n_rows"] == len(node) == 3
    assert attributes["columns"]["energy"] == "eV"
    assert attributes["columns"]["n_steps"] == ""
    assert attributes["counts"]["status"] == {"converged": 2, "left": 1}
    assert attributes["counts"]["kept"] == {"true": 2, "false": 1}
    assert attributes["ranges"] == {"energy": [-1.5, 2.5], "n_steps": [0, 5]}
    query = orm.QueryBuilder().append(make, filters={"attributes.counts.status.left": 1, "uuid": node.uuid})
    assert query.count() == 1


def test_columns_of_nothing_finite_or_of_many_texts_have_no_summary(make: Any) -> None:
    table = Table(np.array([f"r{i}" for i in range(100)]))
    table.set_column("energy", np.full(100, np.nan))
    table.set_column("rate", np.full(100, np.inf))
    table.set_column("formula", [f"Mo{i}" for i in range(100)])
    node = make.from_table(table).store()
    assert node.base.attributes.get("ranges") == {}
    assert node.base.attributes.get("counts") == {}


def test_equal_content_has_one_hash(make: Any, table: Table) -> None:
    wide = table.take([0, 1, 2])
    wide.ids = wide.ids.astype("U50")
    wide.columns["status"] = wide.columns["status"].astype("U99")
    wide.columns["stress"] = np.asfortranarray(wide.columns["stress"])
    wide.columns["energy"] = wide.columns["energy"].astype(">f8")
    reordered = Table(table.ids, dict(reversed(table.columns.items())), table.units)
    hashes = {make.from_table(t).store().base.caching.get_hash() for t in (table, wide, reordered)}
    assert len(hashes) == 1


@pytest.mark.parametrize("change", ["value", "id", "unit", "order", "name"])
def test_other_content_has_another_hash(make: Any, table: Table, change: str) -> None:
    first = make.from_table(table).store().base.caching.get_hash()
    if change == "value":
        table.columns["stress"][1, 2] += 1e-9
    elif change == "id":
        table.ids[0] = "c"
    elif change == "unit":
        table.units["energy"] = "Ry"
    elif change == "order":
        table = table.take([1, 0, 2])
    else:
        table.columns["kept_2"] = table.columns.pop("kept")
    assert make.from_table(table).store().base.caching.get_hash() != first


def test_stored_rows_cannot_change(make: Any, table: Table) -> None:
    node = make.from_table(table).store()
    with pytest.raises(ModificationNotAllowed, match="is stored"):
        node.set_table(table)
    with pytest.raises(ModificationNotAllowed):
        node.set_array("ids", np.array([b"x"]))
    with pytest.raises(ValueError, match="read-only"):
        node.column("energy")[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        node.to_table().columns["energy"][0] = 0
    changed = node.to_table()
    changed.set_column("extra", [1, 2, 3])
    assert "extra" not in node.to_table().columns


def test_set_table_replaces_all_there_was(make: Any, table: Table) -> None:
    node = make.from_table(table)
    assert node.column("energy")[0] == -1.5
    node.set_table(Table(np.array(["z"]), {"other": np.array([1.0])}))
    assert node.ids.tolist() == ["z"]
    assert node.column_names == ["other"]
    assert sorted(node.base.repository.list_object_names()) == ["column_other.npy", "ids.npy"]
    assert node.place("z") == 0


def test_row_is_plain_python(make: Any, table: Table) -> None:
    row = make.from_table(table).row("ü/3")
    assert list(row) == ["id", *table.columns]
    assert row["id"] == "ü/3"
    assert row["energy"] == 2.5
    assert row["stress"] == [12.0, 13.0, 14.0, 15.0, 16.0, 17.0]
    assert {type(value) for value in row.values()} == {str, float, int, bool, list}
    assert math.isnan(make.from_table(table).row("b-2")["energy"])


def test_unknown_rows_and_columns_are_named(make: Any, table: Table) -> None:
    node = make.from_table(table)
    with pytest.raises(KeyError, match="no row 'x' among the 3"):
        node.row("x")
    with pytest.raises(KeyError, match=r"no column 'enrgy'.*status, energy, n_steps"):
        node.column("enrgy")
    with pytest.raises(KeyError, match="no column 'enrgy'"):
        node.unit("enrgy")
    with pytest.raises(KeyError, match="'x'"):
        node.select(["a", "x"])


def test_select_gives_rows_in_order(make: Any, table: Table) -> None:
    found = make.from_table(table).store().select(["ü/3", "a"])
    assert found.ids.tolist() == ["ü/3", "a"]
    assert found.columns["n_steps"].tolist() == [5, 3]
    assert make.from_table(table).unit("energy") == "eV"


def test_data_frame_has_a_column_per_component(make: Any, table: Table) -> None:
    frame = make.from_table(table).to_dataframe()
    assert frame.index.name == "id"
    assert frame.index.tolist() == table.ids.tolist()
    assert frame.loc["b-2", "stress_yz"] == table.columns["stress"][1, 3]
    assert frame["kept"].dtype == bool
    assert [name for name in frame if name.startswith("stress")] == [
        f"stress_{part}" for part in ("xx", "yy", "zz", "yz", "xz", "xy")
    ]


def test_duplicate_ids_are_refused(make: Any) -> None:
    with pytest.raises(DuplicateIdError, match="'a'"):
        make.from_ids(["a", "b", "a"])


def test_empty_table_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="needs at least one row"):
        make.from_ids([])
    with pytest.raises(ValidationError, match="needs rows"):
        make().store()


def test_bad_column_name_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"column name 'e \(eV\)' cannot stand in a query"):
        make.from_table(Table(np.array(["a"]), {"e (eV)": np.array([1.0])}))


def test_array_of_other_length_is_refused_at_store(make: Any, table: Table) -> None:
    node = make.from_table(table)
    node.set_array("column_energy", np.zeros(2))
    with pytest.raises(ValidationError, match=r"'column_energy' must have 3 rows, got shape \[2\]"):
        node.store()


def test_ids_only_is_a_table(make: Any) -> None:
    node = make.from_ids(f"r{i}" for i in range(3)).store()
    assert node.ids.tolist() == ["r0", "r1", "r2"]
    assert node.column_names == []


def test_table_of_crystals_keeps_only_columns(make: Any, structure_table: StructureTable) -> None:
    node = make.from_table(structure_table)
    assert node.column_names == list(structure_table.columns)
    assert "positions" not in node.get_arraynames()


def test_columns_of_rows_of_any_length_come_back(make: Any) -> None:
    rows = [np.arange(6.0).reshape(2, 3), None, np.ones((1, 3))]
    table = Table(np.array(["a", "b", "c"]), ragged={"curve": Ragged.of(rows)}, units={"curve": "THz"})
    node = make.from_table(table).store()
    found = orm.load_node(node.pk)
    assert found.unit("curve") == "THz"
    column = found.ragged("curve")
    assert [len(column[i]) for i in range(3)] == [2, 0, 1]
    assert np.array_equal(column[0], rows[0])
    taken = found.select(["c", "a"]).ragged["curve"]
    assert np.array_equal(taken[0], rows[2])
    assert np.array_equal(taken[1], rows[0])
    with pytest.raises(KeyError, match="there are: curve"):
        found.ragged("other")
