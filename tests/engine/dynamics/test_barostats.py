"""Barostats: the distribution of cells against integrals and Monte Carlo, paths against ASE, and what is conserved."""

from __future__ import annotations

import ase
import ase.build
import numpy as np
import pytest
import torch
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.md.nose_hoover_chain import IsotropicMTKNPT

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.dynamics.barostats import CellRescaling, IsotropicNoseHoover, pressures, volumes_of
from aiida_pet.engine.dynamics.integrators import Integrator, Verlet
from aiida_pet.engine.dynamics.thermostats import Bussi, Langevin
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import BOLTZMANN
from support.cell_moves import volumes_by_moves
from support.classical import ElasticBox, LennardJones
from support.walking import FS, prepared, walked

N_ATOMS, LENGTH, STIFFNESS, PRESSURE, TEMPERATURE = 8, 8.0, 20.0, 0.001, 1000.0
KT = BOLTZMANN * TEMPERATURE
BOX = ElasticBox(STIFFNESS, LENGTH)
COMPRESSIBILITY = 1.5 * LENGTH**3 / STIFFNESS  # A^3/eV, that of the box
CUTOFF = 8.7  # between two shells of solid argon, so that no pair comes and goes


def boxes(rows: int) -> Batch:
    """Return boxes whose volumes differ, so that they do not swing together."""
    rng = np.random.default_rng(0)
    found = []
    for row in range(rows):
        places, edge = rng.random((N_ATOMS, 3)), LENGTH * rng.normal(0.97, 0.03)
        found.append((str(row), ase.Atoms(f"Ar{N_ATOMS}", places * edge, cell=[edge] * 3, pbc=True)))
    return Batch.from_table(StructureTable.from_ase(found))


def argon(seed: int) -> ase.Atoms:
    atoms = ase.build.bulk("Ar", a=5.3, cubic=True)
    atoms.rattle(0.05, seed=seed)
    return atoms


def argon_of(volume: float, seed: int) -> ase.Atoms:
    atoms = argon(seed)
    atoms.set_cell(volume ** (1 / 3) * np.eye(3), scale_atoms=True)
    return atoms


def batch_of(crystals: list[ase.Atoms]) -> Batch:
    return Batch.from_table(StructureTable.from_ase((str(n), atoms) for n, atoms in enumerate(crystals)))


def volumes_by_integral(power: int) -> tuple[float, float]:
    """Return mean and deviation of the volume of cubic boxes, by weights V^power exp(-(U + P V) / kT) dV."""
    edges = torch.linspace(4.0, 12.0, 40_001, dtype=torch.float64)
    cells = edges[:, None, None] * torch.eye(3, dtype=torch.float64)
    volumes = edges**3
    weights = power * volumes.log() - (BOX.energy(cells) + PRESSURE * volumes) / KT
    weights = (weights - weights.max()).exp() * edges**2  # dV = 3 a^2 da
    mean = (weights * volumes).sum() / weights.sum()
    return float(mean), float(((weights * (volumes - mean) ** 2).sum() / weights.sum()).sqrt())


def volumes_by_sampling(power: int) -> tuple[float, float]:
    """Return the same of boxes of any shape: V^power exp(-(U + P V) / kT) over the nine numbers of the cell.

    A cell is a lower triangle times a rotation, and its volume element L11^2 L22 times those of the two; triangles are
    drawn from normal distributions around the cell without strain, and weighed.
    """
    rng = torch.Generator().manual_seed(1)
    drawn = torch.randn((1_000_000, 6), dtype=torch.float64, generator=rng)
    wide = 1.2 * LENGTH * (KT / STIFFNESS / 2) ** 0.5
    lower = torch.zeros((len(drawn), 3, 3), dtype=torch.float64)
    rows, columns = torch.tril_indices(3, 3)
    lower[:, rows, columns] = drawn * wide
    lower = lower + LENGTH * torch.eye(3, dtype=torch.float64)
    volumes = volumes_of(lower)
    weights = power * volumes.log() - (BOX.energy(lower) + PRESSURE * volumes) / KT
    weights = weights + 2 * lower[:, 0, 0].log() + lower[:, 1, 1].log() + 0.5 * (drawn**2).sum(dim=1)
    weights = (weights - weights.max()).exp()
    mean = (weights * volumes).sum() / weights.sum()
    return float(mean), float(((weights * (volumes - mean) ** 2).sum() / weights.sum()).sqrt())


def sampled(integrator: Integrator, rows: int, steps: int, skipped: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the volumes (T, N) after the steps that are skipped, and the conserved energies (T, N)."""
    walk = prepared(boxes(rows), temperature=TEMPERATURE, timestep=4.0, pressure=PRESSURE)
    volumes, conserved = [], []
    for now in walked(integrator, BOX.evaluate, walk, steps):
        volumes.append(volumes_of(now.motion.cells))
        conserved.append(integrator.conserved(now.motion, now.bath, now.evaluation, now.scene))
    return torch.stack(volumes)[skipped:], torch.stack(conserved)


def test_isotropic_barostat_gives_the_volumes_of_the_ensemble():
    """The centre of mass is at rest: N - 1 atoms press, which weighs with V^(N - 1)."""
    mean, spread = volumes_by_integral(N_ATOMS - 1)
    volumes, conserved = sampled(IsotropicNoseHoover(100 * FS, 200 * FS), 256, 2000, 400)
    error = float(volumes.mean(dim=0).std()) / np.sqrt(volumes.shape[1])
    # near enough to tell this ensemble from those of one atom more or less
    apart = abs(volumes_by_integral(N_ATOMS)[0] - mean)
    assert error < 0.1 * apart
    assert abs(float(volumes.mean()) - mean) < 0.35 * apart
    assert float(volumes.std()) == pytest.approx(spread, rel=0.04)
    assert (conserved - conserved[0]).abs().max() < 0.1 * KT


def test_cell_rescaling_gives_the_volumes_of_the_ensemble():
    """Cells are even in V and in shapes of volume one, which among nine numbers is a weight of V^-2.

    Langevin's thermostat, since atoms without forces never turn: scaled alone, their pressures stay of one direction.
    """
    mean, spread = volumes_by_sampling(N_ATOMS - 3)
    integrator = CellRescaling(Langevin(50 * FS), 100 * FS, COMPRESSIBILITY)
    volumes, conserved = sampled(integrator, 256, 2000, 200)
    error = float(volumes.mean(dim=0).std()) / np.sqrt(volumes.shape[1])
    # without kT / V in the equation for the cell it would be an atom less
    apart = abs(volumes_by_sampling(N_ATOMS - 4)[0] - mean)
    assert error < 0.15 * apart
    assert abs(float(volumes.mean()) - mean) < 0.4 * apart
    assert float(volumes.std()) == pytest.approx(spread, rel=0.03)  # Euler's method at a finite step: 0.7 %
    # without the account of what barostat and thermostat gave this would wander by many kT
    drift = (conserved[-1] - conserved[0]).abs().mean()
    assert drift < KT


def test_isotropic_barostat_walks_as_in_ase():
    """The same equations and the same splitting; ASE counts 3 N degrees of freedom, and 9 of the barostat's chain."""
    atoms = argon(0)
    walk = prepared(batch_of([atoms]), temperature=40.0, timestep=2.0, pressure=0.002)
    atoms.set_velocities(walk.motion.velocities.numpy())
    atoms.calc = AseLennardJones(sigma=3.4, epsilon=0.0104, rc=CUTOFF, smooth=False)
    walk.scene.conditions.dof = torch.tensor([3.0 * len(atoms)])
    dynamics = IsotropicMTKNPT(
        atoms, timestep=2.0 * FS, temperature_K=40.0, pressure_au=0.002, tdamp=100 * FS, pdamp=300 * FS
    )
    dynamics._barostat._R[0] /= 9.0
    dynamics.run(200)
    for _ in walked(IsotropicNoseHoover(100 * FS, 300 * FS), LennardJones(cutoff=CUTOFF).of, walk, 200):
        pass
    assert abs(float(volumes_of(walk.motion.cells)) / 5.3**3 - 1) > 0.01
    assert np.abs(atoms.cell[:] - walk.motion.cells[0].numpy()).max() < 1e-7
    assert np.abs(atoms.positions - walk.motion.positions.numpy()).max() < 1e-7
    assert np.abs(atoms.get_velocities() - walk.motion.velocities.numpy()).max() < 1e-7


def test_what_the_isotropic_barostat_conserves_fluctuates_as_the_square_of_the_step():
    model = LennardJones(cutoff=CUTOFF)

    def fluctuation(timestep: float) -> float:
        walk = prepared(batch_of([argon(0), argon(1)]), temperature=30.0, timestep=timestep, pressure=0.002)
        integrator = IsotropicNoseHoover(200 * FS, 400 * FS)
        kept = [
            integrator.conserved(now.motion, now.bath, now.evaluation, now.scene)
            for now in walked(integrator, model.of, walk, int(800 / timestep))
        ]
        return float(torch.stack(kept).std(dim=0).mean())

    assert 3.6 < fluctuation(8.0) / fluctuation(4.0) < 4.5


def test_cells_do_not_rotate_under_rescaling():
    walk = prepared(boxes(4), temperature=TEMPERATURE, timestep=4.0)
    integrator = CellRescaling(Bussi(50 * FS), 200 * FS, COMPRESSIBILITY)
    first = walk.motion.cells.clone()
    for _ in walked(integrator, BOX.evaluate, walk, 1):
        pass
    change = torch.linalg.solve(first, walk.motion.cells)
    assert (change - change.mT).abs().max() < 1e-12
    assert (change - torch.eye(3)).abs().max() > 1e-4


def test_pressure_is_the_derivative_of_the_free_energy_of_an_ideal_gas():
    walk = prepared(boxes(2000), temperature=TEMPERATURE)
    evaluation = ElasticBox(0.0, LENGTH).evaluate(walk.batch)
    found = pressures(walk.motion, evaluation, walk.scene).diagonal(dim1=1, dim2=2).mean(dim=1)
    assert float((found * walk.batch.volumes()).mean()) == pytest.approx((N_ATOMS - 1) * KT, rel=0.02)


def test_solid_argon_takes_the_volumes_of_monte_carlo():
    """With forces between atoms: mean and spread of the volume against Metropolis' moves of atoms and cells."""
    model, wanted, kelvin = LennardJones(cutoff=6.0), 0.003, 30.0  # between two shells
    batch = batch_of([argon(row) for row in range(16)])
    walk = prepared(batch, temperature=kelvin, timestep=8.0, pressure=wanted)
    integrator = CellRescaling(Langevin(200 * FS), 200 * FS, 40.0)
    mine, inside, conserved = [], [], []
    for now in walked(integrator, model.of, walk, 1000):
        mine.append(volumes_of(now.motion.cells))
        inside.append(pressures(now.motion, now.evaluation, now.scene).diagonal(dim1=1, dim2=2).mean(dim=1))
        conserved.append(integrator.conserved(now.motion, now.bath, now.evaluation, now.scene))
    theirs = volumes_by_moves(batch, model.of, kt=kelvin * BOLTZMANN, pressure=wanted, sweeps=1200)
    means = [torch.stack(mine)[200:].mean(dim=0), theirs[400:].mean(dim=0)]
    error = float(torch.stack([one.var() / len(one) for one in means]).sum().sqrt())
    assert error < 4e-3 * float(means[0].mean())
    assert abs(float(means[0].mean() - means[1].mean())) < 4 * error
    spreads = [float((one - one.mean()).std()) for one in (torch.stack(mine)[200:], theirs[400:])]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.2)
    # the ensemble is even in V at each shape, so that the mean of the pressure is what was asked for
    assert float(torch.stack(inside)[200:].mean()) == pytest.approx(wanted, abs=0.03 * wanted)
    assert (conserved[-1] - conserved[0]).abs().max() < 10 * kelvin * BOLTZMANN


def pressures_at(model: LennardJones, volumes: np.ndarray, kelvin: float) -> np.ndarray:
    """Return the mean pressures of argon at constant ``volumes`` of the cell, eV/A^3."""
    crystals = [argon_of(volume, seed) for seed in range(8) for volume in volumes]
    walk = prepared(batch_of(crystals), temperature=kelvin, timestep=8.0)
    found = [
        pressures(now.motion, now.evaluation, now.scene).diagonal(dim1=1, dim2=2).mean(dim=1)
        for now in walked(Verlet(Langevin(200 * FS)), model.of, walk, 600)
    ]
    return torch.stack(found)[100:].mean(dim=0).reshape(8, -1).mean(dim=0).numpy()


def test_isotropic_barostat_fluctuates_as_pressures_at_constant_volume_say():
    """With forces between atoms: p(V) ~ exp(-(A(V) + P V) / kT), A' = -P(V) by NVT; its spread is -kT dV/dP."""
    model, wanted, kelvin = LennardJones(cutoff=6.0), 0.003, 30.0  # between two shells
    kt = kelvin * BOLTZMANN
    volumes = np.linspace(125.0, 150.0, 5)
    curve = np.polynomial.Polynomial.fit(volumes, pressures_at(model, volumes, kelvin), 3)
    grid = np.linspace(122.0, 153.0, 2001)
    weights = np.exp((curve.integ()(grid) - wanted * grid - (curve.integ()(137.0) - wanted * 137.0)) / kt)
    mean = float((weights * grid).sum() / weights.sum())
    spread = float(np.sqrt((weights * (grid - mean) ** 2).sum() / weights.sum()))
    assert spread == pytest.approx(np.sqrt(-kt / curve.deriv()(mean)), rel=0.1)  # of a harmonic A(V) exactly

    drawn = np.random.default_rng(1).normal(mean, spread, 32)  # so that they do not swing together
    cells = [argon_of(volume, seed) for seed, volume in enumerate(drawn)]
    walk = prepared(batch_of(cells), temperature=kelvin, timestep=8.0, pressure=wanted)
    integrator = IsotropicNoseHoover(150 * FS, 300 * FS)
    found = torch.stack(
        [volumes_of(now.motion.cells).clone() for now in walked(integrator, model.of, walk, 1600)]
    )[300:]
    error = float(found.mean(dim=0).std()) / np.sqrt(found.shape[1])
    assert error < 0.1 * spread
    assert abs(float(found.mean()) - mean) < 4 * error
    assert float(found.std()) == pytest.approx(spread, rel=0.12)
