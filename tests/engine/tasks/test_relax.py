"""Batched relaxation against ASE one by one, against itself in other company, and held to its symmetry."""

from __future__ import annotations

from typing import Any

import ase.build
import numpy as np
import pytest
import spglib
import torch
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE, LBFGS
from ase.stress import full_3x3_to_voigt_6_stress

from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import GPA


def relax(
    table: StructureTable, model: Any, options: dict[str, Any] | None = None, **parameters: Any
) -> StructureTable:
    finished: list[StructureTable] = []
    driver = Relax(
        table, model, parse_parameters(Task.RELAX, parameters), finished=finished.append, **(options or {})
    )
    assert driver.run()
    return StructureTable.concatenate(finished).select(table.ids)


def ordered_alloys() -> StructureTable:
    rng = np.random.default_rng(5)
    rows = []
    for i in range(8):
        atoms = ase.build.bulk("Mo", a=3.1 + 0.02 * i, cubic=True) * (1, 1, 1 + i % 2)
        atoms.numbers = rng.choice([41, 42, 73, 74], len(atoms))
        rows.append((f"ordered-{i}", atoms))
    return StructureTable.from_ase(rows)


@pytest.mark.parametrize(("optimizer", "peer"), [("fire", FIRE), ("lbfgs", LBFGS)])
def test_batch_equals_ase_one_by_one(load_pet, ase_calculator, alloys, optimizer, peer):
    table = alloys(5)
    batch = relax(table, load_pet(), optimizer=optimizer, fmax=0.01, stress_max=0.05)
    calculator = ase_calculator()
    for row, atoms in enumerate(table.iter_ase()):
        atoms.calc = calculator
        minimiser = peer(FrechetCellFilter(atoms), logfile=None)
        for _ in minimiser.irun(fmax=1e-9, steps=300):
            largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
            if largest <= 0.01 and np.abs(atoms.get_stress()).max() * GPA <= 0.05:
                break
        assert batch.columns["status"][row] == "converged"
        # the same path: ours differs only in keeping rotations out of the cell, second order in the strain
        assert abs(minimiser.nsteps - batch.columns["n_steps"][row]) <= 1
        assert abs(atoms.get_potential_energy() - batch.columns["energy"][row]) / len(atoms) < 1e-5
        assert abs(atoms.get_volume() / batch.columns["volume"][row] - 1) < 5e-4


def test_row_does_not_depend_on_its_company(load_pet, alloys):
    table = alloys(10)
    together = relax(table, load_pet())
    for row in (0, 4, 9):
        alone = relax(table.take([row]), load_pet())
        assert alone.columns["n_steps"][0] == together.columns["n_steps"][row]
        assert abs(alone.columns["energy"][0] - together.columns["energy"][row]) / table.n_atoms[row] < 1e-9
        np.testing.assert_allclose(alone.positions, together.positions[together.atoms_of(row)], atol=1e-7)


def test_small_batches_change_nothing_but_the_path(load_pet, alloys):
    table = alloys(10)
    at_once = relax(table, load_pet())
    in_flight = relax(table, load_pet(max_tokens=100.0))
    np.testing.assert_allclose(in_flight.columns["energy"], at_once.columns["energy"], atol=1e-9)


def breathless(pet: Any, limit: float) -> Any:
    """Let ``pet`` run out of memory for chunks above ``limit`` tokens, as a device would."""
    evaluate = pet._evaluate_chunk

    def within_limit(chunk: Any, batch: Any) -> Any:
        if chunk.tokens > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return evaluate(chunk, batch)

    pet._evaluate_chunk = within_limit
    return pet


def test_out_of_memory_halves_the_chunks_and_loses_no_row(load_pet, alloys):
    table = alloys(48)
    model = breathless(load_pet(max_tokens=8000.0), limit=600.0)
    result = relax(table, model)
    assert model.halvings >= 3
    assert model.max_tokens <= 600.0
    assert set(result.columns["status"]) == {"converged"}
    undisturbed = relax(table, load_pet())
    # chunks of other shapes sum in another order
    np.testing.assert_allclose(result.columns["energy"], undisturbed.columns["energy"], atol=1e-8)
    np.testing.assert_array_equal(result.columns["n_steps"], undisturbed.columns["n_steps"])


def test_row_that_does_not_fit_alone_is_too_large(load_pet, alloys):
    table = alloys(6)
    big = ase.build.bulk("Mo", cubic=True) * (3, 3, 3)
    table = StructureTable.concatenate([table, StructureTable.from_ase([("big", big)])])
    result = relax(table, breathless(load_pet(), limit=900.0))
    assert result.columns["status"].tolist() == ["converged"] * 6 + ["too_large"]
    assert "does not fit into memory alone" in result.columns["message"][-1]


def test_pressure_compresses_and_converges_on_the_free_stress(load_pet, alloys):
    table = alloys(3)
    free, pressed = (
        relax(table, load_pet(), stress_max=0.02),
        relax(table, load_pet(), pressure=20.0, stress_max=0.02),
    )
    assert (pressed.columns["volume"] < 0.97 * free.columns["volume"]).all()
    np.testing.assert_allclose(pressed.columns["stress"][:, :3] * GPA, -20.0, atol=0.02)


@pytest.mark.parametrize("cell", ["fixed", "shape", "volume"])
def test_cell_filter_holds_what_it_says(load_pet, alloys, cell):
    table = alloys(3)
    result = relax(table, load_pet(), cell=cell)
    assert set(result.columns["status"]) == {"converged"}
    deformation = np.linalg.solve(table.cells, result.cells)
    match cell:
        case "fixed":
            np.testing.assert_allclose(result.cells, table.cells, atol=1e-12)
        case "shape":
            np.testing.assert_allclose(result.volumes(), table.volumes(), rtol=1e-9)
            assert np.abs(deformation - np.eye(3)).max() > 1e-4
        case "volume":
            factor = np.linalg.det(deformation) ** (1 / 3)
            np.testing.assert_allclose(deformation, factor[:, None, None] * np.eye(3), atol=1e-9)
            assert np.abs(factor - 1).max() > 1e-4


def test_cell_does_not_turn(load_pet, alloys):
    table = alloys(4, strain=0.04)
    result = relax(table, load_pet())
    deformation = np.linalg.solve(table.cells, result.cells)
    np.testing.assert_allclose(deformation, np.swapaxes(deformation, 1, 2), atol=1e-10)


def test_constrained_relaxation_keeps_every_space_group(load_pet):
    table = ordered_alloys()
    result = relax(table, load_pet(), symmetry="constrained", symprecs=[0.0001], fmax=0.005)
    assert set(result.columns["status"]) == {"converged"}
    for atoms, number in zip(table.iter_ase(), result.columns["spacegroup_0_0001"], strict=True):
        cell = (np.array(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
        assert spglib.get_symmetry_dataset(cell, 1e-4).number == number
    assert result.columns["symmetry_kept_0_0001"].all()


def test_constrained_relaxation_of_rattled_crystals_restores_what_symprec_allows(load_pet):
    table = ordered_alloys()
    rng = np.random.default_rng(0)
    rattled = table.take(range(len(table)))
    rattled.positions = table.positions + rng.normal(scale=0.003, size=table.positions.shape)
    held = relax(rattled, load_pet(), symmetry="constrained", symprec=0.05, symprecs=[0.0001])
    free = relax(rattled, load_pet(), symprecs=[0.0001])
    wanted = relax(table, load_pet(), symmetry="constrained", symprecs=[0.0001])
    assert (held.columns["spacegroup_0_0001"] == wanted.columns["spacegroup_0_0001"]).all()
    assert (free.columns["spacegroup_0_0001"] != wanted.columns["spacegroup_0_0001"]).any()


def test_max_steps_ends_a_row_and_says_how_far_it_was(load_pet, alloys):
    result = relax(alloys(3), load_pet(), max_steps=2)
    assert set(result.columns["status"]) == {"max_steps"}
    assert (result.columns["n_steps"] == 2).all()
    assert "after 2 steps the largest force is" in result.columns["message"][0]


def test_tighter_criteria_take_more_steps(load_pet, alloys):
    table = alloys(3)
    loose, tight = (
        relax(table, load_pet(), fmax=0.1, stress_max=5.0),
        relax(table, load_pet(), fmax=0.1, stress_max=0.01),
    )
    assert (tight.columns["n_steps"] > loose.columns["n_steps"]).all()
    assert (tight.columns["stress_max"] <= 0.01).all()
    tighter = relax(table, load_pet(), fmax=0.001, stress_max=5.0)
    assert (tighter.columns["fmax"] <= 0.001).all()


def test_force_cap_and_volume_ratio_end_rows_as_diverged(load_pet, alloys):
    table = alloys(4, rattle=0.2)
    capped = relax(table, load_pet(), force_cap=0.05)
    assert set(capped.columns["status"]) == {"diverged"}
    assert "exceeds force_cap" in capped.columns["message"][0]
    swollen = table.take(range(4))
    swollen.cells, swollen.positions = 1.15 * table.cells, 1.15 * table.positions
    limited = relax(swollen, load_pet(), volume_ratio_max=1.1)
    assert "diverged" in set(limited.columns["status"])
    place = limited.columns["status"].tolist().index("diverged")
    assert "volume would change by a factor" in limited.columns["message"][place]
    assert np.isfinite(limited.positions).all()


def test_max_step_changes_the_path(load_pet, alloys):
    table = alloys(2)
    short, long = relax(table, load_pet(), max_step=0.01), relax(table, load_pet())
    assert (short.columns["n_steps"] > long.columns["n_steps"]).any()


@pytest.mark.parametrize(
    ("forces", "stress"), [("direct", "direct"), ("conservative", "direct"), ("direct", "conservative")]
)
def test_direct_heads_relax_near_the_conservative_minimum(load_pet, alloys, forces, stress):
    table = alloys(3, rattle=0.02, strain=0.01)
    derived = relax(table, load_pet())
    direct = relax(
        table, load_pet(forces=forces, stress=stress), forces=forces, stress=stress, fmax=0.05, stress_max=1.0
    )
    assert set(direct.columns["status"]) <= {"converged", "max_steps"}
    assert (np.abs(direct.columns["energy"] - derived.columns["energy"]) / table.n_atoms < 0.1).all()
    assert (np.abs(direct.columns["energy"] - derived.columns["energy"]) / table.n_atoms > 1e-7).any()


def test_stress_column_is_ase_voigt_of_the_final_structure(load_pet, ase_calculator, alloys):
    result = relax(alloys(2), load_pet())
    for row, atoms in enumerate(result.iter_ase()):
        atoms.calc = ase_calculator()
        np.testing.assert_allclose(result.columns["stress"][row], atoms.get_stress(), atol=1e-9)
        full = atoms.get_stress(voigt=False)
        np.testing.assert_allclose(full_3x3_to_voigt_6_stress(full), result.columns["stress"][row], atol=1e-9)
        np.testing.assert_allclose(
            result.atom_columns["forces"][result.atoms_of(row)], atoms.get_forces(), atol=1e-8
        )
