"""Degrees of freedom, centres of mass and first velocities, against counting by hand and against ASE."""

from __future__ import annotations

import ase
import ase.build
import numpy as np
import pytest
import torch
from ase.md.velocitydistribution import Stationary, ZeroRotation

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.dynamics.motion import degrees_of_freedom
from aiida_pet.engine.dynamics.velocities import maxwell_velocities, scaled_to, without_rotation
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import BOLTZMANN
from support.walking import prepared


def batch_of(*crystals: ase.Atoms) -> Batch:
    return Batch.from_table(StructureTable.from_ase((str(n), atoms) for n, atoms in enumerate(crystals)))


def test_degrees_of_freedom_are_counted():
    atom, pair, water = ase.Atoms("Ar"), ase.Atoms("O2", [(0, 0, 0), (0, 0, 1.2)]), ase.build.molecule("H2O")
    batch = batch_of(atom, pair, water, water)
    yes, no = torch.tensor([True] * 4), torch.tensor([False] * 4)
    assert degrees_of_freedom(batch, None, no, no).tolist() == [3, 6, 9, 9]
    assert degrees_of_freedom(batch, None, yes, no).tolist() == [
        1,
        3,
        6,
        6,
    ]  # of one atom at rest none: 1 at least
    assert degrees_of_freedom(batch, None, yes, yes).tolist() == [1, 1, 3, 3]
    allowed = torch.eye(3, dtype=torch.float64).repeat(9, 1, 1)
    allowed[0] = 0
    allowed[3, 2, 2] = 0
    assert degrees_of_freedom(batch, allowed, no, no).tolist() == [1, 6, 8, 9]


def test_velocities_have_temperature_and_no_momentum():
    crystal = ase.build.bulk("NaCl", "rocksalt", a=5.6).repeat(6)
    walk = prepared(batch_of(crystal, crystal), temperature=500.0)
    temperatures = walk.temperatures()
    sigma = 500.0 * np.sqrt(2 / float(walk.scene.conditions.dof[0]))
    assert (abs(temperatures - 500.0) < 4 * sigma).all()
    assert temperatures[0] != temperatures[1]
    momenta = walk.batch.row_sum(walk.scene.masses * walk.motion.velocities)
    assert momenta.abs().max() < 1e-9
    exact = scaled_to(walk.motion.velocities, walk.scene, walk.scene.conditions.kt)
    kinetic = walk.scene.kinetic(exact)
    np.testing.assert_allclose(kinetic, 0.5 * walk.scene.conditions.dof * 500.0 * BOLTZMANN, rtol=1e-12)


@pytest.mark.parametrize("name", ["H2O", "CO2", "C6H6"])
def test_rotation_is_taken_out_as_ase_does_it(name):
    molecule = ase.build.molecule(name)
    walk = prepared(batch_of(molecule, ase.build.molecule("CH4")), centred=False)
    drawn = maxwell_velocities(walk.scene, walk.scene.conditions.kt)
    rows = torch.tensor([True, False])
    centred = walk.scene.batch.row_sum(walk.scene.masses * drawn) / walk.scene.batch.row_sum(
        walk.scene.masses
    )
    drawn = drawn - centred[walk.batch.row_of_atom]
    found = without_rotation(drawn, walk.batch.positions, walk.scene, rows)
    molecule.set_velocities(drawn[: len(molecule)].numpy())
    Stationary(molecule, preserve_temperature=False)
    if name != "CO2":  # ASE divides by the inertia of the axis, which is 0
        ZeroRotation(molecule, preserve_temperature=False)
        np.testing.assert_allclose(found[: len(molecule)], molecule.get_velocities(), atol=1e-12)
    molecule.set_velocities(found[: len(molecule)].numpy())
    assert np.abs(molecule.get_angular_momentum()).max() < 1e-10
    assert torch.equal(found[len(molecule) :], drawn[len(molecule) :])
