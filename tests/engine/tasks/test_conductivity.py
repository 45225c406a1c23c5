"""The whole road to a conductivity against phono3py driven by hand with the forces of metatomic's ASE calculator."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_pet.engine.run import Job
from aiida_pet.engine.tasks.conductivity import ThirdOrderForces
from aiida_pet.job.folder import STATE_FILE, EngineSettings, ExitStatus, JobFolder, JobSpec
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_pet
from aiida_pet.transport.rows import transport_of_row
from support import interrupted

# a mesh and cells as coarse as they may be
GIVEN: dict[str, Any] = {
    "relax_first": False,
    "fc2_supercell": (3, 3, 3),
    "fc3_supercell": (3, 3, 3),
    "fc2_min_image": 5.0,
    "fc3_min_image": 5.0,
    "pair_cutoff": 3.0,
    "opposites": "auto",
    "symprecs": (),
    "mesh": (5, 5, 5),
    "temperatures": (300.0,),
}


def run(table: StructureTable, model: Any, **further: Any) -> StructureTable:
    finished: list[StructureTable] = []
    parameters = parse_parameters(Task.CONDUCTIVITY, GIVEN | further)
    assert ThirdOrderForces(table, model, parameters, finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


@pytest.fixture(scope="module")
def tiny() -> Any:
    from aiida_pet.engine.model.pet import BatchedPet

    return BatchedPet(tiny_pet())


def test_forces_and_conductivity_are_those_of_ase_and_phono3py(load_pet, ase_calculator):
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = bulk("MoTa", "cesiumchloride", a=3.24)
    row = run(StructureTable.from_ase({"MoTa": atoms}.items()), load_pet())
    assert row.columns["status"].tolist() == ["converged"]
    assert row.columns["warnings"].tolist() == ["lattice_only"]

    hand = Phono3py(
        PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions),
        supercell_matrix=np.diag([3, 3, 3]),
        phonon_supercell_matrix=np.diag([3, 3, 3]),
        primitive_matrix="P",
    )
    hand.generate_displacements(distance=0.03, cutoff_pair_distance=3.0)
    calculator = ase_calculator()

    def forces(cells: Any) -> np.ndarray:
        found = []
        for cell in cells:
            if cell is None:
                found.append(np.zeros((54, 3)))
                continue
            displaced = Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=True, calculator=calculator)
            found.append(displaced.get_forces())
        return np.array(found)

    second, third = (
        forces(cells)
        for cells in (hand.phonon_supercells_with_displacements, hand.supercells_with_displacements)
    )
    wanted = np.array([cell is not None for cell in hand.supercells_with_displacements])
    np.testing.assert_allclose(row.ragged["fc2_forces"][0].reshape(second.shape), second, atol=1e-6)
    np.testing.assert_allclose(row.ragged["fc3_forces"][0].reshape(-1, 54, 3), third[wanted], atol=1e-6)
    answer = transport_of_row(row, parse_parameters(Task.CONDUCTIVITY, GIVEN | {"transport": "rta"}))
    assert answer.failed == ""
    third[wanted] = row.ragged["fc3_forces"][0].reshape(-1, 54, 3)
    same = conductivity_by_hand(hand, row.ragged["fc2_forces"][0].reshape(second.shape), third)
    assert answer.columns["kappa_300"] == pytest.approx(same, rel=1e-6)


def conductivity_by_hand(hand: Any, second: np.ndarray, third: np.ndarray) -> float:
    """Return the mean conductivity at 300 K.

    With the same forces it is the same. Forces that differ by rounding are not enough: on so coarse a mesh the
    tetrahedron method makes a jump of half a percent where rounding parts two frequencies that symmetry makes equal.
    """
    hand.phonon_forces, hand.forces = second, third
    hand.produce_fc2()
    hand.symmetrize_fc2()
    hand.produce_fc3()
    hand.symmetrize_fc3()
    hand.mesh_numbers = [5, 5, 5]
    hand.init_phph_interaction()
    hand.run_thermal_conductivity(temperatures=[300], is_isotope=True)
    return float(hand.thermal_conductivity.kappa[0, 0, :3].mean())


def test_given_cells_stand_over_parameters_and_two_kinds_go_through_one_queue(tiny):
    crystals = {"W": bulk("W", a=3.2), "Mo": bulk("Mo", a=3.15, cubic=True)}
    table = StructureTable.from_ase(crystals.items())
    matrices = np.array([np.full((3, 3), np.nan), np.eye(3)])
    given = replace(table, columns={"fc2_supercell": 2 * matrices, "fc3_supercell": matrices})
    rows = run(given, tiny, fc2_supercell=(2, 2, 2), fc3_supercell=(1, 1, 1))
    assert rows.columns["status"].tolist() == ["converged", "converged"]
    assert rows.columns["n_atoms_fc2"].tolist() == [8, 16]
    assert rows.columns["n_atoms_fc3"].tolist() == [1, 2]
    assert [len(atoms) for atoms in (rows.ragged["unit_atoms"][row] for row in (0, 1))] == [1, 2]
    np.testing.assert_allclose(np.linalg.det(rows.columns["heat_matrix"]), [1.0, 0.5])
    assert rows.ragged["fc3_forces"].values.dtype == np.float32
    ignored = run(given, tiny, fc2_supercell=(2, 2, 2), fc3_supercell=(1, 1, 1), given_cells=False)
    assert ignored.columns["n_atoms_fc2"].tolist() == [8, 8]


def test_crystals_that_are_not_computed_say_why_and_keep_single_precision(tiny):
    slab = bulk("W", a=3.2, cubic=True)
    slab.center(vacuum=6.0, axis=2)
    open_slab = slab.copy()
    open_slab.pbc = (True, True, False)
    crystals = {"good": bulk("W", a=3.2), "vacuum": slab, "slab": open_slab, "copper": bulk("Cu")}
    small = {"fc2_supercell": (1, 1, 1), "fc3_supercell": (1, 1, 1)}
    rows = run(StructureTable.from_ase(crystals.items()), tiny, **small)
    assert rows.columns["status"].tolist() == ["converged", "failed", "failed", "unsupported_element"]
    assert "without vacuum" in rows.columns["message"][1]
    assert "periodic in all directions" in rows.columns["message"][2]
    assert rows.ragged["fc3_forces"].values.dtype == np.float32
    many = run(StructureTable.from_ase([("W", bulk("W", a=3.2))]), tiny, max_displacements=1)
    assert "max_displacements is 1" in many.columns["message"][0]


# -- jobs that are killed, and small crystals beside large ones --------------------------------------------------------


@pytest.mark.slow
def test_killed_job_goes_on_with_equal_forces(model_file, tmp_path):
    """The crystals that were relaxed are not relaxed again, and the first of them is not computed again."""
    crystals = {"W": bulk("W", a=3.2), "MoTa": bulk("MoTa", "cesiumchloride", a=3.3)}
    given = {"fc2_supercell": (2, 2, 2), "fc3_supercell": (2, 1, 1), "opposites": "auto", "symprecs": []}
    given |= {"fmax": 1e-2, "stress_max": 0.5}

    def make(name: str) -> JobFolder:
        folder = JobFolder(tmp_path / name)
        path, sha256 = model_file
        settings = EngineSettings(device="cpu", threads=1, flush_interval_s=0.0, max_batch_cost=60.0)
        spec = JobSpec(Task.CONDUCTIVITY, given, sha256, model_path=str(path), settings=settings)
        folder.write_inputs(spec, StructureTable.from_ase(crystals.items()))
        return folder

    whole, cut = make("whole"), make("cut")
    assert Job(whole).run() is ExitStatus.OK
    wanted = whole.read_results()[0].select(list(crystals))
    relaxation = int(wanted.columns["n_steps"].max()) + 1
    steps = whole.read_progress().steps
    assert steps > relaxation + 4
    command = [sys.executable, interrupted.__file__, str((relaxation + steps) // 2)]
    killed = subprocess.run([*command, str(tmp_path / "mark"), str(cut.path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (cut.path / STATE_FILE).exists()
    assert Job(cut).run() is ExitStatus.OK
    beat = cut.read_progress()
    assert beat.starts == 2
    assert beat.evaluations < whole.read_progress().evaluations
    found = cut.read_results()[0].select(list(crystals))
    for name in ("n_fc2_displacements", "n_fc3_displacements", "status"):
        assert found.columns[name].tolist() == wanted.columns[name].tolist()
    for name in ("fc2_forces", "fc3_forces"):
        np.testing.assert_allclose(found.ragged[name].values, wanted.ragged[name].values, atol=1e-6)
    assert np.abs(wanted.ragged["fc3_forces"].values).max() > 0.1


def test_hundreds_of_supercells_without_symmetry_stay_within_the_budget(tiny, monkeypatch):
    """A cubic crystal and one without symmetry in one queue: no batch is larger than what the model takes at once."""
    skewed = bulk("MoTa", "cesiumchloride", a=3.24)
    skewed.set_cell(np.array([[3.2, 0, 0], [0.2, 3.4, 0], [0.1, -0.3, 3.6]]), scale_atoms=True)
    skewed.positions[1] += (0.05, 0.1, -0.08)
    table = StructureTable.from_ase([("cubic", bulk("W", a=3.2)), ("skewed", skewed)])
    seen: list[float] = []
    evaluate = tiny.evaluate

    def recorded(batch: Any, pairs: Any, *rest: Any) -> Any:
        seen.append(len(batch.numbers))
        return evaluate(batch, pairs, *rest)

    monkeypatch.setattr(tiny, "max_tokens", 300.0)
    monkeypatch.setattr(tiny, "evaluate", recorded)
    cells = {"fc2_supercell": (1, 1, 1), "fc3_supercell": (2, 1, 1), "pair_cutoff": None}
    rows = run(table, tiny, **cells, opposites="always")
    assert rows.columns["status"].tolist() == ["converged", "converged"]
    counts = (rows.columns["n_fc2_displacements"] + rows.columns["n_fc3_displacements"]).tolist()
    assert counts[1] > 200 > 5 * counts[0]
    # each token is an atom, or a neighbour of one: a batch has fewer atoms than tokens
    assert max(seen) * 2 < tiny.tokens_in_flight
    assert len(seen) > 5
