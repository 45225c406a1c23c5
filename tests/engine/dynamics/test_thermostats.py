"""Thermostats give the canonical distribution of the kinetic energy, and conserve what they say they conserve."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
import scipy.stats
import torch
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.md.nose_hoover_chain import NoseHooverChainNVT

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.dynamics.integrators import Verlet
from aiida_pet.engine.dynamics.thermostats import Bussi, Langevin, NoseHoover
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import BOLTZMANN
from support.classical import LennardJones, Springs
from support.walking import FS, prepared, walked

CUTOFF = 8.7


def argon(rows: int, repeat: int = 2, rattle: float = 0.1) -> Batch:
    crystals = []
    for row in range(rows):
        atoms = ase.build.bulk("Ar", a=5.3, cubic=True).repeat((repeat, repeat, repeat))
        atoms.rattle(rattle, seed=row)
        crystals.append((str(row), atoms))
    return Batch.from_table(StructureTable.from_ase(crystals))


def thinned(series: np.ndarray) -> np.ndarray:
    """Return the samples (T, N) that are further apart than twice the correlation time, all rows in one."""
    centred = series - series.mean(axis=0)
    size = 2 * len(series)
    power = np.abs(np.fft.rfft(centred, size, axis=0)) ** 2
    correlation = np.fft.irfft(power, size, axis=0)[: len(series)].mean(axis=1)
    correlation /= correlation[0]
    end = int(np.argmax(correlation < 0.02)) or len(series)
    time = 0.5 + correlation[1:end].sum()
    return series[:: max(1, int(np.ceil(3 * time)))].ravel()


def kinetic_energies(thermostat, evaluate, walk, steps, skipped) -> tuple[np.ndarray, np.ndarray]:
    integrator = Verlet(thermostat)
    kinetic, conserved = [], []
    for now in walked(integrator, evaluate, walk, steps):
        kinetic.append(now.scene.kinetic(now.motion.velocities))
        conserved.append(integrator.conserved(now.motion, now.bath, now.evaluation, now.scene))
    return torch.stack(kinetic)[skipped:].numpy(), torch.stack(conserved).numpy()


@pytest.mark.parametrize("centred", [True, False])
def test_langevin_is_canonical_on_an_einstein_crystal(centred):
    batch = argon(24, 1, 0.0)
    springs = Springs(1.0, batch.positions)
    walk = prepared(batch, temperature=300.0, timestep=4.0, centred=centred)
    kinetic, conserved = kinetic_energies(Langevin(100 * FS), springs.evaluate, walk, 3000, 300)
    dof = 3 * 4 - 3 * centred
    assert walk.scene.conditions.dof.unique().tolist() == [dof]
    samples = 2 * thinned(kinetic) / (300.0 * BOLTZMANN)
    assert len(samples) > 500
    assert scipy.stats.kstest(samples, "chi2", (dof,)).pvalue > 1e-3
    # the total energy is moved by tenths of an eV, the account is not
    assert np.abs(conserved - conserved[0]).max() < 0.02
    assert kinetic.std() > 0.04
    momenta = batch.row_sum(walk.scene.masses * walk.motion.velocities).abs().max()
    assert (momenta < 1e-9) == centred


def test_langevin_gives_the_spread_of_positions():
    batch = argon(24, 1, 0.0)
    springs = Springs(1.0, batch.positions)
    walk = prepared(batch, temperature=300.0, timestep=4.0, centred=False)
    squares = [
        float(((now.motion.positions - batch.positions) ** 2).mean())
        for now in walked(Verlet(Langevin(50 * FS)), springs.evaluate, walk, 4000)
    ]
    assert np.mean(squares[400:]) == pytest.approx(300.0 * BOLTZMANN / 1.0, rel=0.05)


@pytest.mark.parametrize(("thermostat", "bound"), [(Bussi(100 * FS), 2e-3), (NoseHoover(60 * FS), 2e-3)])
def test_scaling_thermostats_are_canonical_on_lennard_jones(thermostat, bound):
    walk = prepared(argon(12, 1), temperature=60.0, timestep=4.0)
    model = LennardJones(cutoff=CUTOFF)
    kinetic, conserved = kinetic_energies(thermostat, model.of, walk, 3500, 500)
    samples = 2 * thinned(kinetic) / (60.0 * BOLTZMANN)
    assert len(samples) > 150
    assert scipy.stats.kstest(samples, "chi2", (9,)).pvalue > 1e-3
    assert np.abs(conserved - conserved[0]).max() < bound * 4


def test_nose_hoover_walks_as_in_ase():
    batch = argon(1)
    atoms = ase.build.bulk("Ar", a=5.3, cubic=True).repeat(2)
    atoms.rattle(0.1, seed=0)
    walk = prepared(batch, temperature=40.0, timestep=2.0)
    atoms.set_velocities(walk.motion.velocities.numpy())
    atoms.calc = AseLennardJones(sigma=3.4, epsilon=0.0104, rc=CUTOFF, smooth=False)
    walk.scene.conditions.dof = torch.tensor([3.0 * len(atoms)])  # as ASE counts them
    NoseHooverChainNVT(atoms, timestep=2.0 * FS, temperature_K=40.0, tdamp=100 * FS).run(50)
    for _ in walked(Verlet(NoseHoover(100 * FS)), LennardJones(cutoff=CUTOFF).of, walk, 50):
        pass
    # ASE takes another splitting of the chain: the same equations, not the same rounding
    assert np.abs(atoms.positions - walk.motion.positions.numpy()).max() < 1e-5


def test_bussi_leaves_rows_at_rest_alone():
    batch = argon(2, 1, 0.0)
    walk = prepared(batch, temperature=50.0, velocities=torch.zeros_like(batch.positions))
    for _ in walked(Verlet(Bussi(50 * FS)), Springs(1.0, batch.positions).evaluate, walk, 5):
        pass
    assert torch.equal(walk.motion.positions, batch.positions)
    assert walk.motion.exchanged.tolist() == [0, 0]
