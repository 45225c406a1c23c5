"""Exports, read back by pymatgen, ASE, pandas and our own readers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from pymatgen.core import Structure

from aiida_pet.io.formats import format_named
from aiida_pet.io.readers import read_structures
from aiida_pet.io.writers import format_of, write_table
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table


@pytest.mark.parametrize("name", ["out.json", "out.json.gz"])
def test_json_is_read_by_pymatgen(tmp_path: Path, structure_table: StructureTable, name: str) -> None:
    write_table(structure_table, tmp_path / name)
    opener = gzip.open if name.endswith(".gz") else open
    with opener(tmp_path / name, "rt") as handle:
        records = json.load(handle)
    assert [record["material_id"] for record in records] == structure_table.ids.tolist()
    for index, record in enumerate(records):
        structure = Structure.from_dict(record["structure"])
        assert list(structure.atomic_numbers) == structure_table.ase_at(index).numbers.tolist()
        # fractional coordinates there and back
        np.testing.assert_allclose(structure.cart_coords, structure_table.ase_at(index).positions, atol=1e-12)


def test_json_round_trip_keeps_everything(tmp_path: Path, structure_table: StructureTable) -> None:
    write_table(structure_table, tmp_path / "out.json")
    again = read_structures(tmp_path / "out.json").table
    assert again.ids.tolist() == structure_table.ids.tolist()
    assert list(again.columns) == list(structure_table.columns)
    for name, values in structure_table.columns.items():
        np.testing.assert_array_equal(again.columns[name], values)
        assert again.columns[name].dtype.kind == values.dtype.kind
    np.testing.assert_array_equal(again.atom_columns["forces"], structure_table.atom_columns["forces"])
    np.testing.assert_array_equal(again.cells, structure_table.cells)
    np.testing.assert_allclose(again.positions, structure_table.positions, rtol=0, atol=1e-12)


def test_json_has_null_for_what_is_not_finite(tmp_path: Path, structure_table: StructureTable) -> None:
    structure_table.positions[0] = np.nan
    structure_table.cells[1] = 0
    structure_table.columns["stress"][2, 3] = np.inf
    write_table(structure_table, tmp_path / "out.json")

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    records = json.loads((tmp_path / "out.json").read_text(), parse_constant=refuse)
    assert records[4]["energy"] is None
    assert records[2]["stress"][3] is None
    again = read_structures(tmp_path / "out.json").table
    assert np.isnan(again.positions[0]).all()
    np.testing.assert_allclose(again.positions[1:3], structure_table.positions[1:3])


def test_json_keeps_ids_apart_from_a_column_of_ids(tmp_path: Path, structure_table: StructureTable) -> None:
    structure_table.set_column("material_id", ["x"] * 5)
    write_table(structure_table, tmp_path / "out.json")
    record = json.loads((tmp_path / "out.json").read_text())[0]
    assert (record["id"], record["material_id"]) == ("wbm-1-0", "x")


@pytest.mark.parametrize("name", ["out.xyz", "out.extxyz.gz", "out.xyz.xz"])
def test_extxyz_is_read_by_ase(
    tmp_path: Path, structure_table: StructureTable, same_crystal: Callable[..., bool], name: str
) -> None:
    write_table(structure_table, tmp_path / name)
    found = ase.io.read(tmp_path / name, ":")
    assert [atoms.info["id"] for atoms in found] == structure_table.ids.tolist()
    for index, atoms in enumerate(found):
        assert same_crystal(atoms, structure_table.ase_at(index), 1e-8)  # 8 decimals in the file
    assert found[1].get_potential_energy() == structure_table.columns["energy"][1]
    np.testing.assert_allclose(found[1].get_stress(), structure_table.columns["stress"][1], atol=1e-8)
    np.testing.assert_allclose(found[0].get_forces(), structure_table.atom_columns["forces"][:1], atol=1e-8)
    assert found[2].info["status"] == "max_steps"


def test_extxyz_can_be_imported_again(tmp_path: Path, structure_table: StructureTable) -> None:
    structure_table.set_column("message", ["", "two words", "", "", ""])
    write_table(structure_table, tmp_path / "out.xyz")
    again = read_structures(tmp_path / "out.xyz").table
    assert again.ids.tolist() == structure_table.ids.tolist()
    for name in ("status", "n_steps", "symmetry_kept_0_01", "message"):
        assert again.columns[name].tolist() == structure_table.columns[name].tolist()
    np.testing.assert_array_equal(again.columns["energy"], structure_table.columns["energy"])
    assert "input_energy" not in again.columns


def test_csv_is_read_by_pandas(tmp_path: Path, structure_table: StructureTable) -> None:
    write_table(structure_table, tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv", index_col="id")
    assert frame.index.tolist() == structure_table.ids.tolist()
    assert frame["formula"].tolist() == ["Mo", "TaW", "Ti2", "Cl4Na4", "Si2"]
    np.testing.assert_array_equal(frame["energy"], structure_table.columns["energy"])
    np.testing.assert_allclose(frame["stress_xy"], structure_table.columns["stress"][:, 5])


def test_cifs_are_read_by_pymatgen(tmp_path: Path, structure_table: StructureTable) -> None:
    assert write_table(structure_table, tmp_path / "cifs") == []
    assert sorted(path.name for path in (tmp_path / "cifs").iterdir()) == [f"wbm-1-{i}.cif" for i in range(5)]
    for index, row_id in enumerate(structure_table.ids):
        structure = Structure.from_file(tmp_path / "cifs" / f"{row_id}.cif")
        expected = structure_table.ase_at(index)
        assert structure.composition.reduced_formula
        assert sorted(structure.atomic_numbers) == sorted(expected.numbers.tolist())
        assert structure.volume == pytest.approx(expected.cell.volume, rel=1e-6)  # 6 decimals in the file


def test_cif_leaves_out_what_has_no_cell_and_says_which(tmp_path: Path) -> None:
    table = StructureTable.from_ase(
        [
            ("flat", Atoms("Mo", cell=np.zeros((3, 3)))),
            ("runs/a", Atoms("Mo", cell=np.eye(3) * 3, pbc=True)),
            ("runs_a", Atoms("Ta", cell=np.eye(3) * 3, pbc=True)),
            ("nan", Atoms("Mo", positions=[[np.nan] * 3], cell=np.eye(3) * 3, pbc=True)),
        ]
    )
    assert write_table(table, tmp_path / "cifs", "cif") == ["flat", "nan"]
    assert sorted(path.name for path in (tmp_path / "cifs").iterdir()) == ["runs_a.cif", "runs_a_2.cif"]


def test_table_without_crystals_can_be_csv_and_json_only(tmp_path: Path) -> None:
    table = Table(np.array(["a", "b"]), {"x": np.array([1.5, np.nan])})
    write_table(table, tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text()) == [
        {"material_id": "a", "x": 1.5},
        {"material_id": "b", "x": None},
    ]
    write_table(table, tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["x"][0] == 1.5
    with pytest.raises(ValueError, match="extxyz needs crystals"):
        write_table(table, tmp_path / "t.xyz")


def test_format_follows_the_name_unless_given(tmp_path: Path, structure_table: StructureTable) -> None:
    assert format_of(Path("a.b.csv.gz")) is format_named("csv")
    assert format_of(Path("folder")) is format_named("cif")
    with pytest.raises(ValueError, match=r"out\.xls: the name matches no format: expected \.xyz"):
        write_table(structure_table, tmp_path / "out.xls")
    with pytest.raises(ValueError, match="unknown format 'xls': expected extxyz, cif"):
        write_table(structure_table, tmp_path / "out.xls", "xls")
    write_table(structure_table, tmp_path / "out.xls", "csv")
    assert len(pd.read_csv(tmp_path / "out.xls")) == 5


def test_failed_export_leaves_the_old_file(tmp_path: Path, structure_table: StructureTable) -> None:
    path = tmp_path / "out.json"
    path.write_text("old")
    structure_table.columns["energy"] = np.array([1j] * 5)
    with pytest.raises(TypeError, match="complex"):
        write_table(structure_table, path)
    assert path.read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["out.json"]
