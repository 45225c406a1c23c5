"""PET over one batch against metatomic's ASE calculator on the same checkpoint, and against finite differences."""

from __future__ import annotations

from dataclasses import replace

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from metatomic.torch import ModelOutput

from aiida_pet.crystals.symmetry.rotation_sets import octahedral
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.heads import UnsupportedModelError
from aiida_pet.engine.model.pet import load_model
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.job.parameters import Derivation, Dtype
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import VOIGT_PAIRS

C, D = Derivation.CONSERVATIVE, Derivation.DIRECT


def with_slab_and_molecule(table: StructureTable) -> StructureTable:
    slab = ase.build.bcc110("Mo", (1, 2, 3), vacuum=6)
    molecule = Atoms("MoWNb", [[0, 0, 0], [2.3, 0, 0], [0, 2.2, 0.3]])
    return StructureTable.concatenate(
        [table, StructureTable.from_ase([("slab", slab), ("molecule", molecule)])]
    )


def evaluate(pet, table):
    batch = Batch.from_table(table)
    return pet.evaluate(batch, NeighborList(pet.cutoff).update(batch))


@pytest.mark.parametrize(
    ("heads", "mode"), [((C, C), False), ((D, D), True), ((C, D), "stress"), ((D, C), "forces")]
)
def test_evaluate_equals_metatomic_ase(load_pet, ase_calculator, alloys, heads, mode):
    table = with_slab_and_molecule(alloys(20, strain=0.05, rattle=0.1))
    result = evaluate(load_pet(forces=heads[0], stress=heads[1]), table)
    calculator = ase_calculator(non_conservative=mode)
    for row, atoms in enumerate(table.iter_ase()):
        atoms.calc = calculator
        # float64 on both sides: only the order of sums differs
        assert abs(atoms.get_potential_energy() - result.energy[row].item()) / len(atoms) < 1e-9
        np.testing.assert_allclose(result.forces[table.atoms_of(row)].numpy(), atoms.get_forces(), atol=1e-8)
        if atoms.pbc.all():
            mine = [result.stress[row, i, j].item() for i, j in VOIGT_PAIRS]
            np.testing.assert_allclose(mine, atoms.get_stress(), atol=1e-9)
        else:
            assert torch.isnan(result.stress[row]).all()


def test_energy_does_not_depend_on_the_rest_of_the_batch(load_pet, alloys):
    pet = load_pet()
    table = alloys(12, rattle=0.1)
    together = evaluate(pet, table)
    for row in range(len(table)):
        alone = evaluate(pet, table.take([row]))
        assert abs(alone.energy.item() - together.energy[row].item()) < 1e-10
        np.testing.assert_allclose(alone.forces, together.forces[table.atoms_of(row)], atol=1e-11)


def test_forces_and_stress_equal_finite_differences(load_pet, alloys):
    pet = load_pet()
    table = alloys(3, rattle=0.1)
    result = evaluate(pet, table)
    h = 1e-4

    def energies(positions, cells):
        moved = replace(table, positions=positions, cells=cells)
        return evaluate(pet, moved).energy.numpy()

    first = table.offsets[:-1]
    for axis in range(3):
        step = np.zeros_like(table.positions)
        step[first, axis] = h
        change = energies(table.positions + step, table.cells) - energies(table.positions - step, table.cells)
        np.testing.assert_allclose(result.forces[first, axis], -change / (2 * h), atol=1e-6)
    for i, j in VOIGT_PAIRS:
        strain = np.zeros((3, 3))
        strain[i, j] = strain[j, i] = h if i == j else h / 2
        up, down = np.eye(3) + strain, np.eye(3) - strain
        change = energies(table.positions @ up, table.cells @ up)
        change = change - energies(table.positions @ down, table.cells @ down)
        np.testing.assert_allclose(result.stress[:, i, j], change / (2 * h) / table.volumes(), atol=1e-7)


def test_direct_forces_have_no_net_force_and_differ_from_conservative_ones(load_pet, alloys):
    table = alloys(6)
    batch = Batch.from_table(table)
    direct, derived = evaluate(load_pet(forces=D), table), evaluate(load_pet(), table)
    assert batch.row_sum(direct.forces).abs().max() < 1e-12
    assert (direct.forces - derived.forces).abs().max() > 1e-3


def test_net_force_that_is_removed_is_reported(load_pet, ase_calculator, alloys):
    table = alloys(6)
    reported = evaluate(load_pet(forces=D), table).rows["net_force"]
    calculator = ase_calculator()
    wanted = {"non_conservative_force": ModelOutput(sample_kind="atom")}
    for row, atoms in enumerate(table.iter_ase()):
        forces = calculator.run_model(atoms, wanted)["non_conservative_force"].block().values
        assert reported[row].item() == pytest.approx(forces.sum(dim=0).norm().item(), rel=1e-6)
    assert reported.max() > 1e-3
    assert "net_force" not in evaluate(load_pet(), table).rows


def test_net_force_of_an_average_is_the_mean_of_those_removed(load_pet, alloys):
    pet, table = load_pet(forces=D), alloys(3)
    batch, rotations = Batch.from_table(table), octahedral()
    average = Rotations([RowRotations.of(rotations)] * len(table))
    pairs = NeighborList(pet.cutoff).update(batch)
    norms = []
    for matrix in rotations.matrices:
        turned = replace(table, positions=table.positions @ matrix.T, cells=table.cells @ matrix.T)
        norms.append(evaluate(pet, turned).rows["net_force"])
    torch.testing.assert_close(
        pet.evaluate(batch, pairs, average).rows["net_force"], torch.stack(norms).mean(dim=0)
    )


def test_direct_stress_differs_from_conservative_one(load_pet, alloys):
    table = alloys(4)
    difference = evaluate(load_pet(stress=D), table).stress - evaluate(load_pet(), table).stress
    assert difference.abs().max() > 1e-5


def test_float32_is_near_float64_but_not_equal(load_pet, alloys):
    table = alloys(6)
    single, double = evaluate(load_pet(dtype=Dtype.FLOAT32), table), evaluate(load_pet(), table)
    assert single.energy.dtype == torch.float64
    per_atom = (single.energy - double.energy).abs() / torch.as_tensor(table.n_atoms)
    assert 0 < per_atom.max() < 1e-5


def test_pet_without_the_head_asked_for_is_refused(model_file):
    from aiida_pet.engine.model.pet import BatchedPet

    model = load_model(*model_file)
    model.target_names.remove("non_conservative_force")
    with pytest.raises(
        UnsupportedModelError,
        match=r"no output 'non_conservative_force', but energy, .*: set forces=conservative",
    ):
        BatchedPet(model, forces=D)


def test_pet_with_long_range_features_is_refused(model_file):
    from aiida_pet.engine.model.pet import BatchedPet

    model = load_model(*model_file)
    model.long_range = True
    with pytest.raises(UnsupportedModelError, match=r"long-range features; make_model evaluates such models"):
        BatchedPet(model)


def test_row_that_is_not_finite_gets_no_energy_and_spoils_no_other(load_pet, alloys):
    pet, table = load_pet(), alloys(4)
    good = evaluate(pet, table)
    table.positions[table.offsets[2]] = np.nan
    table.cells[3, 0, 0] = np.inf
    result = evaluate(pet, table)
    assert torch.isnan(result.energy).tolist() == [False, False, True, True]
    np.testing.assert_allclose(result.energy[:2], good.energy[:2], atol=1e-10)
