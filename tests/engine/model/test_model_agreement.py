"""PET over one batch against metatomic's torch-sim wrapper and metatomic-ase on 200 structures of every shape."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
import torch
import torch_sim as ts
from ase import Atoms
from metatomic_torchsim import MetatomicModel

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import load_model
from aiida_pet.job.parameters import Derivation
from aiida_pet.tables.crystals import StructureTable

C, D = Derivation.CONSERVATIVE, Derivation.DIRECT
MODES = [((C, C), False), ((D, D), True), ((C, D), "stress"), ((D, C), "forces")]
# of a cubic cell, with lattice vectors in rows
SHAPES = {
    "cubic": np.eye(3),
    "tetragonal": np.diag([1, 1, 1.3]),
    "orthorhombic": np.diag([0.9, 1, 1.15]),
    "hexagonal": np.array([[1.05, 0, 0], [-0.525, 0.909, 0], [0, 0, 1.1]]),
    "rhombohedral": np.full((3, 3), 0.15) + 0.85 * np.eye(3),
    "monoclinic": np.array([[1, 0, 0], [0, 1.1, 0], [-0.3, 0, 1]]),
    "triclinic": np.array([[1, 0, 0], [0.25, 1, 0], [-0.2, 0.3, 1.05]]),
}
PERIODIC = {"slab": (True, True, False), "wire": (False, False, True), "molecule": (False, False, False)}


def structures(number: int) -> list[tuple[str, Atoms]]:
    """Make structures, most of them small: random elements on bcc sites with vacancies, deformed and rattled."""
    rng = np.random.default_rng(11)
    kinds = [*SHAPES, *PERIODIC]
    rows = []
    for i in range(number):
        kind = kinds[i % len(kinds)]
        size = int(np.clip(rng.geometric(0.13), 1, 64)) if i >= 6 else (64, 1, 1, 33, 2, 64)[i]
        edges = np.maximum(np.ceil((size / 2) ** (1 / 3) * np.array([1, 1, 1])), 1).astype(int)
        atoms = ase.build.bulk("Mo", a=3.2, cubic=True) * tuple(edges.tolist())
        atoms = atoms[np.sort(rng.choice(len(atoms), size, replace=False))]
        atoms.numbers = rng.choice([41, 42, 73, 74], size)
        atoms.set_cell(atoms.cell.array @ SHAPES.get(kind, SHAPES["triclinic"]), scale_atoms=True)
        atoms.rattle(0.1, rng=rng)
        atoms.pbc = PERIODIC.get(kind, (True,) * 3)
        atoms.cell[~atoms.pbc] = 0.0  # as metatomic wants it
        rows.append((f"{kind}-{i}", atoms))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(("heads", "mode"), MODES)
def test_two_hundred_structures_agree_with_both_roads(load_pet, model_file, ase_calculator, heads, mode):
    rows = structures(200)
    table = StructureTable.from_ase(rows)
    assert table.n_atoms.min() == 1
    assert table.n_atoms.max() == 64
    pet, batch = load_pet(forces=heads[0], stress=heads[1]), Batch.from_table(table)
    result = pet.evaluate(batch, NeighborList(pet.cutoff).update(batch))

    def compare(row: int, energy: float, forces: np.ndarray, stress: np.ndarray | None) -> None:
        # float64 on all sides: the order of sums differs, no more
        assert abs(energy - result.energy[row].item()) / table.n_atoms[row] < 1e-9, rows[row][0]
        np.testing.assert_allclose(
            result.forces[table.atoms_of(row)], forces, atol=1e-8, err_msg=rows[row][0]
        )
        if stress is not None:
            symmetric = (stress + stress.T) / 2
            np.testing.assert_allclose(result.stress[row], symmetric, atol=1e-9, err_msg=rows[row][0])

    calculator = ase_calculator(non_conservative=mode)
    for row, (_, atoms) in enumerate(rows):
        atoms.calc = calculator
        stress = atoms.get_stress(voigt=False) if atoms.pbc.all() else None
        compare(row, atoms.get_potential_energy(), atoms.get_forces(), stress)

    wrapper = MetatomicModel(
        load_model(*model_file).to(torch.float64).export(), device="cpu", non_conservative=mode
    )
    for pbc in {tuple(atoms.pbc.tolist()) for _, atoms in rows}:  # a state has one for all
        own = [row for row, (_, atoms) in enumerate(rows) if tuple(atoms.pbc.tolist()) == pbc]
        state = ts.io.atoms_to_state([rows[row][1] for row in own], torch.device("cpu"), torch.float64)
        said = {name: values.numpy() for name, values in wrapper(state).items()}
        for place, row in enumerate(own):
            forces = said["forces"][state.system_idx.numpy() == place]
            compare(row, said["energy"][place], forces, said["stress"][place] if all(pbc) else None)
