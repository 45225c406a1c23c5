"""Equations of state of batches against relaxations at constant volume by ASE, fitted by ASE and pymatgen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa
from pymatgen.analysis.eos import EOS

from aiida_pet.engine.tasks.eos import Eos
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable

FIT = ("eos_volume", "eos_energy", "eos_bulk_modulus", "eos_bulk_modulus_derivative")


def tetragonal() -> Atoms:
    """A layered crystal whose c/a and height of an atom are free."""
    a = 3.23
    cell = [[a, 0, 0], [0, a, 0], [a / 2, a / 2, 1.5 * a]]
    return Atoms("MoTa2", positions=[(0, 0, 0), (0, 0, 1.02 * a), (0, 0, 1.98 * a)], cell=cell, pbc=True)


def run(crystals: dict[str, Atoms], model: Any, **parameters: Any) -> StructureTable:
    finished: list[StructureTable] = []
    table = StructureTable.from_ase(crystals.items())
    given = {"n_volumes": 7, "symprecs": (), **parameters}
    assert Eos(table, model, parse_parameters(Task.EOS, given), finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


@pytest.mark.filterwarnings("ignore")
def test_equations_are_those_of_ase_and_pymatgen(load_pet, ase_calculator):
    crystals = {"bcc": bulk("Mo", a=3.16), "tetragonal": tetragonal()}
    # free, as by ASE: the model knows no symmetry, and gains 15 ueV by leaving that of bcc
    rows = run(crystals, load_pet(), fmax=1e-5, stress_max=1e-4, symmetry="none")
    assert (rows.columns["status"] == "converged").all()
    for row in range(2):
        relaxed = rows.ase_at(row)
        energies, volumes = [], []
        for scale in np.linspace(0.97, 1.03, 7):
            atoms = relaxed.copy()
            atoms.set_cell(relaxed.cell * scale, scale_atoms=True)
            atoms.calc = ase_calculator()
            with BFGS(FrechetCellFilter(atoms, constant_volume=True), logfile=None) as optimizer:
                assert optimizer.run(fmax=1e-4, steps=300)
            energies.append(atoms.get_potential_energy())
            volumes.append(atoms.get_volume())
        np.testing.assert_allclose(rows.columns["eos_volumes"][row], volumes, rtol=1e-6)
        np.testing.assert_allclose(rows.columns["eos_energies"][row], energies, atol=1e-6)
        volume, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
        found = [rows.columns[name][row] for name in FIT]
        assert found[:3] == pytest.approx([volume, energy, modulus / GPa], rel=1e-5)
        theirs = EOS(eos_name="birch_murnaghan").fit(volumes, energies)
        assert found[3] == pytest.approx(theirs.b1, rel=1e-3)


def test_a_cell_that_is_only_scaled_is_harder_than_one_that_relaxes(load_pet):
    found = {
        kind: run({"x": tetragonal()}, load_pet(), at_volume=kind).columns
        for kind in ("shape", "positions", "nothing")
    }
    energies = {kind: columns["eos_energies"][0] for kind, columns in found.items()}
    assert (energies["shape"] <= energies["positions"] + 1e-7).all()
    assert (energies["positions"] <= energies["nothing"] + 1e-7).all()
    assert energies["nothing"][0] - energies["shape"][0] > 1e-5
    # relaxed cells have the volumes of scaled ones
    np.testing.assert_allclose(found["shape"]["eos_volumes"], found["nothing"]["eos_volumes"], rtol=1e-9)


def test_pressures_of_the_stress_are_those_of_the_curve_and_the_minimum_is_the_relaxed_crystal(load_pet):
    row = run({"bcc": bulk("Mo", a=3.16)}, load_pet(), equation="vinet", max_strain=0.01).columns
    assert row["eos_volume"][0] == pytest.approx(row["volume"][0], rel=1e-3)
    assert row["eos_energy"][0] == pytest.approx(row["energy"][0], abs=1e-4)
    slope = -np.gradient(row["eos_energies"][0], row["eos_volumes"][0]) / GPa
    np.testing.assert_allclose(row["eos_pressures"][0][1:-1], slope[1:-1], atol=0.1)
    assert row["n_volumes"].tolist() == [7]


def test_warnings_say_where_the_fit_is_not_to_be_trusted(load_pet):
    mo = {"bcc": bulk("Mo", a=3.16)}
    assert run(mo, load_pet()).columns["warnings"].tolist() == [""]
    beside = run(mo, load_pet(), volumes=(1.02, 1.04, 1.06, 1.08, 1.1)).columns
    assert beside["warnings"].tolist() == ["volume_at_edge"]
    assert beside["eos_volume"][0] < beside["eos_volumes"].min()
    far = run(mo, load_pet(), volumes=(0.6, 0.7, 0.9, 1.0, 1.3, 1.7, 2.2), relax_first=False).columns
    assert far["eos_relative_residual"][0] > 0.01
    assert "eos_rough" in far["warnings"][0].split()


def test_slabs_are_refused(load_pet):
    slab = bulk("Mo", a=3.16)
    slab.pbc = [True, True, False]
    rows = run({"slab": slab, "good": bulk("Mo", a=3.16)}, load_pet(), relax_first=False)
    assert rows.columns["status"].tolist() == ["failed", "converged"]
    assert "equations of state need a crystal periodic" in rows.columns["message"][0]
    assert np.isnan(rows.columns["eos_volume"][0])
    assert rows.columns["eos_energies"].shape == (2, 7)
