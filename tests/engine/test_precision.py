"""Mixed precision against float64: the bounds to which its results are held."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.crystals.symmetry.rotation_sets import octahedral
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.ase_calculator import pet_calculator
from aiida_pet.engine.model.metatomic import WrappedModel
from aiida_pet.engine.model.pet import load_model
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.engine.tasks.elastic import Elastic
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.job.parameters import Derivation, Dtype, Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable

ENERGY, FORCE = 1e-4, 1e-3  # eV/atom, eV/A
MODULI, FREQUENCIES = 0.01, 0.02  # share, THz
D = Derivation.DIRECT


def crystals() -> StructureTable:
    b2 = Atoms("TaW", scaled_positions=[[0] * 3, [0.5] * 3], cell=np.eye(3) * 3.24, pbc=True)
    return StructureTable.from_ase([("bcc", bulk("Mo", a=3.16)), ("b2", b2)])


@pytest.mark.parametrize("heads", [{}, {"forces": D, "stress": D}], ids=["conservative", "direct"])
@pytest.mark.parametrize("is_averaged", [False, True])
def test_energies_forces_and_stress_keep_their_bounds(load_pet, alloys, heads, is_averaged):
    table = alloys(6, strain=0.03, rattle=0.1)
    batch, said = Batch.from_table(table), {}
    rotations = None
    if is_averaged:
        rotations = Rotations([RowRotations.of(octahedral())] * len(table))
    for dtype in Dtype:
        model = load_pet(dtype=dtype, **heads)
        said[dtype] = model.evaluate(batch, NeighborList(model.cutoff).update(batch), rotations)
    reference, mixed, single = (said[dtype] for dtype in (Dtype.FLOAT64, Dtype.MIXED, Dtype.FLOAT32))
    per_atom = (mixed.energy - reference.energy).abs() / batch.n_atoms
    assert 0 < per_atom.max() < ENERGY / 50
    assert 0 < (mixed.forces - reference.forces).abs().max() < FORCE / 50
    assert (mixed.stress - reference.stress).abs().max() < 1e-5
    assert {values.dtype for values in (mixed.energy, mixed.forces, mixed.stress)} == {torch.float64}
    assert not torch.equal(mixed.forces, single.forces)


def test_forces_of_a_crystal_sum_to_zero_as_in_float64(load_pet, alloys):
    """What goes back to positions is summed in float64: an action and its reaction cancel to rounding of that."""
    table = alloys(4, strain=0.03, rattle=0.1)
    batch, net = Batch.from_table(table), {}
    for dtype in (Dtype.MIXED, Dtype.FLOAT32):
        model = load_pet(dtype=dtype)
        forces = model.evaluate(batch, NeighborList(model.cutoff).update(batch)).forces
        net[dtype] = batch.row_sum(forces).abs().max().item()
    assert net[Dtype.MIXED] < 1e-13
    assert net[Dtype.FLOAT32] > 1e-9


def test_moduli_and_frequencies_keep_their_bounds(load_pet):
    tensors, phonons = {}, {}
    for dtype in (Dtype.FLOAT64, Dtype.MIXED):
        model, rows = load_pet(dtype=dtype), []
        given = {"relax_first": False, "symprecs": [], "dtype": dtype.value}
        elastic = parse_parameters(Task.ELASTIC, given)
        Elastic(crystals(), model, elastic, finished=rows.append).run()
        tensors[dtype] = StructureTable.concatenate(rows).select(["bcc", "b2"]).columns
        rows = []
        given |= {"min_image": 6.0, "mesh": 12.0}
        Phonons(crystals(), model, parse_parameters(Task.PHONONS, given), finished=rows.append).run()
        phonons[dtype] = StructureTable.concatenate(rows)
    for name in ("bulk_modulus", "shear_modulus"):
        mixed, reference = tensors[Dtype.MIXED][name], tensors[Dtype.FLOAT64][name]
        np.testing.assert_allclose(mixed, reference, rtol=MODULI)
    points = np.array([[0.0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0.1, 0.2, 0.3]])
    for name in ("bcc", "b2"):
        mixed, reference = (
            phonopy_of_row(phonons[dtype], name).run_qpoints(points).frequencies
            for dtype in (Dtype.MIXED, Dtype.FLOAT64)
        )
        assert np.abs(mixed - reference).max() < FREQUENCIES


def test_calculator_refuses_mixed(model_file):
    with pytest.raises(ValueError, match="dtype = 'mixed': expected float32 or float64"):
        pet_calculator(*model_file, dtype="mixed")


def test_wrapped_model_runs_in_float64_for_mixed_and_says_so(model_file, caplog):
    wrapped = WrappedModel(load_model(*model_file), dtype=Dtype.MIXED)
    assert wrapped.dtype is torch.float64
    assert "runs in float64, more slowly, since it has no mixed precision" in caplog.text
