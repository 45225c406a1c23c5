"""Readers of extxyz, CIF, POSCAR and ASE databases, checked against ase.io and pymatgen."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixScaled
from ase.db import connect
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.io.vasp import Poscar

from aiida_pet.data.structures import StructureSetData
from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.formats import format_named
from aiida_pet.io.readers import ReadOptions, read_structures

Same = Callable[..., bool]


def without_ids(crystals: list[Atoms]) -> list[Atoms]:
    for atoms in crystals:
        atoms.info.clear()
    return crystals


# -- extxyz ----------------------------------------------------------------------------------------------------


def test_extxyz_equals_ase(tmp_path: Path, crystals: list[Atoms], same_crystal: Same) -> None:
    path = tmp_path / "set.extxyz"
    ase.io.write(path, crystals)
    table = read_structures(path).table
    assert table.ids.tolist() == [f"wbm-1-{i}" for i in range(5)]
    for index, expected in enumerate(ase.io.read(path, ":")):
        assert same_crystal(table.ase_at(index), expected)
    np.testing.assert_allclose(table.columns["e_form"], [a.info["e_form"] for a in crystals], rtol=1e-12)


def test_extxyz_results_are_kept_as_input(tmp_path: Path, crystals: list[Atoms]) -> None:
    ase.io.write(tmp_path / "set.xyz", crystals)
    table = read_structures(tmp_path / "set.xyz").table
    expected = ase.io.read(tmp_path / "set.xyz", 0)
    assert table.columns["input_energy"][0] == expected.get_potential_energy()
    np.testing.assert_array_equal(table.columns["input_stress"][0], expected.get_stress())
    np.testing.assert_array_equal(table.atom_columns["input_forces"][:1], expected.get_forces())
    assert np.isnan(table.columns["input_energy"][1:]).all()
    assert np.isnan(table.atom_columns["input_forces"][1:]).all()
    assert table.units["input_stress"] == "eV/A^3"
    assert table.units["input_forces"] == "eV/A"


def test_real_training_set_equals_ase(shared_data: Path, same_crystal: Same) -> None:
    path = shared_data / "refractory" / "validation.xyz.xz"
    table = read_structures(path).table
    expected = ase.io.read(path, ":")
    assert len(table) == len(expected) == 264
    assert table.ids[0] == "validation-0"
    forces = np.concatenate([atoms.get_forces() for atoms in expected])
    np.testing.assert_array_equal(table.atom_columns["input_forces"], forces)
    np.testing.assert_array_equal(table.columns["input_stress"], [atoms.get_stress() for atoms in expected])
    assert table.columns["config"].tolist() == [atoms.info["config"] for atoms in expected]
    assert all(same_crystal(table.ase_at(i), atoms) for i, atoms in enumerate(expected))


@pytest.mark.parametrize("key", ["material_id", "id", "name"])
def test_extxyz_id_comes_from_info(tmp_path: Path, key: str) -> None:
    atoms = bulk("Mo")
    atoms.info[key] = "mine-7"
    ase.io.write(tmp_path / "a.xyz", atoms)
    table = read_structures(tmp_path / "a.xyz").table
    assert table.ids.tolist() == ["mine-7"]
    assert not table.columns


def test_frames_without_id_are_numbered_and_a_single_one_is_not(
    tmp_path: Path, crystals: list[Atoms]
) -> None:
    without_ids(crystals)
    ase.io.write(tmp_path / "many.xyz", crystals)
    ase.io.write(tmp_path / "single.v2.xyz", crystals[0])
    ids = read_structures([tmp_path / "many.xyz", tmp_path / "single.v2.xyz"]).table.ids.tolist()
    assert ids == [*(f"many-{i}" for i in range(5)), "single.v2"]


def test_plain_xyz_is_not_periodic(tmp_path: Path) -> None:
    (tmp_path / "m.xyz").write_text("2\ncomment\nN 0 0 0\nN 0 0 1.1\n")
    table = read_structures(tmp_path / "m.xyz").table
    assert table.pbc.tolist() == [[False, False, False]]
    assert table.volumes().tolist() == [0]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace("Ta ", "Qq ", 1), "got 'Qq': expected an element symbol"),
        (lambda text: text.replace("Ta       0", "Ta       zero", 1), "pos is 'zero.*expected a number"),
        (lambda text: text.replace("\n2\n", "\n3\n", 1), "expected 3 atoms, got 2 before the next frame"),
        (lambda text: text.replace("\n2\n", "\n1\n", 1), "expected a number of atoms"),
        (lambda text: text.replace("\n2\n", "\ntwo\n", 1), "expected a number of atoms, got 'two'"),
        (lambda text: text.replace("Ta ", "X ", 1), "got 'X': expected an element symbol"),
    ],
)
def test_damaged_frame_names_id_and_line_and_costs_no_other(
    tmp_path: Path, crystals: list[Atoms], damage: Callable[[str], str], reason: str
) -> None:
    path = tmp_path / "set.xyz"
    ase.io.write(path, crystals)
    path.write_text(damage(path.read_text()))
    with pytest.raises(StructureFileError, match=reason) as caught:
        read_structures(path)
    assert str(path) in str(caught.value)
    result = read_structures(path, ReadOptions(skip_invalid=True))
    assert [name for name in result.table.ids.tolist() if name != "wbm-1-1"] == [
        "wbm-1-0",
        "wbm-1-2",
        "wbm-1-3",
        "wbm-1-4",
    ]
    assert any(re.search(reason, problem.reason) for problem in result.problems)
    assert result.problems[0].id


def test_truncated_extxyz_keeps_what_came_before(tmp_path: Path, crystals: list[Atoms]) -> None:
    path = tmp_path / "set.xyz"
    ase.io.write(path, crystals)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    result = read_structures(path, ReadOptions(skip_invalid=True))
    assert len(result.table) == 4
    assert result.problems[0].id == "wbm-1-4"
    assert "before the end of the file" in result.problems[0].reason


def test_nan_positions_are_imported_for_the_engine_to_judge(tmp_path: Path) -> None:
    atoms = bulk("Mo", cubic=True)
    atoms.positions[1] = np.nan
    ase.io.write(tmp_path / "nan.xyz", atoms)
    assert np.isnan(read_structures(tmp_path / "nan.xyz").table.positions[1]).all()


# -- CIF ---------------------------------------------------------------------------------------------------------


def test_cif_with_symmetry_equals_pymatgen(tmp_path: Path) -> None:
    structure = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    path = tmp_path / "halite.cif"
    CifWriter(structure, symprec=0.01).write_file(path)
    table = read_structures(path).table
    expected = CifParser(path).parse_structures(primitive=False)[0]
    assert table.ids.tolist() == ["halite"]
    assert len(table.numbers) == len(expected) == 8
    found = Structure(table.cells[0], table.numbers, table.positions, coords_are_cartesian=True)
    # the readers order the sites differently and turn the cell differently
    distances, expected_distances = (np.sort(s.distance_matrix, axis=None) for s in (found, expected))
    np.testing.assert_allclose(distances, expected_distances, rtol=0, atol=1e-8)
    assert found.composition == expected.composition


def test_cif_of_low_symmetry_equals_ase(tmp_path: Path, crystals: list[Atoms], same_crystal: Same) -> None:
    for index, atoms in enumerate(crystals):
        ase.io.write(tmp_path / f"c{index}.cif", atoms)
    table = read_structures(tmp_path).table
    assert table.ids.tolist() == [f"c{i}" for i in range(5)]
    for index in range(5):
        assert same_crystal(table.ase_at(index), ase.io.read(tmp_path / f"c{index}.cif"))


def test_cif_of_several_blocks_is_numbered(tmp_path: Path, crystals: list[Atoms]) -> None:
    ase.io.write(tmp_path / "all.cif", crystals)
    assert read_structures(tmp_path / "all.cif").table.ids.tolist() == [f"all-{i}" for i in range(5)]


def test_disordered_cif_is_refused_with_its_id(tmp_path: Path) -> None:
    structure = Structure(Lattice.cubic(3.2), [{"Nb": 0.5, "Ta": 0.5}], [[0, 0, 0]])
    CifWriter(structure).write_file(tmp_path / "alloy.cif")
    with pytest.raises(StructureFileError, match=r"structure 'alloy': .*disordered"):
        read_structures(tmp_path / "alloy.cif")


def test_cif_without_structure_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text("data_a\n_cell_length_a 3\n")
    with pytest.raises(StructureFileError, match=r"a\.cif.*expected a CIF data block"):
        read_structures(tmp_path / "a.cif")


# -- POSCAR --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TaW.vasp", "POSCAR", "CONTCAR", "POSCAR_TaW", "TaW.poscar"])
def test_poscar_equals_pymatgen(tmp_path: Path, crystals: list[Atoms], name: str) -> None:
    ase.io.write(tmp_path / name, crystals[1], format="vasp")
    table = read_structures(tmp_path / name).table
    expected = Poscar.from_file(tmp_path / name, check_for_potcar=False).structure
    assert table.ids.tolist() == [name.removesuffix(".vasp").removesuffix(".poscar")]
    assert table.numbers.tolist() == list(expected.atomic_numbers)
    np.testing.assert_allclose(table.cells[0], expected.lattice.matrix, rtol=0, atol=1e-10)
    np.testing.assert_allclose(table.positions, expected.cart_coords, rtol=0, atol=1e-10)


def test_damaged_poscar_is_refused_with_its_id(tmp_path: Path) -> None:
    (tmp_path / "bad.vasp").write_text("comment\n1.0\n1 0 0\n0 1 0\n")
    with pytest.raises(StructureFileError, match=r"structure 'bad': not a POSCAR"):
        read_structures(tmp_path / "bad.vasp")


# -- ASE databases -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["set.db", "set.json"])
def database(request: pytest.FixtureRequest, tmp_path: Path, crystals: list[Atoms]) -> Path:
    path = tmp_path / request.param
    with connect(path) as target:
        for index, atoms in enumerate(crystals):
            target.write(atoms, name=f"row{index}", gap=0.5 * index, metal=index < 3)
    return path


def test_ase_database_equals_ase(database: Path, same_crystal: Same) -> None:
    table = read_structures(database).table
    rows = list(connect(database).select())
    assert table.ids.tolist() == [row.name for row in rows]
    np.testing.assert_allclose(table.columns["gap"], [row.gap for row in rows])
    assert table.columns["metal"].tolist() == [row.metal for row in rows]
    np.testing.assert_array_equal(table.columns["input_stress"][0], rows[0].stress)
    np.testing.assert_array_equal(table.atom_columns["input_forces"][:1], rows[0].forces)
    assert all(same_crystal(table.ase_at(i), row.toatoms()) for i, row in enumerate(rows))


def test_ase_database_without_names_takes_unique_ids(tmp_path: Path, crystals: list[Atoms]) -> None:
    with connect(tmp_path / "a.db") as target:
        target.write(crystals[0])
        target.write(crystals[1])
    expected = [row.unique_id for row in connect(tmp_path / "a.db").select()]
    assert read_structures(tmp_path / "a.db").table.ids.tolist() == expected
    numbered = read_structures(tmp_path / "a.db", ReadOptions(id_key="")).table
    assert numbered.ids.tolist() == ["a-0", "a-1"]


def test_damaged_row_of_a_database_costs_no_other(tmp_path: Path, crystals: list[Atoms]) -> None:
    path = tmp_path / "a.db"
    with connect(path) as target:
        for index, atoms in enumerate(crystals):
            target.write(atoms, name=f"row{index}")
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE systems SET positions = x'00' WHERE id = 2")
    result = read_structures(path, ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["row0", "row2", "row3", "row4"]
    assert "row 2" in result.problems[0].reason


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not sqlite" * 100)
    with pytest.raises(StructureFileError, match=r"a\.db: .*not an ASE database"):
        read_structures(tmp_path / "a.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db"]


def test_file_format_overrides_the_name(tmp_path: Path, crystals: list[Atoms]) -> None:
    ase.io.write(tmp_path / "dump.txt", crystals, format="extxyz")
    with pytest.raises(StructureFileError, match=r"its name matches no format.*extxyz, cif, poscar"):
        read_structures(tmp_path / "dump.txt")
    assert (
        len(read_structures(tmp_path / "dump.txt", ReadOptions(file_format=format_named("extxyz"))).table)
        == 5
    )


def test_constraints_of_a_database_become_what_is_held(tmp_path: Path) -> None:
    slab = bulk("Mo", "bcc", a=3.15, cubic=True).repeat((1, 1, 2))
    path = tmp_path / "a.db"
    with connect(path) as target:
        slab.set_constraint([FixAtoms([0]), FixCartesian([1, 2], mask=[True, False, False])])
        target.write(slab, name="cartesian")
        slab.set_constraint([FixScaled([3], mask=[False, False, True])])
        target.write(slab, name="scaled", data={"history": [1, 2]})
        slab.set_constraint([FixBondLength(0, 1), FixAtoms([1])])
        slab.set_initial_magnetic_moments([1, 1, 1, 1])
        target.write(slab, name="other")
    read: list[str] = []
    node = StructureSetData.from_file(path, summary=read)
    table = node.to_table()
    held = table.atom_columns["fixed_cartesian"].reshape(3, 4, 3)
    assert held[0].tolist() == [[True] * 3, [True, False, False], [True, False, False], [False] * 3]
    assert not held[1].any()
    assert held[2].any(axis=1).tolist() == [False, True, False, False]
    scaled = table.atom_columns["fixed_scaled"].reshape(3, 4, 3)
    assert scaled[1].tolist() == [[False] * 3] * 3 + [[False, False, True]]
    assert not scaled[[0, 2]].any()
    assert table.columns["constraints_not_read"].tolist() == ["", "", "FixBondLengths"]
    assert read[0] == "left out of the set: data: 1 crystal, initial_magmoms: 1 crystal"
    assert "are named in the column constraints_not_read: 1 crystal" in read[1]
    assert len(read) == 3  # the slabs are equal, too


def test_results_of_a_database_are_mapped_by_option(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with connect(path) as target:
        target.write(bulk("Mo"), uid="a", dft_energy=-10.5, magmom_total=2)
    options = ReadOptions.of(None, "uid", None, False, column_map={"dft_energy": "energy"})
    table = read_structures(path, options).table
    assert table.ids.tolist() == ["a"]
    assert table.columns["input_energy"].tolist() == [-10.5]
    assert table.columns["magmom_total"].tolist() == [2]
