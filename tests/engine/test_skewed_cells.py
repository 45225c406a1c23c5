"""One crystal in many bases: energies, forces and stresses do not depend on how a crystal is written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ase.build
import numpy as np
import pytest
from ase import Atoms

from aiida_pet.engine.batch import pair_search
from aiida_pet.engine.model.pet import BatchedPet, load_model
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import RowStatus, Task
from aiida_pet.job.parameters import Dtype, parse_parameters
from aiida_pet.tables.crystals import StructureTable

TIMES = (3_000, -3_000, 1_000_000)


@pytest.fixture(scope="module")
def pets(model_file: Any) -> Iterator[Any]:
    models = {dtype: BatchedPet(load_model(*model_file), dtype=dtype) for dtype in Dtype}
    return models.__getitem__


def run(driver: type, crystals: dict[str, Atoms], pet: Any, **parameters: Any) -> StructureTable:
    table = StructureTable.from_ase(crystals.items())
    task = Task.RELAX if driver is Relax else Task.STATIC
    finished: list[StructureTable] = []
    driver(table, pet, parse_parameters(task, parameters), finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def written(atoms: Atoms, vector: int, times: int, by: int) -> Atoms:
    """Return the same crystal in a basis whose ``vector`` has ``times`` that of ``by`` added."""
    other = atoms.copy()
    other.cell[vector] += times * other.cell[by]
    return other


def bulk() -> Atoms:
    atoms = ase.build.bulk("W", a=3.2, cubic=True)
    atoms.numbers[1] = 42
    atoms.rattle(0.08, seed=3)
    return atoms


def slab() -> Atoms:
    atoms = ase.build.bcc100("Mo", (1, 1, 3), a=3.15)
    atoms.rattle(0.05, seed=5)
    atoms.cell[2] = [0, 0, 40]
    atoms.pbc = [True, True, False]
    return atoms


def wire() -> Atoms:
    atoms = Atoms("W2", [[0, 0, 0], [0.2, 0.1, 2.3]], cell=[[9, 0, 4], [0, 9, 4], [0, 0, 4.9]])
    atoms.pbc = [False, False, True]
    return atoms


@pytest.mark.parametrize(("dtype", "energy", "force"), [("float64", 1e-9, 1e-7), ("float32", 2e-6, 2e-5)])
def test_static_results_do_not_depend_on_the_basis(pets, dtype, energy, force):
    crystals = {"bulk": bulk(), "slab": slab(), "wire": wire()}
    for times in TIMES:
        crystals[f"bulk {times}"] = written(bulk(), 2, times, 0)
        crystals[f"slab {times}"] = written(slab(), 0, times, 1)
        # what is not periodic may be anything
        crystals[f"wire {times}"] = written(wire(), 0, times, 2)
    found = run(Static, crystals, pets(Dtype(dtype)), dtype=dtype)
    assert set(found.columns["status"]) == {"converged"}
    for place, name in enumerate(found.ids.tolist()):
        like = found.index(name.partition(" ")[0])
        per_atom = found.columns["energy"] / found.n_atoms
        assert per_atom[place] == pytest.approx(per_atom[like], abs=energy)
        forces = found.atom_columns["forces"]
        np.testing.assert_allclose(
            forces[found.atoms_of(place)], forces[found.atoms_of(like)], atol=force, rtol=0
        )
        stress = found.columns["stress"]
        np.testing.assert_allclose(stress[place], stress[like], atol=force, rtol=0)
    for name, atoms in crystals.items():  # handed back as they came
        np.testing.assert_array_equal(found.cells[found.index(name)], atoms.cell)


def test_atoms_far_from_their_cell_are_as_good_as_at_home_in_float32(pets):
    far = bulk()
    far.positions[1] += 50_000 * far.cell[0] - 20_000 * far.cell[2]
    found = run(Static, {"home": bulk(), "far": far}, pets(Dtype.FLOAT32), dtype="float32")
    np.testing.assert_allclose(np.diff(found.columns["energy"]), 0, atol=2e-6)
    np.testing.assert_allclose(*found.atom_columns["forces"].reshape(2, 2, 3), atol=2e-5)


def test_stress_of_a_skewed_basis_is_the_slope_of_the_energy(pets):
    atoms, step = written(bulk(), 2, 3_000, 0), 1e-4
    crystals = {"at rest": atoms}
    for i, j in ((0, 0), (1, 2), (0, 2)):
        for sign in (-1, 1):
            strain = np.zeros((3, 3))
            strain[i, j] += sign * step / 2
            strain[j, i] += sign * step / 2
            strained = atoms.copy()
            strained.set_cell(atoms.cell[:] @ (np.eye(3) + strain))
            strained.positions = atoms.positions @ (np.eye(3) + strain)
            crystals[f"{i}{j} {sign}"] = strained
    found = run(Static, crystals, pets(Dtype.FLOAT64))
    stress = dict(zip(("00", "11", "22", "12", "02", "01"), found.columns["stress"][0], strict=True))
    energies = dict(zip(found.ids.tolist(), found.columns["energy"].tolist(), strict=True))
    for pair in ("00", "12", "02"):
        slope = (energies[f"{pair} 1"] - energies[f"{pair} -1"]) / (2 * step) / atoms.cell.volume
        assert slope == pytest.approx(stress[pair], abs=2e-6)


def test_a_relaxation_goes_the_same_way_in_a_skewed_basis(pets):
    crystals = {"short": bulk(), "skewed": written(bulk(), 2, 3_000, 0)}
    found = run(Relax, crystals, pets(Dtype.FLOAT64), fmax=0.01, stress_max=0.05, max_steps=8)
    assert found.columns["n_steps"].tolist() == [8, 8]
    np.testing.assert_allclose(np.diff(found.columns["energy"]), 0, atol=1e-6)
    np.testing.assert_allclose(*found.positions.reshape(2, 2, 3), atol=1e-5)
    back = found.cells[1].copy()
    back[2] -= 3_000 * back[0]
    np.testing.assert_allclose(back, found.cells[0], atol=1e-4)
    assert (found.columns["energy"] < found.columns["initial_energy"] - 0.01).all()


def test_rows_that_cannot_be_searched_end_with_a_status(pets, monkeypatch):
    monkeypatch.setattr(pair_search, "FEW_CANDIDATES", 100.0)
    monkeypatch.setattr(pair_search, "MAX_PAIRS", 2_000)
    crystals = {
        "good": bulk(),
        "large": ase.build.bulk("W", a=3.2, cubic=True) * (4, 4, 4),
        "long": written(bulk(), 2, 10**10, 0),
    }
    for driver in (Static, Relax):
        parameters = {"max_steps": 0} if driver is Relax else {}
        found = run(driver, crystals, pets(Dtype.FLOAT64), **parameters)
        status = dict(zip(found.ids.tolist(), found.columns["status"].tolist(), strict=True))
        assert status["good"] in ("converged", "max_steps")
        assert status["large"] == RowStatus.TOO_LARGE
        assert status["long"] == RowStatus.INVALID_GEOMETRY
        assert np.isfinite(found.columns["energy"]).tolist() == [True, False, False]
        assert "128 atoms have about" in str(found.columns["message"][1])
        assert "expected less than 1e+09 A" in str(found.columns["message"][2])


def test_a_large_crystal_of_good_shape_is_not_taken_for_too_skewed(pets, monkeypatch):
    # what FEW_CANDIDATES was a limit of before: 103,823 atoms in a cube
    monkeypatch.setattr(pair_search, "FEW_CANDIDATES", 100.0)
    crystals = {"one": ase.build.bulk("W", a=3.2), "many": ase.build.bulk("W", a=3.2, cubic=True) * (4, 4, 4)}
    found = run(Static, crystals, pets(Dtype.FLOAT64))
    assert set(found.columns["status"]) == {"converged"}
    per_atom = found.columns["energy"] / found.n_atoms
    assert per_atom[1] == pytest.approx(per_atom[0], abs=1e-9)
