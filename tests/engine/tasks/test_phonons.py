"""Phonons of batches against phonopy driven by hand with the forces of metatomic's ASE calculator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from metatomic.torch import ModelOutput
from phonopy import Phonopy
from phonopy.physical_units import get_physical_units
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.run import Job
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.job.parameters import Derivation, TightRelaxParameters, parse_parameters
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.tables.columns import Source, columns_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.testing.models import tiny_pet

MESH = 20.0
DIRECT = {"forces": Derivation.DIRECT, "stress": Derivation.DIRECT}
# taken as they are: a small supercell of each
AS_GIVEN: dict[str, Any] = {"relax_first": False, "min_image": 5.0, "mesh": 12.0, "symprecs": ()}


def ternary() -> Atoms:
    """Layers of three elements along [112] of bcc: orthorhombic, and no axis along x, y or z."""
    atoms = make_supercell(bulk("W", a=3.25), [[1, 0, 0], [0, 1, 0], [1, 1, 3]])
    atoms.numbers[:] = [74, 42, 41]
    return atoms


def crystals() -> dict[str, Atoms]:
    a = 6.4
    fcc = a / 2 * (np.ones((3, 3)) - np.eye(3))
    quarters = np.arange(4)[:, None] / 4 * np.ones(3)
    c11_b = [[3.25, 0, 0], [0, 3.25, 0], [1.625, 1.625, 4.875]]
    return {
        "bcc": bulk("Nb", a=3.3),
        "bcc-cube": bulk("Mo", a=3.16, cubic=True),
        "b2": bulk("TaW", "cesiumchloride", a=3.24),
        "b32": Atoms("NbNbWW", scaled_positions=quarters, cell=fcc, pbc=True),
        "d0_3": Atoms("TaMo3", scaled_positions=quarters, cell=fcc, pbc=True),
        "c11_b": Atoms("MoTa2", [(0, 0, 0), (0, 0, 3.32), (0, 0, 6.43)], cell=c11_b, pbc=True),
        "ternary": ternary(),
    }


NAMES = list(crystals())


def run(table: StructureTable, model: Any, **parameters: Any) -> StructureTable:
    """Return the rows in the order of ``table``."""
    finished: list[StructureTable] = []
    phonons = Phonons(table, model, parse_parameters(Task.PHONONS, parameters), finished=finished.append)
    assert phonons.run()
    return StructureTable.concatenate(finished).select(table.ids)


def supercell_of_given(results: StructureTable, row: int) -> np.ndarray:
    """Return phonopy's matrix of the supercell relative to the cell of the row."""
    columns = results.columns
    matrix = columns["primitive_matrix"][row] @ columns["supercell_matrix"][row]
    assert np.abs(matrix - np.round(matrix)).max() < 1e-9
    return np.round(matrix).astype(int)


def by_hand(
    atoms: Atoms,
    matrix: np.ndarray,
    forces: Callable[[Atoms], np.ndarray],
    *,
    distance: float = 0.03,
    primitive: str = "P",
    nac: dict[str, Any] | None = None,
    symfc: bool = False,
    symmetric: bool = True,
) -> Phonopy:
    """Return phonopy with force constants, driven as its documentation does."""
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)
    phonopy = Phonopy(cell, matrix, primitive_matrix=primitive, symprec=1e-5)
    phonopy.generate_displacements(distance=distance, is_plusminus=True)
    found = []
    for displaced in phonopy.supercells_with_displacements:
        mine = forces(Atoms(displaced.symbols, displaced.positions, cell=displaced.cell, pbc=True))
        found.append(mine - mine.mean(axis=0))
    phonopy.forces = np.array(found)
    if symfc:
        phonopy.produce_force_constants(fc_calculator="symfc")
    else:
        phonopy.produce_force_constants()
    if symmetric and not symfc:
        phonopy.symmetrize_force_constants()
    if nac is not None:
        phonopy.nac_params = nac
    return phonopy


def forces_of(calculator: Any) -> Callable[[Atoms], np.ndarray]:
    def forces(atoms: Atoms) -> np.ndarray:
        atoms.calc = calculator
        return atoms.get_forces()

    return forces


def frequencies(phonopy: Phonopy, cartesian: np.ndarray) -> np.ndarray:
    """Return the frequencies at ``cartesian`` q-points, 1/A, whatever the primitive cell."""
    return phonopy.run_qpoints(cartesian @ phonopy.primitive.cell.T).frequencies


def q_points(phonopy: Phonopy) -> np.ndarray:
    """Return the Cartesian q-points of phonopy's own mesh, 1/A."""
    return phonopy.run_mesh(MESH).qpoints @ np.linalg.inv(phonopy.primitive.cell).T


# -- against phonopy by hand -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(model_file: tuple[Path, str]) -> StructureTable:
    """All crystals, relaxed and computed in one run."""
    from aiida_pet.engine.model.pet import load_model

    table = StructureTable.from_ase(crystals().items())
    pet = BatchedPet(load_model(*model_file))
    # a multiple of the cube, so that phonopy can be given the cube
    cubes = {"supercell": ((0, 3, 3), (3, 0, 3), (3, 3, 0)), "mesh": MESH}
    cube = run(table.select(["bcc-cube"]), pet, **cubes)
    rest = run(table.select([name for name in NAMES if name != "bcc-cube"]), pet, min_image=8.0, mesh=MESH)
    return StructureTable.concatenate([cube, rest]).select(NAMES)


@pytest.mark.filterwarnings("ignore::phonopy.structure.cells.PrimitiveMatrixAutoDefaultWarning")
@pytest.mark.filterwarnings("ignore::phonopy.phonon.mesh.MeshGRGridFallbackWarning")
@pytest.mark.parametrize("name", NAMES)
def test_phonons_are_those_of_phonopy_by_hand(results, ase_calculator, name):
    row = results.index(name)
    columns = {key: values[row] for key, values in results.columns.items()}
    assert columns["status"] == "converged"
    primitive = "auto" if name == "bcc-cube" else "P"
    hand = by_hand(
        results.ase_at(row),
        supercell_of_given(results, row),
        forces_of(ase_calculator()),
        primitive=primitive,
    )
    assert columns["n_displacements"] == len(hand.supercells_with_displacements)
    assert columns["n_atoms_supercell"] == len(hand.supercell)
    assert columns["n_atoms_primitive"] == len(hand.primitive)
    points = q_points(hand)
    ours, theirs = (frequencies(one, points) for one in (phonopy_of_row(results, name), hand))
    # acoustic frequencies at Gamma are roots of rounding errors
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    gamma = np.abs(points).sum(axis=1) < 1e-9
    assert columns["max_frequency"] >= theirs.max() - 1e-5
    assert columns["min_frequency"] <= theirs[~gamma].min() + 1e-5
    assert columns["is_dynamically_stable"]
    temperatures = columns["temperatures"]
    assert temperatures.tolist() == sorted({*range(0, 1001, 100), 300})
    thermal = hand.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    for column in ("free_energy", "entropy", "heat_capacity"):
        np.testing.assert_allclose(columns[column], getattr(thermal, column), rtol=1e-3, atol=1e-9)
        assert columns[f"{column}_300"] == pytest.approx(columns[column][3], rel=1e-12)
    assert columns["free_energy"][3] == pytest.approx(thermal.free_energy[3], rel=1e-6)


@pytest.mark.filterwarnings("ignore::phonopy.phonon.mesh.MeshGRGridFallbackWarning")
def test_force_constants_of_symfc_are_those_by_hand(ase_calculator, load_pet):
    table = StructureTable.from_ase({"c11_b": crystals()["c11_b"]}.items())
    results = run(table, load_pet(), **AS_GIVEN, force_constants="symfc")
    hand = by_hand(results.ase_at(0), supercell_of_given(results, 0), forces_of(ase_calculator()), symfc=True)
    points = q_points(hand)
    theirs = frequencies(hand, points)
    np.testing.assert_allclose(frequencies(phonopy_of_row(results, "c11_b"), points), theirs, atol=1e-4)


def test_a_row_is_what_it_is_alone(results, load_pet):
    table = StructureTable.from_ase({"d0_3": crystals()["d0_3"]}.items())
    alone = run(table, load_pet(), min_image=8.0, mesh=MESH)
    points = q_points(phonopy_of_row(results, "d0_3"))
    ours, theirs = (frequencies(phonopy_of_row(one, "d0_3"), points) for one in (alone, results))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)  # relaxed to 1e-4 eV/A along other roundings


# -- heads that are no derivative ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_direct_forces_are_flagged_and_measured_before_they_are_symmetric(load_pet, ase_calculator):
    table = StructureTable.from_ase({"b2": crystals()["b2"], "ternary": crystals()["ternary"]}.items())
    results = run(table, load_pet(**DIRECT), **DIRECT, **AS_GIVEN)
    assert results.columns["heads"].tolist() == ["direct forces and stress"] * 2
    assert results.columns["displacement"].tolist() == [0.1, 0.1]
    calculator = ase_calculator()
    wanted = {"non_conservative_force": ModelOutput(sample_kind="atom")}
    nets = []

    def forces(atoms: Atoms) -> np.ndarray:
        raw = calculator.run_model(atoms, wanted)["non_conservative_force"].block().values
        raw = raw.detach().numpy().reshape(-1, 3)
        nets.append(np.linalg.norm(raw.sum(axis=0)))
        return raw

    for row, name in enumerate(results.ids.tolist()):
        nets.clear()
        matrix = supercell_of_given(results, row)
        hand = by_hand(results.ase_at(row), matrix, forces, distance=0.1, symmetric=False)
        columns = {key: values[row] for key, values in results.columns.items()}
        assert columns["net_force"] == pytest.approx(max(nets), rel=1e-6)
        assert columns["net_force"] > 1e-3
        raw = hand.force_constants
        asymmetry = np.abs(raw - raw.transpose(1, 0, 3, 2)).max()
        assert columns["hessian_asymmetry"] == pytest.approx(asymmetry, rel=1e-4)
        assert columns["hessian_relative_asymmetry"] == pytest.approx(asymmetry / np.abs(raw).max(), rel=1e-4)
        assert columns["hessian_relative_asymmetry"] > 1e-3
        sums = max(np.abs(raw.sum(axis=0)).max(), np.abs(raw.sum(axis=1)).max())
        assert columns["acoustic_sum_rule_before"] == pytest.approx(sums, rel=1e-4)
        assert columns["acoustic_sum_rule"] < 1e-9 < columns["acoustic_sum_rule_before"]
        hand.symmetrize_force_constants()
        points = q_points(hand)
        ours, theirs = (frequencies(one, points) for one in (phonopy_of_row(results, name), hand))
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_conservative_forces_have_no_net_force(results):
    assert (results.columns["net_force"] < 1e-9).all()
    assert set(results.columns["heads"]) == {"conservative"}
    assert set(results.columns["displacement"]) == {0.03}


# -- parameters ------------------------------------------------------------------------------------------------

# parameter -> another value, column that must change; the others are those of every relaxation
CHANGES: dict[str, tuple[Any, str]] = {
    "min_image": (8.0, "n_atoms_supercell"),
    "max_atoms": (6, "supercell_capped"),
    "supercell": ((2, 2, 1), "supercell_matrix"),
    "given_cells": (True, "n_atoms_supercell"),
    "given_displacements": (True, "displacement"),
    "use_symmetry": (False, "n_displacements"),
    "displacement": (0.2, "max_frequency"),
    "phonon_symprec": (0.1, "n_displacements"),
    "force_constants": ("symfc", "max_frequency"),
    "supercell_check": (7.0, "check_frequency_change"),
    "mesh": (30.0, "heat_capacity_300"),
    "temperatures": ((50.0, 500.0), "temperatures"),
    "imaginary_threshold": (1e3, "is_dynamically_stable"),
    "dos_range": ((-1.0, 9.0), "phonon_dos"),
    "dos_points": (101, "phonon_dos"),
    "dos_sigma": (0.5, "phonon_dos"),
    "nac": (False, "has_nac"),
}


@pytest.fixture(scope="module")
def soft() -> StructureTable:
    """B2 stretched, sheared and a little off its symmetry, with charges, a supercell and displacements."""
    atoms = bulk("MoTa", "cesiumchloride", a=3.4)
    atoms.set_cell([[3.4, 0, 0], [0.3, 3.4, 0], [0, 0, 3.4]], scale_atoms=True)
    atoms.positions[1] += (0.02, 0.012, 0.004)
    table = with_charges(StructureTable.from_ase([("b2", atoms)]))
    table.columns |= {"supercell_matrix": np.diag([3.0, 1, 1])[None], "primitive_matrix": np.eye(3)[None]}
    moved = [(3 * atom + axis, 3 * atom, *(0.05 * np.eye(3)[axis])) for atom in range(2) for axis in range(3)]
    table.ragged["displacements"] = Ragged.of([np.array(moved)])
    return table


def with_charges(table: StructureTable) -> StructureTable:
    charges, dielectric = np.array([np.eye(3), -np.eye(3)]), 2 * np.eye(3)
    return replace(
        table,
        columns={"dielectric_tensor": np.repeat(dielectric[None], len(table), axis=0)},
        atom_columns={"born_charges": np.tile(charges, (len(table), 1, 1))},
    )


def test_every_parameter_has_a_case():
    assert set(CHANGES) == set(PhononParameters.model_fields) - set(TightRelaxParameters.model_fields)


@pytest.mark.parametrize("name", list(CHANGES))
def test_every_parameter_changes_what_comes_out(soft, name):
    """With a small model of random weights, in which nothing is stable."""
    value, column = CHANGES[name]
    # along axes that are not orthogonal, the two solvers weigh what is not symmetric differently
    direct = DIRECT if name == "force_constants" else {}
    beside = {"given_displacements": {"given_cells": True}, "use_symmetry": {"phonon_symprec": 0.1}}
    heads = direct | beside.get(name, {})
    plain, other = (
        run(soft, BatchedPet(tiny_pet(), **direct), **(AS_GIVEN | heads | change)).columns
        for change in ({}, {name: value})
    )
    assert plain["status"].tolist() == other["status"].tolist() == ["converged"]
    if column not in plain or column not in other:
        assert (column in plain) != (column in other)
        return
    if plain[column].shape == other[column].shape:
        assert np.abs(plain[column].astype(float) - other[column].astype(float)).max() > 1e-6


def test_supercell_is_the_one_asked_for_or_says_that_it_is_capped(load_pet):
    table = StructureTable.from_ase({"b2": crystals()["b2"]}.items())
    given = {key: value for key, value in AS_GIVEN.items() if key != "min_image"}
    capped = run(table, load_pet(), **given, max_atoms=20).columns
    assert capped["supercell_capped"].tolist() == [True]
    assert capped["n_atoms_supercell"][0] <= 20
    assert capped["supercell_image"][0] < 12
    asked = run(table, load_pet(), **given, supercell=(2, 2, 3)).columns
    np.testing.assert_allclose(asked["supercell_matrix"][0], np.diag([2, 2, 3]))
    assert asked["n_atoms_supercell"].tolist() == [24]


def test_second_supercell_says_how_much_the_frequencies_change(load_pet, ase_calculator):
    table = StructureTable.from_ase({"b2": crystals()["b2"]}.items())
    result = run(table, load_pet(), **AS_GIVEN, supercell_check=8.0)
    small, large = (run(table, load_pet(), **(AS_GIVEN | {"min_image": image})) for image in (5.0, 8.0))
    columns = result.columns
    for name in ("min_frequency", "max_frequency", "supercell_image", "n_atoms_supercell"):
        assert columns[name][0] == pytest.approx(small.columns[name][0], rel=1e-6)
        assert columns[f"check_{name}"][0] == pytest.approx(large.columns[name][0], rel=1e-6)
    meshes = [phonopy_of_row(one, "b2").run_mesh(AS_GIVEN["mesh"]).frequencies for one in (small, large)]
    change = np.abs(meshes[0] - meshes[1]).max()
    assert columns["check_frequency_change"][0] == pytest.approx(change, rel=1e-4)
    assert change > 0.01


def test_crystals_off_their_symmetry_at_phonon_symprec_take_more_displacements(load_pet):
    table = StructureTable.from_ase({"b2": crystals()["b2"]}.items())
    table.positions[1] += (0.01, 0.006, 0.002)
    fine, coarse = (run(table, load_pet(), **AS_GIVEN, phonon_symprec=value) for value in (1e-5, 0.1))
    assert coarse.columns["n_displacements"].tolist() == [2 * 2]
    assert fine.columns["n_displacements"].tolist() == [2 * 2 * 3]


# -- charges -----------------------------------------------------------------------------------------------------


def test_charges_split_modes_near_gamma_as_by_hand(load_pet, ase_calculator):
    one = StructureTable.from_ase({"b2": crystals()["b2"], "unknown": crystals()["b2"]}.items())
    table = with_charges(one)
    table.atom_columns["born_charges"][2:] = np.nan
    results = run(table, load_pet(), **AS_GIVEN)
    assert results.columns["has_nac"].tolist() == [True, False]
    units = get_physical_units()
    nac = {
        "born": table.atom_columns["born_charges"][:2],
        "dielectric": table.columns["dielectric_tensor"][0],
        "factor": units.Hartree * units.Bohr,
        "method": "gonze",
    }
    matrix = supercell_of_given(results, 0)
    hand = by_hand(results.ase_at(0), matrix, forces_of(ase_calculator()), nac=nac)
    points = np.array([[1e-3, 0, 0], [0, 0, 1e-3], [0.02, 0.01, 0.0], [0.1, 0.0, 0.05]])
    corrected, plain, theirs = (
        frequencies(phonopy, points)
        for phonopy in (phonopy_of_row(results, "b2"), phonopy_of_row(results, "unknown"), hand)
    )
    np.testing.assert_allclose(corrected, theirs, atol=1e-5)
    assert np.abs(corrected - plain)[:2].max() > 0.1
    off = run(table, load_pet(), **AS_GIVEN, nac=False)
    assert "has_nac" not in off.columns
    np.testing.assert_allclose(frequencies(phonopy_of_row(off, "b2"), points), plain, atol=1e-5)


def test_charges_that_the_correction_cannot_use_end_their_row_before_forces(load_pet):
    one = StructureTable.from_ase(
        {name: crystals()["b2"] for name in ("good", "negative", "charged")}.items()
    )
    table = with_charges(one)
    table.columns["dielectric_tensor"][1] *= -1.0
    table.atom_columns["born_charges"][4] += 0.2 * np.eye(3)
    given = AS_GIVEN | {"mesh": 20.0}
    phonons = Phonons(table, load_pet(), parse_parameters(Task.PHONONS, given), finished=lambda rows: None)
    with pytest.raises(ValueError, match=r"^dielectric_tensor = "):
        phonons.expand(table.take([1]))
    columns = run(table, load_pet(), **given).columns
    assert columns["status"].tolist() == ["converged", "failed", "converged"]
    assert columns["message"][1].startswith("dielectric_tensor = [[-2.0, ")
    assert columns["warnings"].tolist() == ["", "", "born_sum_rule"]


@pytest.mark.parametrize(("mesh", "warned"), [(1.0, True), (9.0, True), (12.0, False)])
def test_coarse_meshes_whose_modes_at_gamma_are_missed_are_warned_of(load_pet, mesh, warned):
    """Two atoms, for which the limit is 50 points: 1, 3 x 3 x 3 and 4 x 4 x 4."""
    table = StructureTable.from_ase({"b2": crystals()["b2"]}.items())
    found = run(table, load_pet(), **(AS_GIVEN | {"mesh": mesh}))
    assert ("mesh_coarse" in found.columns["warnings"][0].split()) is warned
    if mesh == 1.0:
        # at high temperatures each mode has k_B; three of six are missed
        hot = run(table, load_pet(), **(AS_GIVEN | {"mesh": mesh, "temperatures": (5000.0,)})).columns
        assert hot["heat_capacity"][0][-1] == pytest.approx(3 * 8.314, rel=0.01)


# -- jobs --------------------------------------------------------------------------------------------------------


def test_a_job_writes_what_phonons_are_restored_from(model_file, tmp_path):
    table = StructureTable.from_ase(
        {"b2": crystals()["b2"], "molecule": Atoms("MoW", [[0, 0, 0], [2.4, 0, 0]])}.items()
    )
    folder = JobFolder(tmp_path / "job")
    spec = JobSpec(
        task=Task.PHONONS,
        parameters=AS_GIVEN | {"symprecs": []},
        model_sha256=model_file[1],
        model_path=str(model_file[0]),
        settings=EngineSettings(device="cpu"),
    )
    folder.write_inputs(spec, with_charges(table))
    assert Job(folder).run() is ExitStatus.OK
    results, damaged = folder.read_results()
    assert not damaged
    assert results is not None
    results = results.select(table.ids)
    assert results.columns["status"].tolist() == ["converged", "failed"]
    assert results.columns["has_nac"][0] == 1.0
    assert np.isnan(results.columns["has_nac"][1])  # nobody knows
    made = columns_of(Source.PHONONS, parse_parameters(Task.PHONONS, spec.parameters))
    assert {column.name for column in made if column.unit} <= set(results.units)
    assert [len(results.ragged["force_constants"][row]) for row in (0, 1)] == [
        2 * results.columns["n_atoms_supercell"][0],
        0,
    ]


def test_rows_may_come_with_their_own_supercells_and_meshes():
    """A reference's settings stand over the rule, row by row, if they are asked for."""
    model = BatchedPet(tiny_pet())
    table = StructureTable.from_ase([(name, bulk("Mo", a=3.16, cubic=True)) for name in ("own", "rule")])
    nothing = np.full((3, 3), np.nan)
    columns = {
        "supercell_matrix": np.stack([2.0 * np.eye(3), nothing]),
        "primitive_matrix": np.stack([np.eye(3), nothing]),
        "q_mesh": np.array([[4.0, 4.0, 2.0], [np.nan] * 3]),
    }
    given = replace(table, columns=columns)

    def rows(table: StructureTable, **parameters: Any) -> StructureTable:
        finished: list[StructureTable] = []
        wanted = parse_parameters(Task.PHONONS, AS_GIVEN | parameters)
        assert Phonons(table, model, wanted, finished=finished.append).run()
        return StructureTable.concatenate(finished).select(table.ids)

    plain = rows(table).columns
    found = rows(given, given_cells=True).columns
    assert found["n_atoms_primitive"].tolist() == [2, 1]
    assert found["n_atoms_supercell"].tolist() == [16, plain["n_atoms_supercell"][1]]
    np.testing.assert_array_equal(found["supercell_matrix"][0], 2 * np.eye(3))
    np.testing.assert_array_equal(found["primitive_matrix"][0], np.eye(3))
    assert found["free_energy_300"][1] == pytest.approx(plain["free_energy_300"][1])
    # by phonopy, in the cell and on the mesh of the row
    phonopy = phonopy_of_row(rows(given, given_cells=True), "own")
    phonopy.run_mesh([4, 4, 2], is_gamma_center=True)
    phonopy.run_thermal_properties(temperatures=[300.0], exclude_gamma_acoustic=True)
    expected = phonopy.get_thermal_properties_dict()["free_energy"][0]
    assert found["free_energy_300"][0] == pytest.approx(expected, rel=1e-9)
    # results of phonons have such columns too, and these do not bind the next launch
    np.testing.assert_array_equal(rows(given).columns["n_atoms_supercell"], plain["n_atoms_supercell"])


def test_row_with_a_setting_that_does_not_fit_fails_alone() -> None:
    model = BatchedPet(tiny_pet())
    table = StructureTable.from_ase(
        [(name, bulk("Mo", a=3.16)) for name in ("good", "mesh", "large", "half")]
    )
    matrices = np.stack([np.eye(3), np.eye(3), 40 * np.eye(3), np.diag([2, 2, np.nan])])
    given = replace(
        table,
        columns={
            "supercell_matrix": matrices,
            "q_mesh": np.array([[4.0, 4, 4], [0, 3, 3], [4, 4, 4], [4, 4, 4]]),
        },
    )
    finished: list[StructureTable] = []
    wanted = parse_parameters(Task.PHONONS, AS_GIVEN | {"given_cells": True})
    assert Phonons(given, model, wanted, finished=finished.append).run()
    rows = StructureTable.concatenate(finished).select(table.ids)
    assert rows.columns["status"].tolist() == ["converged", "failed", "failed", "failed"]
    for row, message in (
        (1, "q_mesh = [0.0, 3.0, 3.0]: expected 3 positive whole numbers"),
        (2, "makes a supercell of 64,000 atoms: expected at most 5,000"),
        (3, "supercell_matrix = [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, nan]]: expected "),
    ):
        assert message in rows.columns["message"][row]


def test_without_symmetry_force_constants_are_those_of_phonopy_without_symmetry(load_pet, ase_calculator):
    """Every atom along three directions; the model does not know the symmetry, so that the reduced set says less."""
    atoms = bulk("W", a=3.18)
    table = StructureTable.from_ase([("bcc", atoms)])

    def row(**parameters: Any) -> StructureTable:
        finished: list[StructureTable] = []
        wanted = parse_parameters(Task.PHONONS, AS_GIVEN | {"supercell": (2, 2, 2)} | parameters)
        assert Phonons(table, load_pet(), wanted, finished=finished.append).run()
        return finished[0]

    whole, reduced = row(use_symmetry=False), row()
    assert whole.columns["n_displacements"].tolist() == [6]
    assert reduced.columns["n_displacements"].tolist() == [2]
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)
    hand = Phonopy(cell, np.diag([2, 2, 2]), primitive_matrix="P", is_symmetry=False)
    hand.generate_displacements(distance=0.03, is_plusminus=True, is_diagonal=False)
    calculator = ase_calculator()
    forces = []
    for one in hand.supercells_with_displacements:
        displaced = Atoms(one.numbers, one.positions, cell=one.cell, pbc=True, calculator=calculator)
        forces.append(displaced.get_forces())
    hand.forces = np.array(forces) - np.mean(forces, axis=1, keepdims=True)
    hand.produce_force_constants(calculate_full_force_constants=True)
    full = np.array(hand.force_constants)
    full = (full + full.transpose(1, 0, 3, 2)) / 2
    full = full - full.mean(axis=1)[:, None] - full.mean(axis=0)[None, :] + full.mean(axis=(0, 1))
    ours = whole.ragged["force_constants"][0].reshape(1, 8, 3, 3)
    np.testing.assert_allclose(ours, full[hand.primitive.p2s_map], atol=2e-5)
    others = reduced.ragged["force_constants"][0].reshape(1, 8, 3, 3)
    assert np.abs(ours - others).max() > 1e-4


def test_rows_may_come_with_the_displacements_of_a_reference(load_pet, ase_calculator):
    """Frequencies are those that phonopy makes of forces on the very supercells of its file."""
    atoms = bulk("MoTa", "cesiumchloride", a=3.24)
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)
    hand = Phonopy(cell, np.diag([2, 2, 2]), primitive_matrix="P")
    hand.generate_displacements(distance=0.02, is_plusminus=False)
    calculator = ase_calculator()
    hand.forces = [
        Atoms(one.numbers, one.positions, cell=one.cell, pbc=True, calculator=calculator).get_forces()
        for one in hand.supercells_with_displacements
    ]
    hand.produce_force_constants()
    hand.symmetrize_force_constants()
    moved = [(n, one["number"], *one["displacement"]) for n, one in enumerate(hand.dataset["first_atoms"])]
    table = replace(
        StructureTable.from_ase([("given", atoms), ("rule", atoms)]),
        columns={
            name: np.stack([value, value])
            for name, value in {"supercell_matrix": 2.0 * np.eye(3), "primitive_matrix": np.eye(3)}.items()
        },
        ragged={"displacements": Ragged.of([np.array(moved), None])},
    )
    finished: list[StructureTable] = []
    wanted = parse_parameters(Task.PHONONS, AS_GIVEN | {"given_cells": True, "given_displacements": True})
    assert Phonons(table, load_pet(), wanted, finished=finished.append).run()
    found = StructureTable.concatenate(finished).select(table.ids)
    assert found.columns["status"].tolist() == ["converged"] * 2
    assert found.columns["n_displacements"].tolist() == [len(moved), 2 * len(moved)]
    assert found.columns["displacement"].tolist() == pytest.approx([0.02, 0.03])
    points = [[0.5, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.25, 0.1, 0]]
    expected = hand.run_qpoints(points).frequencies
    ours = phonopy_of_row(found, "given").run_qpoints(points).frequencies
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    # opposites take out what a model that is not invariant says of crystals at rest
    assert np.abs(phonopy_of_row(found, "rule").run_qpoints(points).frequencies - expected).max() < 0.3
