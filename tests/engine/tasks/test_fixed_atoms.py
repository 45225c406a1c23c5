"""Atoms that are held: against ASE's constraints, while cells change, under symmetry, and through a killed job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixScaled
from ase.optimize import FIRE

from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.engine.run import Job
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.engine.tasks.elastic import Elastic
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import STATE_FILE, EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.job.input_columns import read_by
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.state_file import StateError, read_state, write_state
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import allowed_directions, is_fixed, projectors
from support.interrupted import Interrupted
from support.slabs import slab, turned

NO, ALL = (False, False, False), (True, True, True)


def held(atoms: Atoms | dict[str, Atoms], *, cartesian: Any = None, scaled: Any = None) -> StructureTable:
    """Return the table of ``atoms`` of which ``cartesian`` and ``scaled`` are held: atom -> three flags."""
    table = StructureTable.from_ase(atoms.items() if isinstance(atoms, dict) else [("row", atoms)])
    for name, given in (("fixed_cartesian", cartesian), ("fixed_scaled", scaled)):
        if given is not None:
            flags = np.zeros((len(table.numbers), 3), dtype=bool)
            for atom, components in given.items():
                flags[atom] = components
            table.atom_columns[name] = flags
    return table


def run(driver: Any, task: Task, table: StructureTable, model: Any, **parameters: Any) -> StructureTable:
    finished: list[StructureTable] = []
    assert driver(table, model, parse_parameters(task, parameters), finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def relax(table: StructureTable, model: Any, **parameters: Any) -> StructureTable:
    return run(Relax, Task.RELAX, table, model, **parameters)


def fractional(atoms: Atoms) -> np.ndarray:
    """Return coordinates along the lattice vectors, not wrapped."""
    return np.linalg.solve(atoms.cell[:].T, atoms.positions.T).T


@pytest.fixture
def crystal() -> Atoms:
    """Return a triclinic alloy of four atoms, off its minimum."""
    rng = np.random.default_rng(2)
    atoms = ase.build.bulk("Mo", a=3.2, cubic=True) * (1, 1, 2)
    atoms.numbers = [42, 74, 41, 73]
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + rng.normal(scale=0.04, size=(3, 3))), scale_atoms=True)
    atoms.rattle(0.06, rng=rng)
    return atoms


# constraint of ASE -> the same in columns; those of two atoms, since one alone only says where the origin is
KINDS = {
    "atoms": (
        [FixAtoms([0, 2]), FixCartesian([1], mask=(False, False, True))],
        {"scaled": {0: ALL}, "cartesian": {1: (False, False, True), 2: ALL}},
    ),
    "components": (
        [FixCartesian([atom], mask=(True, False, True)) for atom in (0, 1)]
        + [FixScaled([3], mask=(True, True, False))],
        {"cartesian": dict.fromkeys((0, 1), (True, False, True)), "scaled": {3: (True, True, False)}},
    ),
}


@pytest.mark.parametrize(("constraints", "columns"), KINDS.values(), ids=KINDS)
def test_fixed_cell_ends_where_ase_ends(load_pet, ase_calculator, crystal, constraints, columns):
    table = StructureTable.concatenate([held(crystal, **columns), held({"free": crystal})])
    ours = relax(table, load_pet(), cell="fixed", fmax=2e-3, symprecs=[])
    assert ours.columns["status"].tolist() == ["converged", "converged"]
    theirs = crystal.copy()
    theirs.calc = ase_calculator()
    theirs.set_constraint(constraints)
    FIRE(theirs, logfile=None).run(fmax=2e-3, steps=300)
    held_energy, free_energy = ours.columns["energy"]
    assert held_energy == pytest.approx(theirs.get_potential_energy(), abs=1e-6)
    assert free_energy < held_energy - 1e-3
    forces = ours.atom_columns["forces"][: len(crystal)]
    assert (
        ours.columns["fmax"][0] <= 2e-3 < np.linalg.norm(forces, axis=1).max()
    )  # forces are those of the model


@pytest.mark.parametrize(
    ("cell", "optimizer"), [("full", "fire"), ("full", "lbfgs"), ("shape", "fire"), ("volume", "fire")]
)
def test_held_atoms_keep_fractional_coordinates_while_the_cell_changes(load_pet, crystal, cell, optimizer):
    table = held(crystal, cartesian={0: ALL}, scaled={2: ALL, 3: (False, True, False)})
    after = relax(table, load_pet(), cell=cell, optimizer=optimizer, max_steps=12).ase_at(0)
    assert np.abs(after.cell[:] - crystal.cell[:]).max() > 0.01
    ours, wanted = fractional(after), fractional(crystal)
    np.testing.assert_allclose(ours[[0, 2]], wanted[[0, 2]], atol=1e-12)
    assert ours[3, 1] == pytest.approx(wanted[3, 1], abs=1e-12)
    assert np.abs(ours[3] - wanted[3]).max() > 1e-3
    assert np.abs(ours[1] - wanted[1]).max() > 1e-3


def test_cartesian_component_is_held_in_the_frame_of_the_deformed_cell(load_pet, crystal):
    table = held(crystal, cartesian={1: (False, False, True)})
    after = relax(table, load_pet(), fmax=0.01, stress_max=0.01)
    assert after.columns["status"].tolist() == ["converged"]
    deformation = np.linalg.solve(table.cells[0], after.cells[0])
    back = after.positions[1] @ np.linalg.inv(deformation)
    assert back[2] == pytest.approx(crystal.positions[1, 2], abs=1e-10)
    assert np.abs(back[:2] - crystal.positions[1, :2]).max() > 1e-3


def test_end_with_a_relaxing_cell_is_a_minimum_under_what_is_held(load_pet, crystal):
    table = held(crystal, scaled={0: ALL, 1: (True, False, False)})
    end = relax(table, load_pet(), fmax=5e-4, stress_max=2e-3)
    assert end.columns["status"].tolist() == ["converged"]
    rng = np.random.default_rng(0)
    trials = []
    for place in range(6):
        strain = rng.normal(scale=2e-3, size=(3, 3))
        coordinates = fractional(end.ase_at(0))
        moves = rng.normal(scale=2e-3, size=(4, 3))
        moves[0], moves[1, 0] = 0.0, 0.0
        cell = end.cells[0] @ (np.eye(3) + strain + strain.T)
        trials.append(
            (f"{place}", Atoms(crystal.numbers, cell=cell, scaled_positions=coordinates + moves, pbc=True))
        )
    near = run(Static, Task.STATIC, StructureTable.from_ase(trials), load_pet())
    assert (near.columns["energy"] > end.columns["energy"][0]).all()


def test_all_atoms_held_leaves_only_the_cell(load_pet, crystal):
    table = held(crystal, scaled=dict.fromkeys(range(4), ALL))
    fixed = relax(table, load_pet(), cell="fixed")
    assert (fixed.columns["n_steps"][0], fixed.columns["fmax"][0]) == (0, 0.0)
    strained = relax(table, load_pet(), stress_max=0.05)
    np.testing.assert_allclose(fractional(strained.ase_at(0)), fractional(crystal), atol=1e-12)
    assert strained.columns["stress_max"][0] <= 0.05


@pytest.mark.parametrize("forces", ["conservative", "direct"])
def test_held_atoms_stay_with_direct_forces_and_averages(load_pet, crystal, forces):
    table = held(crystal, cartesian={0: ALL, 3: (False, False, True)})
    options = {"averaging": "octahedral"} if forces == "conservative" else {}
    after = relax(table, load_pet(forces=forces), forces=forces, cell="fixed", max_steps=2, **options)
    np.testing.assert_array_equal(after.positions[0], crystal.positions[0])
    assert after.positions[3, 2] == pytest.approx(crystal.positions[3, 2], abs=1e-14)
    assert np.abs(after.positions[1] - crystal.positions[1]).max() > 1e-3


def test_row_does_not_feel_what_is_held_of_its_company(load_pet, alloys, crystal):
    others = alloys(3)
    alone = relax(others, load_pet(), max_steps=10)
    table = StructureTable.concatenate([held(crystal, cartesian={0: ALL}), others])
    together = relax(table, load_pet(), max_steps=10).select(others.ids)
    np.testing.assert_allclose(together.columns["energy"], alone.columns["energy"], atol=1e-9)
    np.testing.assert_allclose(together.positions, alone.positions, atol=1e-8)


# -- symmetry --------------------------------------------------------------------------------------------------------

UNIT = np.concatenate([np.eye(3), np.eye(3)])


def order(atoms: Atoms, flags: dict[int, Any]) -> int:
    fixed = np.zeros((len(atoms), 6), dtype=bool)
    for atom, components in flags.items():
        fixed[atom, :3] = components
    allowed = projectors(fixed, UNIT)
    return len(
        find_operations(atoms.cell[:], atoms.positions, atoms.numbers, 0.01, pbc=atoms.pbc, allowed=allowed)
    )


def test_only_operations_that_map_what_is_held_onto_itself_count():
    bulk = ase.build.bulk("W", cubic=True)  # two atoms
    assert order(bulk, {}) == 48
    assert order(bulk, {0: ALL}) == 48  # each atom is the centre of a cube
    assert order(bulk, {0: (True, False, False)}) == 16  # fourfold about x
    assert (
        order(bulk, {0: (True, False, False), 1: (False, True, False)}) == 8
    )  # and x is not y, unless shifted
    layer = slab(size=(2, 2))
    assert order(layer, dict.fromkeys(range(4), ALL)) == 8  # the whole layer
    assert order(layer, {0: ALL, 1: ALL}) == 4  # a row of it


def test_held_crystal_keeps_what_symmetry_its_fixed_atoms_leave(load_pet):
    atoms = turned(slab(size=(2, 1)))
    table = held(atoms, cartesian={0: ALL, 1: ALL})
    after = relax(table, load_pet(), cell="fixed", symmetry="constrained", symprecs=[0.0001], fmax=0.02)
    assert after.columns["symmetry_kept_0_0001"].all()
    np.testing.assert_allclose(after.positions[:2], atoms.positions[:2], atol=1e-12)
    # one of two atoms that a translation makes equal: the translation goes, and with it the layer group of the cell
    uneven = relax(
        held(atoms, cartesian={0: ALL}),
        load_pet(),
        cell="fixed",
        symmetry="constrained",
        symprecs=[0.0001],
        fmax=0.02,
    )
    np.testing.assert_allclose(uneven.positions[0], atoms.positions[0], atol=1e-12)
    assert np.abs(uneven.positions[1] - atoms.positions[1]).max() > 1e-3


def test_atoms_held_off_the_symmetry_stay_there(load_pet):
    atoms = slab()
    atoms.positions[0] += [0.004, 0.0, 0.0]
    table = held(atoms, cartesian={0: ALL})
    after = relax(table, load_pet(), cell="fixed", symmetry="constrained", symprec=0.05, max_steps=5)
    np.testing.assert_allclose(after.positions[0], atoms.positions[0], atol=1e-12)
    assert np.abs(after.positions[2] - atoms.positions[2]).max() > 1e-3


# -- rows that are refused, and rows that stand still ----------------------------------------------------------------


@pytest.mark.parametrize(("driver", "task"), [(Phonons, Task.PHONONS), (Elastic, Task.ELASTIC)])
@pytest.mark.parametrize("relax_first", [True, False])
def test_derivatives_refuse_what_is_held_and_no_other_row(load_pet, driver, task, relax_first):
    rows = {name: ase.build.bulk("W", a=3.18) for name in ("held", "unread", "good")}
    table = held(rows, scaled={0: ALL})
    table.columns["constraints_not_read"] = np.array(["", "FixBondLengths", ""])
    result = run(
        driver, task, table, load_pet(), relax_first=relax_first, fmax=0.1, stress_max=5.0,
        **({"supercell": [1, 1, 1]} if task is Task.PHONONS else {}),
    )  # fmt: skip
    assert result.columns["status"].tolist()[:2] == ["failed", "failed"]
    assert "some atoms are held" in result.columns["message"][0]
    assert "leave its constraints out of the set" in result.columns["message"][0]
    assert "FixBondLengths" in result.columns["message"][1]
    assert result.columns["status"][2] == "converged"


def test_constraints_that_were_not_read_refuse_the_row(load_pet, crystal):
    table = held({"bond": crystal, "none": crystal})
    table.columns["constraints_not_read"] = np.array(["FixBondLengths Hookean", ""])
    result = relax(table, load_pet(), max_steps=1)
    assert result.columns["status"].tolist() == ["failed", "max_steps"]
    assert "FixBondLengths Hookean" in result.columns["message"][0]


def test_static_evaluation_leaves_held_components_out_of_fmax_only(load_pet, crystal):
    table = held(crystal, cartesian={0: ALL, 1: (True, False, False)})
    ours = run(Static, Task.STATIC, table, load_pet())
    plain = run(Static, Task.STATIC, held(crystal), load_pet())
    np.testing.assert_array_equal(ours.atom_columns["forces"], plain.atom_columns["forces"])
    assert ours.columns["energy"][0] == plain.columns["energy"][0]
    free = plain.atom_columns["forces"].copy()
    free[0], free[1, 0] = 0.0, 0.0
    assert ours.columns["fmax"][0] == pytest.approx(np.linalg.norm(free, axis=1).max(), rel=1e-12)


def test_scaled_flags_leave_what_is_perpendicular_to_the_dual_vectors(crystal):
    table = held(crystal, scaled={3: (True, True, False)})
    (projector,) = allowed_directions(table, 0)[3:]
    along = crystal.cell[2] / np.linalg.norm(crystal.cell[2])
    np.testing.assert_allclose(projector, np.outer(along, along), atol=1e-12)  # only along c


def test_missing_flags_hold_nothing(crystal):
    table = held(crystal)
    table.atom_columns["fixed_cartesian"] = np.full((4, 3), np.nan)
    assert not is_fixed(table).any()


# -- a job that is killed --------------------------------------------------------------------------------------------


def test_killed_job_goes_on_with_what_is_held(tmp_path, model_file, crystal):
    table = held(crystal, cartesian={0: ALL}, scaled={3: (False, True, False)})
    path, sha256 = model_file
    ends = {}
    for name in ("alone", "stopped"):
        folder = JobFolder(tmp_path / name)
        settings = EngineSettings(device="cpu", threads=1, flush_interval_s=0.0)
        given = {"cell": "full", "fmax": 0.01, "symprecs": []}
        folder.write_inputs(
            JobSpec(Task.RELAX, given, sha256, model_path=str(path), settings=settings), table
        )
        if name == "stopped":
            assert Interrupted(folder, 4).run() is ExitStatus.ROWS_LEFT
            assert (folder.path / STATE_FILE).exists()
        assert Job(folder).run() is ExitStatus.OK
        ends[name] = folder.read_results()[0]
    ours, wanted = ends["stopped"], ends["alone"]
    assert ours.columns["n_steps"][0] == wanted.columns["n_steps"][0] > 4
    np.testing.assert_allclose(ours.positions, wanted.positions, atol=1e-9)
    np.testing.assert_allclose(fractional(ours.ase_at(0))[0], fractional(crystal)[0], atol=1e-12)


def test_state_of_other_fixed_atoms_is_not_taken_up(tmp_path: Path, crystal):
    table = held(crystal, cartesian={0: ALL})
    write_state(tmp_path / "state.npz", table, {})
    assert read_state(tmp_path / "state.npz", {}, table) is not None
    with pytest.raises(StateError, match="other structures"):
        read_state(tmp_path / "state.npz", {}, held(crystal, cartesian={1: ALL}))


def test_every_driver_takes_the_columns_that_jobs_get():
    assert issubclass(Relax, Driver)
    for task in Task:
        read = read_by(task)
        assert {"fixed_cartesian", "fixed_scaled"} <= set(read.atoms)
        assert "constraints_not_read" in read.rows
