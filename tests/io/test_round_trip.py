"""What is written comes back: random sets of crystals through every format, as `hypothesis` makes them.

``AIIDA_PET_HYPOTHESIS=300`` tries so many sets of each kind instead of a few.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.db import connect
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from aiida_pet.io.readers import read_structures
from aiida_pet.io.writers import write_table
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

PROFILE = settings(
    max_examples=int(os.environ.get("AIIDA_PET_HYPOTHESIS", "12")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize="AIIDA_PET_HYPOTHESIS" not in os.environ,
)

# Names that mean something to ASE, to pymatgen or to readers, and plain ones.
NAMES = [
    "energy", "free_energy", "stress", "forces", "magmoms", "magmom", "dipole", "charges", "entry_id", "material_id",
    "name", "structure", "data", "virial", "REF_energy", "move_mask", "positions", "numbers", "species", "pbc",
    "Lattice", "cell", "status", "e_above_hull", "a_", "C", "lambda", "T", "unique_id", "uid", "calculator", "formula",
    "energies", "stresses", "tags", "momenta", "mass", "fmax", "temperature", "spacegroup", "info", "aiida_pet",
]  # fmt: skip
UNITS = ["", "eV", "eV/A^3", "eV/A", "kJ/mol", "J/(K mol)", "GPa", "1", "Å", 'a "b"']
printable = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=12
)
ids = st.one_of(
    st.sampled_from(
        ["0031", "1e3", "T", "F", "nan", "NA", "null", "1,2", "1_0", '"q"', "a b", "_JSON 1", "-", "[1]"]
    ),
    st.from_regex(r"[0-9]{25,30}", fullmatch=True),
    printable.map(str.strip).filter(bool),
)
texts = st.one_of(ids, st.just(""))
floats = st.floats(width=64)
KINDS = {
    "float": floats,
    "int": st.integers(-(2**62), 2**62),
    "bool": st.booleans(),
    "text": texts,
}


@st.composite
def values(draw: st.DrawFn, n_rows: int, shapes: list[tuple[int, ...]]) -> np.ndarray:
    kind = draw(st.sampled_from(list(KINDS)))
    shape = draw(st.sampled_from(shapes))
    size = n_rows * int(np.prod(shape))
    flat = draw(st.lists(KINDS[kind], min_size=size, max_size=size))
    return np.array(flat, dtype={"float": float, "int": np.int64, "bool": bool, "text": str}[kind]).reshape(
        n_rows, *shape
    )


# Flags and counts of the catalogue; where some are missing a table holds them as numbers.
FLAGS = ["is_stable", "symmetry_kept_0_01", "has_nac", "phonons_is_dynamically_stable"]
COUNTS = ["n_imaginary", "spacegroup_0_01", "supercell_matrix"]


@st.composite
def partly_known(draw: st.DrawFn, name: str, n_rows: int) -> np.ndarray:
    """A flag or a count, (N, ...) float64, NaN where it is missing."""
    shape = (3, 3) if name == "supercell_matrix" else ()
    one = st.booleans() if name in FLAGS else st.integers(0, 2**40)
    size = n_rows * int(np.prod(shape))
    known = draw(st.lists(st.none() | one, min_size=size, max_size=size))
    return np.array([np.nan if value is None else value for value in known], dtype=float).reshape(
        n_rows, *shape
    )


@st.composite
def tables(draw: st.DrawFn, most: int = 50, columns: bool = True) -> StructureTable:
    """Sets of crystals with random ids, columns, units and missing values, some cells left-handed."""
    row_ids = draw(st.lists(ids, min_size=1, max_size=draw(st.sampled_from([1, 3, 8, most])), unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    crystals = []
    for row_id in row_ids:
        n_atoms = int(rng.integers(1, 4))
        cell = np.eye(3) * rng.uniform(2, 9, 3) + rng.uniform(-0.8, 0.8, (3, 3))
        cell = cell[[1, 0, 2]] if rng.random() < 0.5 else cell
        positions = rng.uniform(-3, 12, (n_atoms, 3))
        pbc = rng.random(3) < 0.7
        crystals.append((row_id, Atoms(rng.integers(1, 95, n_atoms), positions, cell=cell, pbc=pbc)))
    table = StructureTable.from_ase(crystals)
    if not columns:
        return table
    names = draw(st.lists(st.sampled_from(NAMES), max_size=6, unique=True))
    for name in names:
        where = draw(st.sampled_from(["row", "row", "row", "atom", "ragged"]))
        if where == "row":
            table.columns[name] = draw(
                values(len(table), [(), (), (), (1,), (3,), (6,), (9,), (3, 3), (2, 2, 2)])
            )
        elif where == "atom":
            table.atom_columns[name] = draw(values(len(table.numbers), [(), (1,), (3,), (3, 3)]))
        else:
            sizes = draw(st.lists(st.integers(0, 3), min_size=len(table), max_size=len(table)))
            table.ragged[name] = Ragged.of([rng.normal(size=(size, 3)) for size in sizes])
        unit = draw(st.sampled_from(UNITS))
        if unit:
            table.units[name] = unit
    for name in draw(st.lists(st.sampled_from(FLAGS + COUNTS), max_size=3, unique=True)):
        table.columns[name] = draw(partly_known(name, len(table)))
    if "energy" in table.columns and draw(st.booleans()):
        table.set_column("energy", rng.normal(size=len(table)), "eV")
    return table


def written_and_read(table: StructureTable, name: str) -> StructureTable:
    with tempfile.TemporaryDirectory() as folder:
        assert write_table(table, Path(folder) / name) == []
        return read_structures(Path(folder) / name).table


def assert_same_columns(again: StructureTable, table: StructureTable) -> None:
    assert set(again.columns) == set(table.columns)
    assert set(again.atom_columns) == set(table.atom_columns)
    assert set(again.ragged) == set(table.ragged)
    for found, expected in ((again.columns, table.columns), (again.atom_columns, table.atom_columns)):
        for name, column in expected.items():
            assert_array_equal(found[name], column, err_msg=name)
            assert found[name].dtype.kind == column.dtype.kind, name
    for name, column in table.ragged.items():
        assert again.ragged[name].sizes.tolist() == column.sizes.tolist()
        assert_array_equal(again.ragged[name].values, column.values)
    assert again.units == table.units


def assert_same_crystals(again: StructureTable, table: StructureTable, tolerance: float = 0.0) -> None:
    assert again.ids.tolist() == table.ids.tolist()
    for name in ("numbers", "pbc", "offsets"):
        assert_array_equal(getattr(again, name), getattr(table, name))
    for name in ("cells", "positions"):
        assert_allclose(getattr(again, name), getattr(table, name), rtol=0, atol=tolerance)


@PROFILE
@given(table=tables())
@pytest.mark.parametrize("name", ["a.json", "a.db", "a.xyz"])
def test_everything_comes_back_as_it_was(name: str, table: StructureTable) -> None:
    again = written_and_read(table, name)
    assert_same_crystals(again, table, 1e-8 if name == "a.xyz" else 0.0)
    assert_same_columns(again, table)


@PROFILE
@given(table=tables(columns=False))
def test_poscar_has_the_id_in_its_comment_line(table: StructureTable) -> None:
    table.pbc[:] = True  # a POSCAR knows no other
    with tempfile.TemporaryDirectory() as folder:
        write_table(table, Path(folder) / "set.vasp")
        again = read_structures(Path(folder) / "set.vasp").table
        first = (Path(folder) / "set.vasp").read_text().split("\n", 1)[0]
    assert str(table.ids[0]) in first or json.dumps(str(table.ids[0])) in first
    assert_same_crystals(again, table, 1e-10)


@PROFILE
@given(table=tables(columns=False))
def test_cif_keeps_id_and_hand_of_the_crystal(table: StructureTable) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_table(table, Path(folder) / "cifs")
        write_table(table, Path(folder) / "all.cif")
        again = read_structures(Path(folder) / "cifs").table
        collected = read_structures(Path(folder) / "all.cif").table
    assert set(again.ids) == set(table.ids)
    assert collected.ids.tolist() == table.ids.tolist()
    for row_id in table.ids:
        assert_equal_up_to_a_rotation(again.get_ase(row_id), table.get_ase(row_id))
        assert_equal_up_to_a_rotation(collected.get_ase(row_id), table.get_ase(row_id))


def assert_equal_up_to_a_rotation(found: Atoms, expected: Atoms) -> None:
    """The lattice may be spanned by -a, -b, -c; atoms may be other images. A mirror image is no rotation."""
    assert found.numbers.tolist() == expected.numbers.tolist()
    sign = np.sign(np.linalg.det(expected.cell.array) * np.linalg.det(found.cell.array))
    cell = sign * expected.cell.array
    rotation = np.linalg.solve(cell, found.cell.array)
    assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
    assert np.linalg.det(rotation) > 0
    shift = (found.positions - expected.positions @ rotation) @ np.linalg.inv(found.cell.array)
    assert_allclose((shift - np.round(shift)) @ found.cell.array, 0, atol=1e-6)


def screw(hand: int) -> Atoms:
    """Four atoms on a fourfold screw axis, P4_1 for 1 and P4_3 for -1, in a left-handed cell."""
    places = [(0.2, 0.1, 0.0), (-0.1, 0.2, 0.25), (-0.2, -0.1, 0.5), (0.1, -0.2, 0.75)]
    fractional = np.array([(x, y, hand * z) for x, y, z in places])
    cell = np.diag([4.0, 4.0, 6.0])
    # the same crystal in the basis a, b, -c, which is left-handed
    return Atoms("W4", positions=fractional @ cell, cell=cell * [[1], [1], [-1]], pbc=True)


@pytest.mark.parametrize(("hand", "group"), [(1, 76), (-1, 78)])
def test_cif_of_a_left_handed_cell_is_not_the_mirror_image(tmp_path: Path, hand: int, group: int) -> None:
    atoms = screw(hand)
    assert np.linalg.det(atoms.cell.array) < 0
    write_table(StructureTable.from_ase([("a", atoms)]), tmp_path / "cifs")
    read = {
        "pymatgen": Structure.from_file(tmp_path / "cifs" / "a.cif"),
        "ase": AseAtomsAdaptor.get_structure(ase.io.read(tmp_path / "cifs" / "a.cif")),
        "aiida-pet": AseAtomsAdaptor.get_structure(read_structures(tmp_path / "cifs").table.get_ase("a")),
    }
    for name, structure in read.items():
        assert SpacegroupAnalyzer(structure).get_space_group_number() == group, name


def test_what_other_programs_find_in_extxyz(tmp_path: Path) -> None:
    table = StructureTable.from_ase([("0031", screw(1)), ("b", screw(-1))])
    table.set_column("free_energy", [-5.5, -6.5], "kJ/mol")
    table.set_column("energy", [-40.0, np.nan], "eV")
    table.atom_columns["fixed_cartesian"] = np.array(
        [[True, True, True], [False, False, True]] + [[False] * 3] * 6
    )
    write_table(table, tmp_path / "a.xyz")
    first, second = ase.io.read(tmp_path / "a.xyz", ":")
    assert first.get_potential_energy() == -40
    assert "free_energy" not in first.calc.results
    assert first.constraints
    assert not second.constraints
    again = read_structures(tmp_path / "a.xyz").table
    assert again.ids.tolist() == ["0031", "b"]
    assert again.units == table.units
    assert_array_equal(again.columns["free_energy"], [-5.5, -6.5])
    assert_array_equal(again.columns["energy"], [-40.0, np.nan])
    assert_array_equal(again.atom_columns["fixed_cartesian"], table.atom_columns["fixed_cartesian"])


@pytest.mark.parametrize("name", ["a.xyz", "a.json", "a.db", "a.vasp"])
def test_held_atoms_come_back(tmp_path: Path, name: str) -> None:
    table = StructureTable.from_ase([("a", screw(1)), ("b", screw(-1))])
    table.atom_columns["fixed_scaled"] = np.array([[True, False, True]] * 2 + [[False] * 3] * 6)
    if name != "a.vasp":
        table.atom_columns["fixed_cartesian"] = np.array([[False] * 3] * 7 + [[True, True, False]])
    write_table(table, tmp_path / name)
    again = read_structures(tmp_path / name).table
    assert set(again.atom_columns) == set(table.atom_columns)
    for key, column in table.atom_columns.items():
        assert_array_equal(again.atom_columns[key], column)


def test_poscar_leaves_out_what_it_cannot_say(tmp_path: Path) -> None:
    table = StructureTable.from_ase([("a", screw(1)), ("b", screw(-1))])
    table.atom_columns["fixed_cartesian"] = np.array(
        [[False, False, True]] + [[False] * 3] * 3 + [[True] * 3] * 4
    )
    assert write_table(table, tmp_path / "set", "poscar") == ["a"]
    again = read_structures(tmp_path / "set").table
    assert again.ids.tolist() == ["b"]
    assert again.atom_columns["fixed_scaled"].all()


@pytest.mark.parametrize("name", ["a.xyz", "a.json", "a.db"])
def test_results_of_phonons_at_several_temperatures_come_back(tmp_path: Path, name: str) -> None:
    table = StructureTable.from_ase([("mp-1", screw(1)), ("mp-2", screw(-1))])
    table.set_column("free_energy", [[-5.5, -6.0, -7.0], [np.nan] * 3], "kJ/mol")
    table.set_column("entry_id", ["mp-1-GGA", ""])
    table.set_column("message", ["", ""])
    table.ragged["force_constants"] = Ragged.of([np.arange(18.0).reshape(2, 3, 3), None])
    write_table(table, tmp_path / name)
    again = read_structures(tmp_path / name).table
    assert_same_crystals(again, table, 1e-8)
    assert_same_columns(again, table)


FLAG_VALUES, COUNT_VALUES = [True, False, None], [3, None, 0]


@pytest.fixture(scope="module")
def half_known() -> StructureTable:
    """Three crystals, a flag and a count, each with a value that is missing, and counts in a matrix."""
    table = StructureTable.from_ase([(name, screw(1)) for name in "abc"])
    table.set_column("is_stable", [1.0, 0.0, np.nan])
    table.set_column("n_imaginary", [3.0, np.nan, 0.0])
    table.set_column("supercell_matrix", np.stack([2 * np.eye(3), np.full((3, 3), np.nan), np.eye(3)]))
    return table


def test_extxyz_has_true_false_and_no_key_for_what_is_missing(
    tmp_path: Path, half_known: StructureTable
) -> None:
    write_table(half_known, tmp_path / "a.xyz")
    frames = ase.io.read(tmp_path / "a.xyz", ":")
    for name, values in (("is_stable", FLAG_VALUES), ("n_imaginary", COUNT_VALUES)):
        found = [frame.info.get(name) for frame in frames]
        assert found == values
        kinds = {np.asarray(value).dtype.kind for value in found if value is not None}
        assert kinds == ({"b"} if name == "is_stable" else {"i"})
    assert frames[0].info["supercell_matrix"].tolist() == [2, 0, 0, 0, 2, 0, 0, 0, 2]
    assert "supercell_matrix" not in frames[1].info


def test_json_database_and_tables_have_true_false_and_nothing(
    tmp_path: Path, half_known: StructureTable
) -> None:
    for name in ("a.json", "a.db", "a.csv", "a.parquet"):
        write_table(half_known, tmp_path / name)
    records = json.loads((tmp_path / "a.json").read_text())
    with connect(tmp_path / "a.db") as database:
        pairs = [row.key_value_pairs for row in database.select()]
    arrow = pq.read_table(tmp_path / "a.parquet").to_pylist()
    for rows in (records, pairs, arrow):
        for name, values in (("is_stable", FLAG_VALUES), ("n_imaginary", COUNT_VALUES)):
            found = [row.get(name) for row in rows]
            assert found == values
            assert [type(value) for value in found] == [type(value) for value in values]
    assert records[0]["supercell_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    with (tmp_path / "a.csv").open(newline="") as handle:
        texts = list(csv.DictReader(handle))
    assert [row["is_stable"] for row in texts] == ["True", "False", ""]
    assert [row["n_imaginary"] for row in texts] == ["3", "", "0"]
    assert [row["supercell_matrix_0"] for row in texts] == ["2", "", "1"]


@st.composite
def columns_of_rows(draw: st.DrawFn, n_rows: int) -> dict[str, np.ndarray]:
    """Columns of one value per row, and what else a table may call so."""
    found = {"x": draw(values(n_rows, [()]))}
    for name in draw(st.lists(st.sampled_from(FLAGS + COUNTS[:2]), max_size=4, unique=True)):
        found[name] = draw(partly_known(name, n_rows))
    return found


@PROFILE
@given(table=tables(most=20, columns=False), data=st.data())
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_come_back_beside_an_extxyz_of_the_same_ids(
    suffix: str, table: StructureTable, data: st.DataObject
) -> None:
    columns = data.draw(columns_of_rows(len(table)))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "a.xyz", Path(folder) / f"a.{suffix}"]
        write_table(table, files[0])
        write_table(replace(table, columns=columns, units={"x": "eV"}), files[1])
        again = read_structures(files).table
    assert again.ids.tolist() == table.ids.tolist()
    assert set(again.columns) == set(columns)
    if columns["x"].dtype.kind == "U" and suffix == "csv":
        del columns["x"]  # of texts that look like numbers nothing says that they are none
    for name, column in columns.items():
        assert_array_equal(again.columns[name], column)
    assert again.units == ({"x": "eV"} if suffix == "parquet" else {})


def test_what_ase_read_and_wrote_again_comes_back(tmp_path: Path) -> None:
    table = StructureTable.from_ase([("0031", screw(1)), ('q"x \\y', screw(-1))])
    table.set_column("energy", [-1.0, 2.0], "eV")
    table.set_column("stress", np.arange(12.0).reshape(2, 6), "eV/A^3")
    table.set_column("free_energy", [1.0, 2.0], "kJ/mol")
    table.set_column("path", np.arange(6.0).reshape(2, 3), "A")
    table.set_column("tensor", np.arange(18.0).reshape(2, 3, 3))
    table.set_column("label", ["7", 'a "quoted" text'])
    table.atom_columns["born"] = np.arange(72.0).reshape(8, 3, 3)
    write_table(table, tmp_path / "ours.xyz")
    frames = ase.io.read(tmp_path / "ours.xyz", ":")
    frames[0].info["e_above_hull"] = 0.25
    ase.io.write(tmp_path / "theirs.xyz", frames)
    again = read_structures(tmp_path / "theirs.xyz").table
    assert_array_equal(again.columns.pop("e_above_hull"), [0.25, np.nan])
    assert_same_crystals(again, table, 1e-8)
    assert_same_columns(again, table)
