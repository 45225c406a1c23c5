"""Checkpoints with adaptive cutoffs of either method: a row does not depend on its company, as metatomic-ase has it.

The grid takes the largest weight of the whole batch for its reference. That cannot do harm: the baseline makes the
count cross its aim between two probes of every atom, one of which is within half a step, so that the best weight of any
atom is at least exp(-1/2) and none underflows. The tests hold this for atoms with none to hundreds of neighbours.
"""

from __future__ import annotations

from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from metatomic_ase import MetatomicCalculator

from aiida_pet.crystals.symmetry.rotation_sets import lebedev
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.job.parameters import Derivation, Dtype
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import FLAVOURS, tiny_pet

D = Derivation.DIRECT


def companions() -> dict[str, Atoms]:
    """As different as can be: from none to 200 neighbours within the cutoff."""
    dense = ase.build.bulk("Mo", a=2.6, cubic=True) * (2, 1, 1)
    dense.numbers[1] = 41
    dense.rattle(0.05, seed=1)
    slab = ase.build.bcc110("W", (1, 1, 2), vacuum=8)
    slab.rattle(0.1, seed=2)
    return {
        "dense": dense,
        "molecule": Atoms("MoWNb", [[0, 0, 0], [2.3, 0, 0], [0, 2.2, 0.3]]),
        "atom": Atoms("Ta", [[0, 0, 0]]),
        "slab": slab,
        "loose": Atoms("NbTa", [[0, 0, 0], [2.4, 2.1, 2.2]], cell=[6.1, 6.3, 6.7], pbc=True),
    }


def evaluate(pet: Any, table: StructureTable, rows: list[RowRotations | None] | None = None) -> Evaluation:
    batch = Batch.from_table(table)
    pairs = NeighborList(pet.cutoff).update(batch)
    return pet.evaluate(batch, pairs, None if rows is None else Rotations(rows))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("dtype", Dtype)
def test_row_does_not_depend_on_its_company(flavour, dtype):
    pet = BatchedPet(tiny_pet(flavour), dtype=dtype)
    table = StructureTable.from_ase(companions().items())
    together = evaluate(pet, table)
    # rounding: energies are sums of scaled terms of about 10 eV; the grid's reference adds a little to gradients
    energy, force = (1e-12, 1e-13) if dtype is Dtype.FLOAT64 else (5e-6, 5e-6)
    for row in range(len(table)):
        alone, own = evaluate(pet, table.take([row])), table.atoms_of(row)
        np.testing.assert_allclose(alone.energy, together.energy[[row]], atol=energy)
        np.testing.assert_allclose(alone.forces, together.forces[own], atol=force)
        np.testing.assert_allclose(alone.stress, together.stress[[row]], atol=force)
    of_crystals = [table.atoms_of(row) for row in (0, 3)]
    assert all(together.forces[own].abs().max() > 1e-3 for own in of_crystals)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("direct", "mode"), [(False, False), (True, True)])
def test_flavour_agrees_with_metatomic_ase(flavour, direct, mode):
    heads = {"forces": D, "stress": D} if direct else {}
    table = StructureTable.from_ase(companions().items())
    result = evaluate(BatchedPet(tiny_pet(flavour), **heads), table)
    calculator = MetatomicCalculator(tiny_pet(flavour).export(), device="cpu", non_conservative=mode)
    for row, atoms in enumerate(table.iter_ase()):
        atoms.calc = calculator
        assert abs(atoms.get_potential_energy() - result.energy[row].item()) / len(atoms) < 1e-9
        np.testing.assert_allclose(result.forces[table.atoms_of(row)], atoms.get_forces(), atol=1e-8)
        if atoms.pbc.all():
            np.testing.assert_allclose(result.stress[row], atoms.get_stress(voigt=False), atol=1e-9)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_atom_without_neighbours_has_its_energy_and_no_force(flavour):
    pet = BatchedPet(tiny_pet(flavour), outputs=["invariance"])
    table = StructureTable.from_ase(
        [("atom", Atoms("Ta", [[0, 0, 0]])), ("far", Atoms("WW", [[0, 0, 0], [0, 0, 9]]))]
    )
    for rows in (None, [RowRotations.of(lebedev(1))] * 2):
        result = evaluate(pet, table, rows)
        assert torch.isfinite(result.energy).all()
        assert (result.forces == 0).all()
        assert (result.rows["invariance"] == 0).all()
    one, two = result.energy.tolist()
    alone = evaluate(pet, StructureTable.from_ase([("atom", Atoms("W", [[0, 0, 0]]))]))
    assert two == pytest.approx(2 * alone.energy.item())
    assert one != pytest.approx(alone.energy.item())


@pytest.mark.parametrize("flavour", ["grid", "solver"])
def test_row_of_nan_does_not_touch_the_others(flavour):
    pet, good = BatchedPet(tiny_pet(flavour)), companions()
    bad = good["dense"].copy()
    bad.positions[0, 0] = np.nan
    result = evaluate(pet, StructureTable.from_ase([*good.items(), ("bad", bad)]))
    expected = evaluate(pet, StructureTable.from_ase(good.items()))
    np.testing.assert_allclose(result.energy[:-1], expected.energy, atol=1e-12)
    np.testing.assert_allclose(result.forces[: len(expected.forces)], expected.forces, atol=1e-12)


@pytest.mark.parametrize("flavour", ["grid", "solver"])
def test_width_that_is_planned_is_the_one_of_the_adaptive_cutoff(flavour, alloys):
    pet, table = BatchedPet(tiny_pet(flavour)), alloys(12)
    batch = Batch.from_table(table)
    pairs = NeighborList(pet.cutoff).update(batch)
    kept = pet._prepared(batch, pairs).data["padding_mask"].sum(dim=1).max().item()
    planned = pet.cost.widths(pairs.widths.numpy()).max()
    assert pairs.widths.max() > 2.5 * kept
    assert kept <= planned < 1.7 * kept
