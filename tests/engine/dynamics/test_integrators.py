"""Verlet and multiple time steps: against ASE and torch-sim, and against the orders that theory gives."""

from __future__ import annotations

import ase.build
import ase.units
import numpy as np
import pytest
import torch
import torch_sim
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.md.verlet import VelocityVerlet
from torch_sim.integrators.nve import nve_init, nve_step

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.dynamics.integrators import Respa, Verlet
from aiida_pet.engine.model.torch_sim import TorchSimPet
from aiida_pet.tables.crystals import StructureTable
from support.classical import LennardJones
from support.walking import FS, prepared, walked

CUTOFF = 8.7  # between two shells of solid argon, so that no pair comes and goes


def argon(repeats=(2, 2, 3)) -> list[ase.Atoms]:
    return [ase.build.bulk("Ar", a=5.3, cubic=True).repeat(n) for n in repeats]


def batch_of(crystals: list[ase.Atoms]) -> Batch:
    return Batch.from_table(StructureTable.from_ase((str(n), atoms) for n, atoms in enumerate(crystals)))


def test_paths_are_those_of_ase():
    crystals = argon((2, 1))
    walk = prepared(batch_of(crystals), temperature=40.0, timestep=4.0)
    start = walk.motion.velocities
    for _ in walked(Verlet(), LennardJones(cutoff=CUTOFF).of, walk, 100):
        pass
    ends = np.cumsum([len(atoms) for atoms in crystals])
    for atoms, end in zip(crystals, ends, strict=True):
        mine = slice(end - len(atoms), end)
        atoms.calc = AseLennardJones(sigma=3.4, epsilon=0.0104, rc=CUTOFF, smooth=False)
        atoms.set_velocities(start[mine].numpy())
        VelocityVerlet(atoms, 4.0 * ase.units.fs).run(100)
        assert np.abs(atoms.positions - walk.motion.positions[mine].numpy()).max() < 1e-8
        assert np.abs(atoms.get_velocities() - walk.motion.velocities[mine].numpy()).max() < 1e-8


def test_paths_are_those_of_torch_sim():
    crystals, model = argon((2, 1)), LennardJones(cutoff=CUTOFF)
    walk = prepared(batch_of(crystals), temperature=40.0, timestep=4.0)
    interface = TorchSimPet(model)
    state = torch_sim.initialize_state(crystals, torch.device("cpu"), torch.float64)
    state = nve_init(state, interface, kT=0.0)
    # masses differ by a digit that one of the two rounds away
    walk.scene.conditions.masses = state.masses.clone()
    state.momenta = walk.motion.velocities * state.masses[:, None]
    for _ in walked(Verlet(), model.of, walk, 100):
        pass
    for _ in range(100):
        state = nve_step(state, interface, dt=torch.tensor(4.0 * FS))
    assert (state.positions - walk.motion.positions).abs().max() < 1e-6


@pytest.mark.parametrize("respa", [0, 4])
def test_energy_fluctuates_as_the_square_of_the_step(respa):
    model = LennardJones(cutoff=CUTOFF, direct_error=0.05)

    def fluctuation(timestep: float) -> float:
        walk = prepared(batch_of(argon((1,) * 8)), temperature=30.0, timestep=timestep / max(respa, 1))
        inner = model.with_direct_forces()
        integrator = Respa(lambda x, h: inner.of(walk.batch.moved(x, h)).forces, respa) if respa else Verlet()
        energies = [
            integrator.conserved(now.motion, now.bath, now.evaluation, now.scene)
            for now in walked(integrator, model.of, walk, int(1600 / timestep))
        ]
        return torch.stack(energies).std(dim=0).mean().item()

    ratio = fluctuation(16.0) / fluctuation(8.0)
    assert 3.5 < ratio < 4.6


def test_one_inner_step_is_verlet():
    model = LennardJones(cutoff=CUTOFF, direct_error=0.1)
    inner = model.with_direct_forces()
    first = prepared(batch_of(argon((1, 1))), temperature=40.0, timestep=5.0)
    second = prepared(batch_of(argon((1, 1))), temperature=40.0, timestep=5.0)
    respa = Respa(lambda x, h: inner.of(second.batch.moved(x, h)).forces, 1)
    for _ in walked(Verlet(), model.of, first, 100):
        pass
    for _ in walked(respa, model.of, second, 100):
        pass
    assert (first.motion.positions - second.motion.positions).abs().max() < 1e-10


def test_wrong_inner_forces_drift_alone_and_not_inside():
    """Half a percent of force that is no derivative: seen in the energy, unless an outer step takes it away."""
    crystals = argon((1,))
    model = LennardJones(cutoff=CUTOFF)

    def uneven(positions, cells):
        found = model.of(batch.moved(positions, cells)).forces
        turned = torch.stack([-found[:, 1], found[:, 0], torch.zeros_like(found[:, 0])], dim=1)
        return found + 0.05 * turned

    batch = batch_of(crystals)
    drifts = []
    for every in (1, 4):
        walk = prepared(batch, temperature=40.0, timestep=4.0)

        class Wrong:
            def of(self, now):
                found = model.of(now)
                return type(found)(found.energy, uneven(now.positions, now.cells), found.stress)

        integrator = Verlet() if every == 1 else Respa(uneven, every)
        evaluate = Wrong().of if every == 1 else model.of
        energies = [
            now.evaluation.energy + now.scene.kinetic(now.motion.velocities)
            for now in walked(integrator, evaluate, walk, 400 // every)
        ]
        drifts.append(abs(float(energies[-1] - energies[0])))
    assert drifts[1] < 0.1 * drifts[0], drifts
