"""The whole road to a conductivity against phono3py driven by hand with the forces of metatomic's ASE calculator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_pet.engine.tasks.conductivity import ThirdOrderForces
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_pet
from aiida_pet.transport.rows import transport_of_row

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
    hand.phonon_forces, hand.forces = second, third
    hand.produce_fc2()
    hand.symmetrize_fc2()
    hand.produce_fc3()
    hand.symmetrize_fc3()
    hand.mesh_numbers = [5, 5, 5]
    hand.init_phph_interaction()
    hand.run_thermal_conductivity(temperatures=[300], is_isotope=True)
    answer = transport_of_row(row, parse_parameters(Task.CONDUCTIVITY, GIVEN | {"transport": "rta"}))
    assert answer.failed == ""
    expected = hand.thermal_conductivity.kappa[0, 0, :3].mean()
    assert answer.columns["kappa_300"] == pytest.approx(expected, rel=1e-3)


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
