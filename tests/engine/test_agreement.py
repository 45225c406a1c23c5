"""The claims of the README on the demo's own alloys: batch = ASE one by one, and what happens to their symmetry."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import GPA

sys.path.append(str(Path(__file__).parents[2] / "examples"))
from alloys import ordered_alloys

SYMPRECS = [0.0001, 0.001, 0.01, 0.1]


def relax(model, table: StructureTable, **parameters) -> StructureTable:
    finished: list[StructureTable] = []
    assert Relax(table, model, parse_parameters(Task.RELAX, parameters), finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def ase_relaxed(atoms: Atoms, calculator, fmax: float, stress_max: float) -> Atoms:
    """Return ``atoms`` relaxed by ASE until both criteria hold."""
    atoms.calc = calculator
    for _ in FIRE(FrechetCellFilter(atoms), logfile=None).irun(fmax=1e-9, steps=500):
        if (
            np.linalg.norm(atoms.get_forces(), axis=1).max() <= fmax
            and np.abs(atoms.get_stress()).max() * GPA <= stress_max
        ):
            return atoms
    raise AssertionError(f"ASE did not converge {atoms.get_chemical_formula()}")


@pytest.mark.slow
def test_twenty_alloys_and_ten_rattled_supercells_equal_ase(load_pet, ase_calculator):
    rng = np.random.default_rng(3)
    crystals = list(ordered_alloys())
    chosen = [crystals[i] for i in np.linspace(0, len(crystals) - 1, 20).astype(int)]
    for i in range(10):
        name, atoms = crystals[20 + 31 * i]
        supercell = atoms * (1, 1, 2)
        supercell.rattle(0.05, rng=rng)
        chosen.append((f"{name}-rattled", supercell))
    table = StructureTable.from_ase(chosen)
    batch = relax(load_pet(), table, fmax=0.01, stress_max=0.05)
    assert set(batch.columns["status"]) == {"converged"}
    calculator = ase_calculator()
    for row, (name, start) in enumerate(chosen):
        atoms = ase_relaxed(start.copy(), calculator, fmax=0.01, stress_max=0.05)
        assert abs(atoms.get_potential_energy() - batch.columns["energy"][row]) / len(atoms) < 1e-4, name
        assert abs(batch.columns["volume"][row] / atoms.get_volume() - 1) < 5e-4, name


def fifty_alloys() -> StructureTable:
    crystals = list(ordered_alloys())
    return StructureTable.from_ase(crystals[i] for i in np.linspace(0, len(crystals) - 1, 50).astype(int))


def test_constrained_relaxation_of_fifty_alloys_keeps_each_space_group(load_pet):
    result = relax(load_pet(), fifty_alloys(), symmetry="constrained", symprecs=SYMPRECS)
    assert set(result.columns["status"]) == {"converged"}
    assert (result.columns["initial_spacegroup_0_0001"] > 1).all()
    assert result.columns["symmetry_kept_0_0001"].all()


def test_free_relaxation_of_rattled_alloys_reports_what_lost_its_symmetry(load_pet):
    table = fifty_alloys()
    wanted = relax(load_pet(), table, max_steps=0, symprecs=[0.001]).columns["initial_spacegroup_0_001"]
    table.positions = table.positions + np.random.default_rng(0).normal(
        scale=0.01, size=table.positions.shape
    )
    result = relax(load_pet(), table, symprecs=SYMPRECS)
    kept = {
        label: np.mean(result.columns[f"spacegroup_{label}"] == wanted) for label in ("0_001", "0_01", "0_1")
    }
    # a looser tolerance sees more of the parent's symmetry; a tight one sees that it is gone
    assert kept["0_001"] < kept["0_01"] < kept["0_1"]
    assert kept["0_001"] < 0.5 < kept["0_1"]
