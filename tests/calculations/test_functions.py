from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk

from aiida_pet.tables.crystals import StructureTable


@pytest.fixture
def crystals() -> list[tuple[str, Atoms]]:
    return [(f"r-{i}", bulk("Mo", cubic=True, a=3.1 + 0.01 * i).repeat((1, 1, i + 1))) for i in range(5)]


@pytest.fixture
def structures(aiida_profile: Any, crystals: list[tuple[str, Atoms]]) -> Any:
    from aiida_pet.data.structures import StructureSetData

    return StructureSetData.from_iterator(crystals, columns={"own": np.arange(5.0)}).store()


@pytest.fixture
def make_results(structures: Any) -> Any:
    """Results of a job for some rows: their cell grown by 1 %, with the columns of a relaxation."""
    from aiida_pet.data.structures import StructureSetData

    def make(ids: list[str]) -> Any:
        table: StructureTable = structures.select(ids)
        table.columns = {}
        table.cells = table.cells * 1.01
        table.set_column("status", ["converged"] * len(ids))
        table.set_column("energy", [-1.0 * int(name[-1]) for name in ids], "eV")
        table.set_column("spacegroup_0_01", [229] * len(ids))
        table.atom_columns["forces"] = np.ones((int(table.offsets[-1]), 3))
        return StructureSetData.from_table(table)

    return make


def test_extract_structure_links_row_and_structure(
    structures: Any, crystals: list[tuple[str, Atoms]]
) -> None:
    from aiida_pet.calculations.functions import extract_structure

    node = extract_structure(structures, orm.Str("r-3"))
    assert node.is_stored
    assert node.label == "r-3"
    expected = crystals[3][1]
    np.testing.assert_array_equal(node.get_ase().numbers, expected.numbers)
    np.testing.assert_allclose(node.get_ase().positions, expected.positions, rtol=0, atol=1e-12)
    np.testing.assert_allclose(node.cell, expected.cell.array, rtol=0, atol=1e-12)
    assert node.creator.inputs.set.uuid == structures.uuid
    assert node.creator.inputs.id.value == "r-3"


def test_extract_structure_of_unknown_row_names_it(structures: Any) -> None:
    from aiida_pet.calculations.functions import extract_structure

    with pytest.raises(KeyError, match="no row 'r-9' among the 5"):
        extract_structure(structures, orm.Str("r-9"))


def test_extract_structure_refuses_what_is_not_finite(aiida_profile: Any) -> None:
    from aiida_pet.calculations.functions import extract_structure
    from aiida_pet.data.structures import StructureSetData

    broken = StructureSetData.from_iterator([("nan", Atoms("Mo", positions=[[np.nan] * 3], cell=np.eye(3)))])
    with pytest.raises(ValueError, match="row 'nan' has positions or a cell that are not finite"):
        extract_structure(broken, orm.Str("nan"))


def test_collect_structures_is_the_way_back(structures: Any) -> None:
    from aiida_pet.calculations.functions import collect_structures, extract_structure

    singles = {name: extract_structure(structures, orm.Str(f"r-{name[-1]}")) for name in ("z0", "a3")}
    collected = collect_structures(**singles)
    assert collected.ids.tolist() == ["a3", "z0"]
    expected = structures.select(["r-3", "r-0"])
    np.testing.assert_allclose(collected.to_table().positions, expected.positions, rtol=0, atol=1e-12)
    np.testing.assert_allclose(collected.to_table().cells, expected.cells, rtol=0, atol=1e-12)
    assert collected.creator.inputs.a3.uuid == singles["a3"].uuid


def test_collect_structures_refuses_disorder_and_emptiness(aiida_profile: Any) -> None:
    from aiida_pet.calculations.functions import collect_structures

    alloy = orm.StructureData(cell=np.eye(3) * 3.2)
    alloy.append_atom(position=(0, 0, 0), symbols=["Nb", "Ta"], weights=[0.5, 0.5])
    with pytest.raises(ValueError, match="structure 'x' has sites of mixed or partial occupancy"):
        collect_structures(x=alloy)
    with pytest.raises(ValueError, match="at least one row"):
        collect_structures()


def test_merge_tables_puts_rows_in_order_of_the_input(structures: Any, make_results: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables

    parts = {"job_0": make_results(["r-4", "r-1"]), "job_1": make_results(["r-0", "r-3", "r-2"])}
    merged = merge_tables(structures=structures, results=parts)
    assert merged.ids.tolist() == structures.ids.tolist()
    assert merged.column("energy").tolist() == [0, -1, -2, -3, -4]
    assert merged.unit("energy") == "eV"
    assert "own" not in merged.column_names
    table = merged.to_table()
    assert table.n_atoms.tolist() == structures.to_table().n_atoms.tolist()
    np.testing.assert_allclose(table.cells, structures.to_table().cells * 1.01)
    np.testing.assert_array_equal(table.atom_columns["forces"], 1)
    assert {link.node.uuid for link in merged.creator.base.links.get_incoming().all()} == {
        structures.uuid,
        *(node.uuid for node in parts.values()),
    }


def test_merge_tables_gives_missing_rows_the_status_left(structures: Any, make_results: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables
    from aiida_pet.data.merging import LEFT_MESSAGE

    merged = merge_tables(structures=structures, job=make_results(["r-2"]))
    assert merged.column("status").tolist() == ["left", "left", "converged", "left", "left"]
    assert merged.base.attributes.get("counts")["status"] == {"converged": 1, "left": 4}
    assert merged.row("r-0")["message"] == LEFT_MESSAGE
    assert merged.row("r-2")["message"] == ""
    assert np.isnan(merged.column("energy")).tolist() == [True, True, False, True, True]
    # 0 would say that they have no space group
    np.testing.assert_array_equal(merged.column("spacegroup_0_01"), [np.nan, np.nan, 229, np.nan, np.nan])
    table = merged.to_table()
    np.testing.assert_array_equal(table.cells[0], structures.to_table().cells[0])
    assert np.isnan(table.atom_columns["forces"][:2]).all()


def test_merge_tables_of_chosen_rows_has_only_these(structures: Any, make_results: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables
    from aiida_pet.data.table import TableData

    rows = TableData.from_ids(["r-3", "r-1", "r-0"])
    merged = merge_tables(structures=structures, rows=rows, a=make_results(["r-0"]), b=make_results(["r-3"]))
    assert merged.ids.tolist() == ["r-3", "r-1", "r-0"]
    assert merged.column("status").tolist() == ["converged", "left", "converged"]


def test_merge_tables_of_nothing_leaves_every_row(structures: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables

    merged = merge_tables(structures=structures)
    assert set(merged.column("status").tolist()) == {"left"}
    assert merged.ids.tolist() == structures.ids.tolist()


def test_merge_tables_takes_a_row_done_twice_of_the_first_table(structures: Any, make_results: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables
    from aiida_pet.data.structures import StructureSetData

    again = make_results(["r-1", "r-2"]).to_table()
    again.set_column("energy", [-100.0, -200.0], "eV")
    parts = {"a": make_results(["r-0", "r-1"]), "b": StructureSetData.from_table(again)}
    merged = merge_tables(structures=structures, **parts)
    assert merged.column("energy").tolist()[:3] == [0, -1, -200]
    assert len(merged) == len(structures)


def test_merge_tables_refuses_rows_nobody_asked_for(structures: Any, make_results: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables
    from aiida_pet.data.table import TableData

    with pytest.raises(ValueError, match="row 'r-2' of table a does not belong to the 1 rows of this launch"):
        merge_tables(structures=structures, rows=TableData.from_ids(["r-1"]), a=make_results(["r-2"]))


def test_merged_tables_have_one_hash_whatever_the_jobs_were(structures: Any, make_results: Any) -> None:
    from aiida_pet.calculations.functions import merge_tables

    one = merge_tables(structures=structures, a=make_results([f"r-{i}" for i in range(5)]))
    two = merge_tables(
        structures=structures, z=make_results(["r-1", "r-0"]), y=make_results(["r-2", "r-4", "r-3"])
    )
    assert one.base.caching.get_hash() == two.base.caching.get_hash()
