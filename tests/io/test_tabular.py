"""csv and parquet: structures as text in a column, and tables beside files of crystals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import ReadOptions, read_structures
from aiida_pet.io.writers import write_table
from aiida_pet.tables.crystals import StructureTable

IDS = ["NA", "nan", "0031", "1e3", "a,b", "null"]
STRUCTURE = Structure(Lattice.cubic(3.15), ["Mo", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def texts() -> dict[str, str]:
    return {
        "cif": str(CifWriter(STRUCTURE)),
        "poscar": Poscar(STRUCTURE).get_str(significant_figures=16),
        "json": STRUCTURE.to_json(),
        "python": str(STRUCTURE.as_dict()),
    }


@pytest.mark.parametrize("form", ["cif", "poscar", "json", "python"])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.parquet"])
def test_structures_as_text_are_read(tmp_path: Path, form: str, name: str) -> None:
    frame = pd.DataFrame(
        {"material_id": IDS, form: [texts()[form]] * 6, "gap": [0.5, np.nan, 1, 2, 3, 4], "ok": [True] * 6}
    )
    if name.endswith("parquet"):
        frame.to_parquet(tmp_path / name)
    else:
        frame.to_csv(tmp_path / name, sep="\t" if "tsv" in name else ",")  # with the index, as mp_20 has it
    table = read_structures(tmp_path / name).table
    assert table.ids.tolist() == IDS
    np.testing.assert_array_equal(table.columns["gap"], frame["gap"])
    assert table.columns["ok"].dtype == bool
    assert set(table.columns) == {"gap", "ok"}
    np.testing.assert_allclose(table.cells[3], STRUCTURE.lattice.matrix, rtol=0, atol=1e-9)


def test_types_are_those_of_whole_columns(tmp_path: Path) -> None:
    rows = ["id,cif,n,x,label,flag,code"]
    cif = '"' + texts()["cif"].replace('"', '""') + '"'
    rows += [f"a,{cif},1,1.5,7,True,0031", f"b,{cif},2,,nan,False,0032", f"c,{cif},3,NA,x,true,1e3"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    table = read_structures(tmp_path / "t.csv").table
    assert table.columns["n"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(table.columns["x"], [1.5, np.nan, np.nan])
    assert table.columns["label"].tolist() == ["7", "nan", "x"]
    assert table.columns["flag"].tolist() == [True, False, True]
    assert table.columns["code"].tolist() == ["0031", "0032", "1e3"]


def test_a_damaged_row_costs_no_other_and_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": ["a", "b", "c"], "cif": [texts()["cif"], texts()["cif"][:150], texts()["cif"]]}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(StructureFileError, match=r"t\.csv: structure 'b'"):
        read_structures(tmp_path / "t.csv")
    result = read_structures(tmp_path / "t.csv", ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["a", "c"]


def crystals() -> StructureTable:
    table = StructureTable.from_ase([(name, bulk("W", a=3.1 + 0.01 * i)) for i, name in enumerate(IDS)])
    table.set_column("energy", np.linspace(-1, 0, 6), "eV")
    table.set_column("gap", [0.5, np.nan, 1, 2, 3, 4], "kJ/mol")
    table.set_column("label", ["7", "NA", "", "x", "nan", "y"])
    table.set_column("stress", np.arange(36.0).reshape(6, 6), "eV/A^3")
    table.set_column("n", np.arange(6))
    return table


@pytest.mark.parametrize("name", ["set.csv", "set.parquet", "set.csv.gz"])
@pytest.mark.parametrize("first", [True, False])
def test_a_table_goes_to_the_crystals_of_its_ids(tmp_path: Path, name: str, first: bool) -> None:
    table = crystals()
    write_table(table, tmp_path / name)
    bare = StructureTable.from_ase([(row_id, table.get_ase(row_id)) for row_id in reversed(IDS)])
    write_table(bare, tmp_path / "set.xyz")
    files = [tmp_path / name, tmp_path / "set.xyz"]
    again = read_structures(files if first else files[::-1]).table.select(IDS)
    for column in ("energy", "gap", "label", "n"):
        np.testing.assert_array_equal(again.columns[column], table.columns[column], err_msg=column)
        assert again.columns[column].dtype.kind == table.columns[column].dtype.kind
    np.testing.assert_array_equal(again.columns["stress_xy"], table.columns["stress"][:, 5])
    assert "formula" not in again.columns
    if name == "set.parquet":
        assert again.units["gap"] == "kJ/mol"


def test_a_table_adds_nothing_to_what_crystals_have_and_tells_rows_without_one(tmp_path: Path) -> None:
    table = crystals()
    write_table(table, tmp_path / "set.xyz")
    frame = pd.DataFrame({"id": ["NA", "other"], "gap": [9.0, 9.0], "new": [1.0, 2.0]})
    frame.to_csv(tmp_path / "more.csv", index=False)
    result = read_structures([tmp_path / "set.xyz", tmp_path / "more.csv"])
    np.testing.assert_array_equal(result.table.columns["gap"], table.columns["gap"])
    np.testing.assert_array_equal(result.table.columns["new"], [1.0, *[np.nan] * 5])
    assert result.table.units == table.units
    assert "1 row of a table without a crystal of its id: other" in result.summary()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "holds neither structures .* nor ids"),
        ("", "names no columns"),
        ("a,a\n1,2\n", "names column 'a' twice"),
        ('id,cif\na,"b\n', "not valid csv|no structures"),
        ("id,x\na,1\n", "no structures in"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(StructureFileError, match=message):
        read_structures(tmp_path / "t.csv")


def test_a_folder_passes_over_tables_of_something_else(tmp_path: Path) -> None:
    write_table(crystals(), tmp_path / "set.xyz")
    (tmp_path / "times.csv").write_text("a,b\n1,2\n")
    assert len(read_structures(tmp_path).table) == 6


def test_broken_first_row_costs_no_other(tmp_path: Path) -> None:
    cif = texts()["cif"]
    (tmp_path / "t.csv").write_text(f'id|cif|e\na|data_broken|1\n0b|"{cif}"|2\nc|"{cif}"\n')
    result = read_structures(tmp_path / "t.csv", ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["0b"]
    assert [problem.id for problem in result.problems] == ["a", "c"]
    assert (
        "expected 3, one for each column that the first line names (id, cif, e)" in result.problems[1].reason
    )


def test_blanks_before_quotes_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f'id, cif\na, "{texts()["cif"]}"\n')
    with pytest.raises(StructureFileError, match=r"expected a value in quotes to begin right after"):
        read_structures(tmp_path / "t.csv")


def test_fields_in_the_style_of_gnome_go_to_the_crystals(tmp_path: Path) -> None:
    (tmp_path / "gnome.csv").write_text("MaterialId,Composition,Formation Energy\n12345e6,W,-0.1\n")
    (tmp_path / "set.xyz").write_text('1\nLattice="3 0 0 0 3 0 0 0 3" id=12345e6\nW 0 0 0\n')
    table = read_structures([tmp_path / "set.xyz", tmp_path / "gnome.csv"]).table
    assert table.ids.tolist() == ["12345e6"]
    assert table.columns["Formation_Energy"].tolist() == [-0.1]


def test_tables_of_spreadsheets_are_read_and_decimal_commas_told(tmp_path: Path) -> None:
    cif = texts()["cif"].replace('"', '""')
    (tmp_path / "t.csv").write_text(f'sep=;\nid;cif;e;n\n007;"{cif}";1,5;1\nb;"{cif}";-2,25;2\n')
    result = read_structures(tmp_path / "t.csv")
    assert result.table.ids.tolist() == ["007", "b"]
    assert result.table.columns["e"].tolist() == ["1,5", "-2,25"]
    assert result.table.columns["n"].tolist() == [1, 2]
    assert any("column 'e' holds numbers with a decimal comma" in line for line in result.summary())


@pytest.mark.parametrize("values", [("1,5", "0.5", "1"), ("1,5", "2", "nan"), ("1,5", "-2,25", "")])
def test_decimal_commas_among_other_numbers_are_told(tmp_path: Path, values: tuple[str, ...]) -> None:
    write_table(crystals(), tmp_path / "set.xyz")
    names = crystals().ids.tolist()[3:6]
    lines = [f"{name.replace(',', ' ')};{value}" for name, value in zip(names, values, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(["sep=;", "id;e", *lines]) + "\n")
    result = read_structures([tmp_path / "set.xyz", tmp_path / "t.csv"])
    assert any("column 'e' holds numbers with a decimal comma" in line for line in result.summary())


def test_a_damaged_table_in_a_folder_is_an_error_and_another_table_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.cif", bulk("W"))
    (tmp_path / "prices.csv").write_text("metal,price\nW,30\n")
    (line,) = read_structures(tmp_path).summary()
    assert line.startswith(f"1 file was skipped, since it holds no crystals: {tmp_path / 'prices.csv'} (")
    assert "columns are metal, price" in line
    (tmp_path / "more.csv").write_text("metal,price\nW,30\n")
    (line,) = read_structures(tmp_path).summary()
    assert line.startswith("2 files were skipped, since they hold no crystals: ")
    (tmp_path / "table.csv").write_text('id,band_gap\n"a,1.0\n')
    with pytest.raises(StructureFileError, match=r"table\.csv: cannot be read: .*valid csv"):
        read_structures(tmp_path)
    assert len(read_structures(tmp_path, ReadOptions(skip_invalid=True)).problems) == 1
