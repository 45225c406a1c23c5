"""Yaml files that phonopy and phono3py write, read as phonopy loads them; and what is written, loaded by them."""

from __future__ import annotations

import bz2
import lzma
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import phonopy
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import Bohr, Rydberg
from numpy.testing import assert_allclose, assert_array_equal
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.conductivity.cells import ThirdOrderCells, displaced_supercells, make_phono3py
from aiida_pet.crystals.phonons.harmonic import make_phonopy
from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import ReadOptions, read_structures
from aiida_pet.io.writers import write_table
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

PRIMITIVE = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def made(calculator: str | None = None, **options: Any) -> Phonopy:
    """Return rocksalt with forces of nobody and charges that differ from site to site."""
    atoms = bulk("MgO", "rocksalt", a=4.25, cubic=True)
    length = 1.0 if calculator is None else Bohr
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:] / length,
        scaled_positions=atoms.get_scaled_positions(),
    )
    found = Phonopy(
        cell, np.diag([2, 2, 1]), primitive_matrix=PRIMITIVE, calculator=calculator, is_symmetry=False
    )
    found.generate_displacements(distance=0.03, **options)
    rng = np.random.default_rng(3)
    found.forces = rng.normal(size=(len(found.supercells_with_displacements), len(found.supercell), 3))
    found.nac_params = {
        "born": np.array([1.96 * np.eye(3), -1.96 * np.eye(3)]),
        "dielectric": 3.2 * np.eye(3),
        "factor": 14.4,
    }
    return found


def read(path: Path) -> StructureTable:
    return read_structures(path).table


@pytest.mark.parametrize("ending", ["", ".xz", ".bz2"])
def test_crystal_settings_charges_and_forces_are_those_that_phonopy_wrote(
    tmp_path: Path, ending: str
) -> None:
    theirs = made()
    path = tmp_path / "phonopy_params.yaml"
    theirs.save(path)
    text = path.read_bytes()
    path.unlink()
    packed = {"": lambda data: data, ".xz": lzma.compress, ".bz2": bz2.compress}[ending](text)
    (tmp_path / f"mp-1.yaml{ending}").write_bytes(packed)
    table = read(tmp_path / f"mp-1.yaml{ending}")
    assert table.ids.tolist() == ["mp-1"]
    assert_allclose(table.cells[0], theirs.unitcell.cell, atol=1e-12)
    assert_allclose(table.positions, theirs.unitcell.positions, atol=1e-12)
    assert_array_equal(table.numbers, theirs.unitcell.numbers)
    assert_allclose(table.columns["primitive_matrix"][0], PRIMITIVE)
    product = table.columns["primitive_matrix"][0] @ table.columns["supercell_matrix"][0]
    assert_allclose(product, theirs.supercell_matrix)
    assert_allclose(table.columns["dielectric_tensor"][0], 3.2 * np.eye(3))
    signs = np.where(table.numbers == 12, 1.0, -1.0)
    assert_allclose(table.atom_columns["born_charges"][:, 0, 0], 1.96 * signs)
    assert table.units["born_charges"] == "e"
    moved = table.ragged["displacements"][0]
    assert_array_equal(moved[:, 0], np.arange(len(moved)))
    firsts = theirs.dataset["first_atoms"]
    assert_array_equal(moved[:, 1], [one["number"] for one in firsts])
    assert_allclose(moved[:, 2:], [one["displacement"] for one in firsts], atol=1e-15)
    assert_allclose(table.ragged["displacement_forces"][0], np.reshape(theirs.forces, (-1, 3)), atol=1e-9)
    assert table.units["displacement_forces"] == "eV/A"


def test_supercells_whose_atoms_all_move_come_back(tmp_path: Path) -> None:
    theirs = made(number_of_snapshots=2, random_seed=7)
    path = tmp_path / "phonopy_params.yaml"
    theirs.save(path)
    table = read(path)
    moved = table.ragged["displacements"][0]
    assert len(moved) == 2 * len(theirs.supercell)
    assert_allclose(moved[:, 2:], np.reshape(theirs.displacements, (-1, 3)), atol=1e-12)
    assert write_table(table, tmp_path / "again.yaml") == []
    again = phonopy.load(tmp_path / "again.yaml", produce_fc=False, is_symmetry=False)
    assert_allclose(again.displacements, theirs.displacements, atol=1e-12)
    assert_allclose(again.forces, theirs.forces, atol=1e-9)


def test_lengths_and_forces_of_other_calculators_are_converted(tmp_path: Path) -> None:
    theirs = made("qe")
    path = tmp_path / "phonopy_params.yaml"
    theirs.save(path)
    table = read(path)
    assert table.cells[0][0, 0] == pytest.approx(4.25, abs=1e-6)
    first = theirs.dataset["first_atoms"][0]
    assert_allclose(table.ragged["displacements"][0][0, 2:], np.array(first["displacement"]) * Bohr)
    forces = np.reshape(theirs.forces, (-1, 3)) * Rydberg / Bohr
    assert_allclose(table.ragged["displacement_forces"][0], forces, rtol=1e-6, atol=1e-9)


def test_files_of_one_name_in_many_folders_are_named_by_folder_and_other_yaml_is_passed_over(
    tmp_path: Path,
) -> None:
    for name in ("mp-1", "mp-2"):
        (tmp_path / name).mkdir()
        made().save(tmp_path / name / "phonopy_params.yaml")
    (tmp_path / "settings.yaml").write_text("queue: long\n")
    found = read_structures(tmp_path)
    assert found.table.ids.tolist() == ["mp-1", "mp-2"]
    assert found.summary()[0].startswith(
        f"1 file was skipped, since it holds no crystals: {tmp_path / 'settings.yaml'} ("
    )
    with pytest.raises(StructureFileError, match=r"settings.yaml: .*with a unit_cell"):
        read_structures(tmp_path / "settings.yaml")


def test_results_of_phonons_are_written_as_phonopy_loads_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    atoms = bulk("W", a=3.18)
    found = make_phonopy(atoms.cell[:], atoms.positions, atoms.numbers, 2 * np.eye(3, dtype=int))
    constants = rng.normal(size=(1, 8, 3, 3))
    table = StructureTable.from_ase([("W", atoms), ("bare", bulk("Mo", a=3.2))])
    table.columns = {
        "supercell_matrix": np.array([2 * np.eye(3), np.full((3, 3), np.nan)]),
        "primitive_matrix": np.array([np.eye(3), np.full((3, 3), np.nan)]),
    }
    table.ragged = {
        "force_constants": Ragged.of([constants.reshape(-1, 3, 3), None]),
        "primitive_atoms": Ragged.of([np.array([0]), None]),
    }
    assert write_table(table, tmp_path / "out", "phonopy") == ["bare"]
    loaded = phonopy.load(tmp_path / "out" / "W.yaml")
    assert_allclose(loaded.force_constants, constants, atol=1e-12)
    assert_allclose(loaded.supercell.cell, found.supercell.cell)
    two = StructureTable.concatenate(
        [table.select(["W"]), replace(table.select(["W"]), ids=np.array(["W2"]))]
    )
    assert write_table(two, tmp_path / "one.yaml.xz") == ["W2"]
    with lzma.open(tmp_path / "one.yaml.xz", "rt") as text:
        assert "force_constants:" in text.read()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("symbol: Mg", "symbol: Xx"), "got 'Xx': expected an element symbol"),
        (("coordinates:", "koordinates:"), "'position' is missing"),
        (("- [   2,   0,   0 ]", "- [ 0, 0, 0 ]"), "supercell_matrix = .*: expected a matrix"),
        (('length: "angstrom"', 'length: "furlong"'), "length is 'furlong': expected angstrom or au"),
        (("unit_cell:", "union_cell:"), "with a unit_cell"),
        (("unit_cell:", "x: &x [1]\nunit_cell:"), "anchors"),
        (("unit_cell:", "unit_cell: ["), "expected yaml of phonopy or phono3py: "),
    ],
)
def test_broken_files_say_what_is_wrong(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = tmp_path / "phonopy_params.yaml"
    made().save(path)
    text = path.read_text()
    old, new = change
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(StructureFileError, match=reason):
        read_structures(path)
    sound = tmp_path / "sound.yaml"
    made().save(sound)
    found = read_structures([path, sound], ReadOptions(skip_invalid=True))
    assert found.table.ids.tolist() == ["sound"]
    assert len(found.problems) == 1


def test_pairs_of_phono3py_come_in_its_order_with_forces(tmp_path: Path) -> None:
    phono3py = pytest.importorskip("phono3py", reason="needs the extra `conductivity`")
    atoms: Atoms = bulk("Si", cubic=True)
    cell = PhonopyAtoms(symbols=["Si"] * 8, cell=atoms.cell[:], positions=atoms.positions)
    theirs = phono3py.Phono3py(
        cell, np.diag([1, 1, 1]), phonon_supercell_matrix=np.diag([2, 1, 1]), primitive_matrix=PRIMITIVE
    )
    theirs.generate_displacements(distance=0.03)
    rng = np.random.default_rng(2)
    theirs.forces = rng.normal(size=(len(theirs.supercells_with_displacements), 8, 3))
    theirs.phonon_forces = rng.normal(size=(len(theirs.phonon_supercells_with_displacements), 16, 3))
    theirs.save(tmp_path / "phono3py_params.yaml")
    table = read(tmp_path / "phono3py_params.yaml")
    assert_allclose(table.columns["fc3_supercell"][0], np.eye(3))
    assert_allclose(table.columns["fc2_supercell"][0], np.diag([2, 1, 1]))
    assert "supercell_matrix" not in table.columns
    for order, cells, plain in (
        ("fc3", theirs.supercells_with_displacements, theirs.supercell),
        ("fc2", theirs.phonon_supercells_with_displacements, theirs.phonon_supercell),
    ):
        moved = table.ragged[f"{order}_displacements"][0]
        rebuilt = np.tile(plain.positions, (len(cells), 1, 1))
        np.add.at(rebuilt, (moved[:, 0].astype(int), moved[:, 1].astype(int)), moved[:, 2:])
        assert_allclose(rebuilt, [one.positions for one in cells], atol=1e-9)
    assert_allclose(table.ragged["fc3_forces"][0], np.reshape(theirs.forces, (-1, 3)), atol=1e-9)
    assert_allclose(table.ragged["fc2_forces"][0], np.reshape(theirs.phonon_forces, (-1, 3)), atol=1e-9)


def test_forces_of_conductivities_are_written_as_phono3py_loads_them(tmp_path: Path) -> None:
    phono3py = pytest.importorskip("phono3py", reason="needs the extra `conductivity`")
    atoms = bulk("Si")
    conventional = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    cells = ThirdOrderCells(
        atoms.cell[:],
        atoms.positions,
        atoms.numbers,
        fc3_matrix=conventional,
        fc2_matrix=conventional,
        primitive_matrix=np.eye(3),
    )
    displaced = displaced_supercells(make_phono3py(cells), distance=0.03, plus_minus="auto")
    rng = np.random.default_rng(5)
    second, third = (rng.normal(size=one.shape) for one in (displaced.fc2_positions, displaced.fc3_positions))
    table = StructureTable.from_ase([("Si", atoms), ("cut", atoms), ("bare", atoms)])
    nothing = np.full((3, 3), np.nan)
    for name, matrix in {
        "fc3_matrix": conventional, "fc2_matrix": conventional, "unit_matrix": np.eye(3), "heat_matrix": np.eye(3)
    }.items():  # fmt: skip
        table.columns[name] = np.array([matrix, matrix, nothing], dtype=float)
    table.columns["fc_displacement"] = np.array([0.03, 0.03, np.nan])
    table.columns["n_fc2_displacements"] = np.array([len(second), len(second), np.nan])
    table.columns["n_fc3_displacements"] = np.array([len(third), len(third) - 2, np.nan])
    table.ragged = {
        "unit_atoms": Ragged.of([np.arange(2), np.arange(2), None]),
        "fc2_forces": Ragged.of([second.reshape(-1, 3), second.reshape(-1, 3), None]),
        "fc3_forces": Ragged.of([third.reshape(-1, 3), third[:-2].reshape(-1, 3), None]),
    }
    assert write_table(table, tmp_path / "out", "phono3py") == ["cut", "bare"]
    loaded = phono3py.load(tmp_path / "out" / "Si.yaml", produce_fc=False, log_level=0)
    assert_allclose(loaded.forces, third, atol=1e-9)
    assert_allclose(loaded.phonon_forces, second, atol=1e-9)
    again = read(tmp_path / "out" / "Si.yaml")
    assert_allclose(again.columns["fc3_supercell"][0], conventional)
    assert_allclose(again.ragged["fc3_forces"][0], third.reshape(-1, 3), atol=1e-9)
    assert_allclose(again.ragged["fc2_forces"][0], second.reshape(-1, 3), atol=1e-9)


@pytest.mark.parametrize("part", [0, 0.3, 0.6])
def test_a_cut_file_among_good_ones_is_named_with_its_error_as_if_given_alone(
    tmp_path: Path, part: float
) -> None:
    for name in ("t1", "t2", "t3"):
        (tmp_path / name).mkdir()
        made().save(tmp_path / name / "x.yaml")
    broken = tmp_path / "t3" / "x.yaml"
    text = broken.read_text()
    # in the middle of a list, so that no parser can take it
    end = text.index("[", int(part * len(text))) + 8 if part else text.index("physical_unit:")
    broken.write_text(text[:end])
    with pytest.raises(StructureFileError) as alone:
        read_structures(broken)
    with pytest.raises(StructureFileError) as among:
        read_structures(tmp_path)
    assert str(broken) in str(among.value)
    assert among.value.reason == alone.value.reason
    assert "skip_invalid" in among.value.remedy
    found = read_structures(tmp_path, ReadOptions(skip_invalid=True))
    assert found.table.ids.tolist() == ["t1/x", "t2/x"]
    (problem,) = found.problems
    assert problem.file == str(broken)
    assert "phonopy" in problem.reason
    assert not any("skipped" in line for line in found.summary())


def test_what_is_left_out_of_phonopy_is_not_offered_as_forces(tmp_path: Path) -> None:
    theirs = made()
    theirs.produce_force_constants()
    theirs.save(tmp_path / "params.yaml", settings={"force_constants": True})
    summary = read_structures(tmp_path / "params.yaml").summary()
    assert any("force_constants: 1 crystal" in line for line in summary)
    assert not any("column_map" in line for line in summary)
