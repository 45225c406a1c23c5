"""Merged tables: the rows of many, in the order of the input, in the files of their parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from aiida import orm
from aiida.manage import get_manager

from aiida_pet.data import merging, segments
from aiida_pet.data.lookup import read_columns, select_positions
from aiida_pet.data.merging import LEFT_MESSAGE, merge_nodes, merged, places
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.table import DuplicateIdError, Table

pytestmark = pytest.mark.usefixtures("aiida_profile")
N = 12


def crystals(seed: int = 0) -> StructureTable:
    random = np.random.default_rng(seed)
    sizes = random.integers(1, 5, N)
    total = int(sizes.sum())
    return StructureTable(
        ids=np.array([f"crystal-{row}ü" for row in range(N)]),
        numbers=random.choice([41, 42, 73], total),
        positions=random.random((total, 3)),
        cells=np.eye(3) * 3 + random.random((N, 3, 3)),
        pbc=np.ones((N, 3), bool),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )


def results(rows: list[int], seed: int, *, phonons: bool = False) -> StructureTable:
    random = np.random.default_rng(seed)
    table = crystals().take(rows)
    table.positions = table.positions + 0.01 * random.random(table.positions.shape)
    table.set_column("status", np.where(random.random(len(rows)) < 0.5, "converged", "max_steps"))
    table.set_column("message", np.array(["x" * (row % 3) for row in rows]))
    table.set_column("energy", random.random(len(rows)), "eV")
    table.set_column("stress", random.random((len(rows), 6)), "eV/A^3")
    table.set_column("n_steps", random.integers(1, 9, len(rows)))
    table.set_column("mine", random.integers(1, 9, len(rows)))
    table.set_column("spacegroup_0_01", random.integers(1, 230, len(rows)))
    table.atom_columns["forces"] = random.random((len(table.numbers), 3))
    table.units["forces"] = "eV/A"
    if phonons:
        table.set_column("is_dynamically_stable", np.arange(len(rows)) % 2 == 0)
        table.set_column("n_imaginary", np.arange(len(rows)))
        table.set_column("supercell_matrix", np.tile(np.eye(3, dtype=int), (len(rows), 1, 1)))
        table.set_column("layergroup_0_01", random.integers(1, 80, len(rows)))
        table.ragged["curve"] = Ragged.of([random.random((row % 4, 2)) for row in rows])
        table.units["curve"] = "THz"
    return table


def parts() -> dict[str, StructureTable]:
    """Results in three parts, of which one has a column of its own, and a row that no part has."""
    return {
        "job_00000": results([7, 2, 9, 4], 1),
        "job_00001": results([1, 0, 11], 2, phonons=True),
        "job_00002": results([10, 3, 5, 8], 3),
    }


@pytest.fixture
def in_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "LEAST_ROWS", 1)


def merge(tables: dict[str, StructureTable], ids: Any = None) -> StructureSetData:
    structures = StructureSetData.from_table(crystals()).store()
    nodes = {name: StructureSetData.from_table(table).store() for name, table in tables.items()}
    return merge_nodes(structures, structures.ids if ids is None else ids, nodes)


def assert_equal(found: StructureTable, expected: StructureTable) -> None:
    arrays, wanted = found.to_arrays(), expected.to_arrays()
    assert arrays.keys() == wanted.keys()
    for name in wanted.keys() - {"meta"}:
        array = wanted[name]
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
        assert arrays[name].dtype.kind == array.dtype.kind
    assert list(found.columns) == list(expected.columns)
    assert found.units == expected.units


@pytest.mark.parametrize("stored", [False, True])
def test_table_in_segments_reads_as_the_whole_one(in_segments: None, stored: bool) -> None:
    node = merge(parts())
    assert node.is_segmented
    if stored:
        node = StructureSetData.collection.get(uuid=node.store().uuid)
        assert node.is_segmented
    expected = merged(crystals(), parts())
    assert_equal(node.to_table(), expected)
    whole = StructureSetData.from_table(expected)
    if stored:
        whole.store()  # AiiDA rounds the numbers of attributes
    assert not whole.is_segmented
    ignored = {"segments"}
    told = {key: value for key, value in node.base.attributes.all.items() if key not in ignored}
    assert told == whole.base.attributes.all
    assert str(node.row("crystal-4ü")) == str(whole.row("crystal-4ü"))  # NaN
    assert node.row("crystal-6ü")["message"] == LEFT_MESSAGE
    np.testing.assert_array_equal(node.atom_column("forces"), expected.atom_columns["forces"])
    assert node.get_ase("crystal-9ü") == whole.get_ase("crystal-9ü")
    places = select_positions(node, "status == converged and energy < 0.8")
    np.testing.assert_array_equal(places, select_positions(whole, "status == converged and energy < 0.8"))
    assert read_columns(node, ["energy", "formula"]).equals(read_columns(whole, ["energy", "formula"]))


@pytest.mark.parametrize("least", [1, 1000])
def test_flags_and_counts_that_a_part_lacks_are_missing(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    """Row 6 is in no part, rows 0, 1 and 11 are in the part with phonons."""
    monkeypatch.setattr(segments, "LEAST_ROWS", least)
    node = merge(parts())
    assert node.is_segmented == (least == 1)
    frame = node.to_dataframe().set_axis(range(N), axis=0)
    own = [0, 1, 11]
    others = [row for row in range(N) if row not in own]
    for name in ("is_dynamically_stable", "n_imaginary", "supercell_matrix_0"):
        assert frame[name].isna().to_numpy().nonzero()[0].tolist() == others
    assert frame["is_dynamically_stable"][own].tolist() == [False, True, True]  # in the part: 1, 0, 11
    assert frame["n_imaginary"][own].tolist() == [1, 0, 2]
    assert frame["n_steps"][6] == 0  # was not relaxed
    assert pd.isna(frame["spacegroup_0_01"][6])
    # no slab was in the parts that lack it, and what row 6 is nobody looked at
    assert frame["layergroup_0_01"][[2, 3, 4, 5, 7, 8, 9, 10]].tolist() == [0] * 8
    assert pd.isna(frame["layergroup_0_01"][6])
    assert node.row("crystal-6ü")["is_dynamically_stable"] is None
    assert node.row("crystal-0ü")["n_imaginary"] == 1


def test_hash_is_that_of_the_content(in_segments: None, monkeypatch: pytest.MonkeyPatch) -> None:
    node = merge(parts()).store()
    other = parts()
    shuffled = {"a": other["job_00002"], "b": other["job_00000"].take([3, 1]), "d": other["job_00001"]}
    again = merge(shuffled | {"c": other["job_00000"].take([0, 2])}).store()
    monkeypatch.setattr(segments, "LEAST_ROWS", N + 1)
    whole = merge(parts()).store()
    assert (node.is_segmented, again.is_segmented, whole.is_segmented) == (True, True, False)
    hashes = {one.base.caching.get_hash() for one in (node, again, whole)}
    assert len(hashes) == 1
    changed = parts()
    changed["job_00001"].columns["energy"][1] += 1e-12
    assert merge(changed).store().base.caching.get_hash() not in hashes


def test_files_of_the_parts_are_in_the_repository_once(in_segments: None) -> None:
    repository = get_manager().get_profile_storage().get_repository()
    tables = parts()
    tables["job_00001"].columns["energy"] += 1  # files that no other test has stored
    node = merge(dict(sorted(tables.items(), reverse=True)), crystals(0).ids[[3, *range(3), *range(4, N)]])
    before = set(repository.list_objects())
    node.store()
    fresh = set(repository.list_objects()) - before
    # what no part has: the order, the rows that are left, and a choice of ids
    mine = node.base.repository.metadata["o"]
    left = {file["k"] for file in mine["segments"]["o"]["003"]["o"].values()}
    assert fresh <= left | {mine["order.npy"]["k"], mine["ids.npy"]["k"]}
    assert mine["order.npy"]["k"] in fresh


def test_rows_that_are_not_wanted_stay_behind(in_segments: None) -> None:
    done = {f"done_{name}": table for name, table in parts().items()}
    ids = crystals().ids[[11, 5, 0]]
    node = merge(done, ids).store()
    assert node.ids.tolist() == ids.tolist()
    assert node.is_segmented
    assert_equal(node.to_table(), merged(crystals().select(ids), done))
    # of the first part no row is wanted
    assert node.base.attributes.get("segments") == [3, 4]


@pytest.mark.parametrize("least", [1, 10**6])
def test_row_that_two_jobs_did_is_there_once(monkeypatch: pytest.MonkeyPatch, least: int) -> None:
    monkeypatch.setattr(segments, "LEAST_ROWS", least)
    again = parts()["job_00002"]
    again.columns["energy"] = again.columns["energy"] + 100.0
    node = merge(parts() | {"job_00003": again}).store()
    assert node.is_segmented == (least == 1)
    assert_equal(node.to_table(), merged(crystals(), parts()))
    mixed = parts() | {"job_00001": again.take(np.array([0, 2]))}
    table = merge(mixed).store().to_table()
    energies = dict(zip(table.ids.tolist(), table.columns["energy"].tolist(), strict=True))
    for where, name in enumerate(again.ids.tolist()):
        first = again if where in (0, 2) else parts()["job_00002"]
        assert energies[name] == first.columns["energy"][where]


def test_part_in_segments_can_be_merged_again(in_segments: None) -> None:
    tables = parts()
    first = merge(
        {"a": tables["job_00000"], "b": tables["job_00001"]}, crystals().ids[[7, 2, 9, 4, 1, 0, 11]]
    )
    structures = StructureSetData.from_table(crystals())
    second = StructureSetData.from_table(tables["job_00002"]).store()
    node = merge_nodes(structures, structures.ids, {"job_0": first.store(), "job_1": second}).store()
    assert first.is_segmented
    assert node.is_segmented
    table = node.to_table()
    expected = merged(crystals(), tables)
    np.testing.assert_array_equal(table.columns["energy"], expected.columns["energy"])
    np.testing.assert_array_equal(table.ragged["curve"].values, expected.ragged["curve"].values)


def test_content_can_be_replaced_before_it_is_stored(in_segments: None) -> None:
    node = merge(parts())
    node.set_table(crystals())
    assert not node.is_segmented
    assert node.store().column_names == []
    assert_equal(node.to_table(), crystals())
    assert (
        node.base.caching.get_hash()
        == StructureSetData.from_table(crystals()).store().base.caching.get_hash()
    )


def test_columns_without_crystals_lie_in_segments_too() -> None:
    tables = [
        Table(np.array(["a", "b"]), {"x": np.arange(2.0)}),
        Table(np.array(["c"]), {"y": np.array(["ü"])}),
    ]
    nodes = [TableData.from_table(tables[0]).store(), tables[1]]
    node = TableData.from_segments(np.array(["c", "a"]), np.array([2, 0]), nodes).store()
    assert node.column("y").tolist() == ["ü", ""]
    assert np.isnan(node.column("x")[0])
    assert node.column("x")[1] == 0
    with pytest.raises(DuplicateIdError, match="'c'"):
        TableData.from_segments(np.array(["c", "c"]), np.array([2, 0]), nodes)


def test_array_written_by_hand_takes_the_hash_of_the_content_away() -> None:
    node = TableData.from_table(Table(np.array(["a"]), {"x": np.array([1.0])}))
    other = TableData.from_table(Table(np.array(["a"]), {"x": np.array([1.0])}))
    other.set_array("column_x", np.array([2.0]))
    assert node.store().base.caching.get_hash() != other.store().base.caching.get_hash()


def test_few_rows_or_many_segments_are_stored_whole() -> None:
    assert segments.is_worth_while(4, 20_000)
    assert not segments.is_worth_while(1, 20_000)
    assert not segments.is_worth_while(4, 4 * segments.LEAST_ROWS - 1)
    assert not segments.is_worth_while(segments.MOST_SEGMENTS + 1, 10**6)
    assert not merge(parts()).is_segmented


def test_cache_clones_a_table_in_segments(in_segments: None) -> None:
    node = merge(parts()).store()
    clone = node.clone().store()
    assert clone.is_segmented
    assert_equal(clone.to_table(), node.to_table())
    assert isinstance(clone, orm.ArrayData)


def test_places_are_found_and_what_is_wrong_is_named() -> None:
    ids = np.array(["b", "a", "dd", "c"])
    assert places(ids, {"x": np.array(["dd"]), "y": np.array(["a", "b"])}).tolist() == [2, 1, 0, -1]
    twice = {"x": np.array(["c"]), "y": np.array(["a", "b"]), "z": np.array(["dd", "a"])}
    assert places(ids, twice).tolist() == [2, 1, 3, 0]
    with pytest.raises(ValueError, match="row 'zz' of table x does not belong to the 4 rows of this launch"):
        places(ids, {"x": np.array(["c", "zz"])})
    assert places(ids, {f"{merging.DONE}x": np.array(["zz", "c"])}).tolist() == [-1, -1, -1, 1]
