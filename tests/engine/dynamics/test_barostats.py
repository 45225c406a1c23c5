"""Barostats: the distribution of cells against integrals and Monte Carlo over cells alone, and what is conserved."""

from __future__ import annotations

import ase
import ase.build
import numpy as np
import pytest
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.dynamics.barostats import CellRescaling, IsotropicNoseHoover, pressures, volumes_of
from aiida_pet.engine.dynamics.thermostats import Bussi
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import BOLTZMANN
from tests.support.classical import ElasticBox, LennardJones
from tests.support.walking import FS, prepared, walked

N_ATOMS, LENGTH, STIFFNESS, PRESSURE, TEMPERATURE = 8, 8.0, 60.0, 0.002, 600.0
KT = BOLTZMANN * TEMPERATURE


def boxes(rows: int) -> Batch:
    rng = np.random.default_rng(0)
    atoms = ase.Atoms(f"Ar{N_ATOMS}", rng.random((N_ATOMS, 3)) * LENGTH, cell=[LENGTH * 0.95] * 3, pbc=True)
    return Batch.from_table(StructureTable.from_ase((str(row), atoms) for row in range(rows)))


def volumes_by_integral() -> tuple[float, float]:
    """Return mean and standard deviation of the volume of cubic boxes: V^(N-1) exp(-(U + P V) / kT)."""
    edges = torch.linspace(4.0, 12.0, 40_001, dtype=torch.float64)
    cells = edges[:, None, None] * torch.eye(3, dtype=torch.float64)
    volumes = edges**3
    weights = (N_ATOMS - 1) * volumes.log() - (
        ElasticBox(STIFFNESS, LENGTH).energy(cells) + PRESSURE * volumes
    ) / KT
    weights = (weights - weights.max()).exp() * edges**2  # dV = 3 a^2 da
    mean = (weights * volumes).sum() / weights.sum()
    return float(mean), float(((weights * (volumes - mean) ** 2).sum() / weights.sum()).sqrt())


def volumes_by_monte_carlo() -> tuple[float, float]:
    """Return the same of boxes of any shape: V^(N-1-2) exp(-(U + P V) / kT) over the nine numbers of the cell."""
    rng = torch.Generator().manual_seed(1)
    box, chains = ElasticBox(STIFFNESS, LENGTH), 4000
    cells = LENGTH * torch.eye(3, dtype=torch.float64).repeat(chains, 1, 1)

    def weight(cells: torch.Tensor) -> torch.Tensor:
        volumes = volumes_of(cells)
        return (N_ATOMS - 3) * volumes.log() - (box.energy(cells) + PRESSURE * volumes) / KT

    found = []
    for sweep in range(1000):
        moved = cells + 0.1 * torch.randn(cells.shape, dtype=torch.float64, generator=rng)
        accepted = torch.rand(chains, dtype=torch.float64, generator=rng).log() < weight(moved) - weight(
            cells
        )
        cells = torch.where(accepted[:, None, None], moved, cells)
        if sweep > 300:
            found.append(volumes_of(cells))
    volumes = torch.stack(found)
    return float(volumes.mean()), float(volumes.std())


def sampled(integrator, steps: int, skipped: int) -> tuple[torch.Tensor, torch.Tensor]:
    walk = prepared(boxes(96), temperature=TEMPERATURE, timestep=4.0, pressure=PRESSURE)
    evaluate = ElasticBox(STIFFNESS, LENGTH).evaluate
    volumes, conserved = [], []
    for now in walked(integrator, evaluate, walk, steps):
        volumes.append(volumes_of(now.motion.cells))
        conserved.append(integrator.conserved(now.motion, now.bath, now.evaluation, now.scene))
    return torch.stack(volumes)[skipped:], torch.stack(conserved)


def test_isotropic_barostat_gives_the_volumes_of_the_ensemble():
    mean, spread = volumes_by_integral()
    volumes, conserved = sampled(IsotropicNoseHoover(100 * FS, 200 * FS), 1800, 300)
    error = float(volumes.mean(dim=0).std()) / np.sqrt(volumes.shape[1])
    assert error < 0.02 * mean
    # rows start alike and swing together: the error knows nothing of that. kT more or less would be 0.66 A^3
    assert abs(float(volumes.mean()) - mean) < 4 * error + 5e-4 * mean
    assert float(volumes.std()) == pytest.approx(spread, rel=0.06)
    assert (conserved - conserved[0]).abs().max() < 5e-3


def test_cell_rescaling_gives_the_volumes_of_the_ensemble():
    mean, spread = volumes_by_monte_carlo()
    compressibility = 13.0  # A^3/eV, that of the box
    volumes, conserved = sampled(CellRescaling(Bussi(50 * FS), 200 * FS, compressibility), 1800, 300)
    error = float(volumes.mean(dim=0).std()) / np.sqrt(volumes.shape[1])
    assert error < 0.02 * mean
    assert abs(float(volumes.mean()) - mean) < 4 * error + 0.003 * mean  # Euler's method at a finite step
    assert float(volumes.std()) == pytest.approx(spread, rel=0.08)
    # without the account of what the barostat gave this would wander by some kT
    drift = (conserved[-1] - conserved[0]).abs().mean()
    assert drift < 3 * KT


def test_cells_do_not_rotate_under_rescaling():
    walk = prepared(boxes(4), temperature=TEMPERATURE, timestep=4.0)
    integrator = CellRescaling(Bussi(50 * FS), 200 * FS, 13.0)
    first = walk.motion.cells.clone()
    for _ in walked(integrator, ElasticBox(STIFFNESS, LENGTH).evaluate, walk, 1):
        pass
    change = torch.linalg.solve(first, walk.motion.cells)
    assert (change - change.mT).abs().max() < 1e-12
    assert (change - torch.eye(3)).abs().max() > 1e-4


def test_pressure_is_the_derivative_of_the_free_energy_of_an_ideal_gas():
    walk = prepared(boxes(2000), temperature=TEMPERATURE)
    evaluation = ElasticBox(0.0, LENGTH).evaluate(walk.batch)
    mean = pressures(walk.motion, evaluation, walk.scene).diagonal(dim1=1, dim2=2).mean()
    assert float(mean) == pytest.approx((N_ATOMS - 1) * KT / float(walk.batch.volumes()[0]), rel=0.02)


@pytest.mark.parametrize("kind", ["isotropic", "rescaling"])
def test_solid_argon_takes_the_volume_of_its_pressure(kind):
    """Mean of the pressure is what was asked for, and the account holds with forces between atoms."""
    crystals = []
    for row in range(4):
        atoms = ase.build.bulk("Ar", a=5.3, cubic=True)
        atoms.rattle(0.05, seed=row)
        crystals.append((str(row), atoms))
    batch = Batch.from_table(StructureTable.from_ase(crystals))
    model = LennardJones(cutoff=8.7)
    wanted = 0.002
    walk = prepared(batch, temperature=30.0, timestep=4.0, pressure=wanted)
    integrator = {
        "isotropic": IsotropicNoseHoover(100 * FS, 400 * FS),
        "rescaling": CellRescaling(Bussi(100 * FS), 400 * FS, 60.0),
    }[kind]
    found, conserved = [], []
    for now in walked(integrator, model.of, walk, 1000):
        found.append(pressures(now.motion, now.evaluation, now.scene).diagonal(dim1=1, dim2=2).mean(dim=1))
        conserved.append(integrator.conserved(now.motion, now.bath, now.evaluation, now.scene))
    mean = float(torch.stack(found)[300:].mean())
    volume = float(volumes_of(walk.motion.cells).mean())
    kt = 30.0 * BOLTZMANN
    # <P> = P0 - kT/V over dV: the centre of mass has no part in it
    assert mean == pytest.approx(wanted, abs=0.1 * wanted + 1.5 * kt / volume)
    change = (torch.stack(conserved)[-1] - conserved[0]).abs().max()
    assert change < {"isotropic": 1e-2, "rescaling": 3 * kt}[kind]
