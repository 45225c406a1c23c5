"""Steps of dynamics at constant pressure; integrators as :mod:`aiida_pet.engine.dynamics.integrators` describes them.

The pressure of a row is that of its virial and of the kinetic energy that it has: where the centre of mass is at rest,
that of 3 N - 3 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.dynamics.motion import Motion, Scene
from aiida_pet.engine.dynamics.random_numbers import Stream, normals_of_rows
from aiida_pet.engine.dynamics.thermostats import Chain, Thermostat, chain_inertias, sinhc


def volumes_of(cells: Tensor) -> Tensor:
    """Return the (N,) volumes, A^3."""
    return torch.linalg.det(cells).abs()


def pressures(motion: Motion, evaluation: Evaluation, scene: Scene) -> Tensor:
    """Return the (N, 3, 3) pressure tensors, eV/A^3, kinetic part included; NaN where there is no stress."""
    kinetic = scene.kinetic_tensor(motion.velocities)
    return kinetic / volumes_of(motion.cells)[:, None, None] - evaluation.stress


def _trace(matrices: Tensor) -> Tensor:
    return torch.diagonal(matrices, dim1=-2, dim2=-1).sum(dim=-1)


@dataclass
class _Piston:
    """What an isotropic barostat remembers.

    :ivar rate: (N,) 1/time, d ln(length) / dt.
    :ivar chain: chain of the particles.
    :ivar own: chain of the barostat.
    """

    rate: Tensor
    chain: Chain
    own: Chain


class IsotropicNoseHoover:
    """Constant pressure by a change of volume that has an inertia; particles and barostat on chains of their own.

    Martyna, Tuckerman, Tobias and Klein, Mol. Phys. 87, 1117 (1996); Tuckerman, Alejandre, Lopez-Rendon, Jochim and
    Martyna, J. Phys. A 39, 5629 (2006). The shape of the cell stays.

    :param time: time constant of the chains.
    :param pressure_time: time constant of the barostat; its inertia is (dof + 3) kT time^2.
    """

    def __init__(self, time: float, pressure_time: float) -> None:
        self._time = time
        self._pressure_time = pressure_time

    def start(self, batch: Batch, scene: Scene) -> _Piston:
        """Return a barostat at rest."""
        rate = torch.zeros(len(batch), dtype=torch.float64, device=batch.device)
        return _Piston(rate, Chain.start(batch), Chain.start(batch))

    def begin(self, motion: Motion, bath: _Piston, evaluation: Evaluation, scene: Scene) -> _Piston:
        """Move rows and their cells, after the chains, the push on the volume and half a kick."""
        time = scene.conditions.timestep
        bath = self._thermostats(motion, bath, scene, time)
        rate = bath.rate + 0.5 * time * self._push(motion, evaluation, scene)
        self._kick(motion, rate, evaluation, scene, time)
        growth = torch.exp(rate * time)
        drift = time * torch.exp(0.5 * rate * time) * sinhc(0.5 * rate * time)
        motion.positions = (
            scene.of_atoms(growth) * motion.positions + scene.of_atoms(drift) * motion.velocities
        )
        motion.cells = growth[:, None, None] * motion.cells
        motion.steps = motion.steps + 1
        return _Piston(rate, bath.chain, bath.own)

    def end(self, motion: Motion, bath: _Piston, evaluation: Evaluation, scene: Scene) -> _Piston:
        """Do the same in the opposite order."""
        time = scene.conditions.timestep * scene.moving
        self._kick(motion, bath.rate, evaluation, scene, time)
        rate = bath.rate + 0.5 * time * self._push(motion, evaluation, scene)
        return self._thermostats(motion, _Piston(rate, bath.chain, bath.own), scene, time)

    def conserved(self, motion: Motion, bath: _Piston, evaluation: Evaluation, scene: Scene) -> Tensor:
        """Return enthalpy, kinetic energy of particles and barostat, and energies of both chains."""
        of = scene.conditions
        one = torch.ones_like(of.kt)
        return (
            evaluation.energy
            + scene.kinetic(motion.velocities)
            + of.pressure * volumes_of(motion.cells)
            + 0.5 * self._inertia(scene) * bath.rate**2
            + bath.chain.energy(chain_inertias(of.kt, of.dof, self._time), of.kt, of.dof)
            + bath.own.energy(chain_inertias(of.kt, one, self._pressure_time), of.kt, one)
        )

    def _inertia(self, scene: Scene) -> Tensor:
        of = scene.conditions
        return (of.dof + 3.0) * of.kt * self._pressure_time**2

    def _push(self, motion: Motion, evaluation: Evaluation, scene: Scene) -> Tensor:
        of = scene.conditions
        twice = 2.0 * scene.kinetic(motion.velocities)
        virial = -volumes_of(motion.cells) * (_trace(evaluation.stress) + 3.0 * of.pressure)
        return ((1.0 + 3.0 / of.dof) * twice + virial) / self._inertia(scene)

    def _kick(self, motion: Motion, rate: Tensor, evaluation: Evaluation, scene: Scene, time: Tensor) -> None:
        slowing = (1.0 + 3.0 / scene.conditions.dof) * rate * 0.5 * time
        push = 0.5 * time * torch.exp(-0.5 * slowing) * sinhc(0.5 * slowing)
        motion.velocities = scene.of_atoms(torch.exp(-slowing)) * motion.velocities + scene.of_atoms(
            push
        ) * scene.accelerations(evaluation.forces)

    def _thermostats(self, motion: Motion, bath: _Piston, scene: Scene, time: Tensor) -> _Piston:
        of = scene.conditions
        one = torch.ones_like(of.kt)
        own, slower = bath.own.acted(
            self._inertia(scene) * bath.rate**2,
            chain_inertias(of.kt, one, self._pressure_time),
            of.kt,
            one,
            0.5 * time,
        )
        chain, scale = bath.chain.acted(
            2.0 * scene.kinetic(motion.velocities),
            chain_inertias(of.kt, of.dof, self._time),
            of.kt,
            of.dof,
            0.5 * time,
        )
        motion.velocities = motion.velocities * scene.of_atoms(scale)
        return _Piston(bath.rate * slower, chain, own)


@dataclass
class _Rescaled:
    """What stochastic cell rescaling remembers between two evaluations.

    :ivar strain: (N, 3, 3) logarithm of the last change of the cell.
    :ivar work: (N, 3, 3) eV, volume times stress at the evaluation before.
    :ivar thermostat: what it remembers.
    """

    strain: Tensor
    work: Tensor
    thermostat: Any


class CellRescaling:
    """Constant pressure by small random changes of the whole cell: stochastic cell rescaling.

    Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020); anisotropic: Del Tatto, Raiteri, Bernetti and Bussi, Appl.
    Sci. 12, 1139 (2022), whose equation for the cell h, lattice vectors in columns,

        dh = -c (P0 - P - kT / V) h dt + sqrt(2 c kT / V) dW h,   c = compressibility / (3 time),

    is solved by Euler's method; each change is made free of rotation. Velocities change by the inverse.

    :param pressure_time: time constant of the barostat.
    :param compressibility: A^3/eV; a wrong one only changes the time in which the cell forgets.
    """

    def __init__(self, thermostat: Thermostat, pressure_time: float, compressibility: float) -> None:
        self._thermostat = thermostat
        self._speed = compressibility / (3.0 * pressure_time)

    def start(self, batch: Batch, scene: Scene) -> _Rescaled:
        """Return the state of cells that have not changed."""
        zero = torch.zeros_like(batch.cells)
        return _Rescaled(zero, zero, self._thermostat.start(batch))

    def begin(self, motion: Motion, bath: _Rescaled, evaluation: Evaluation, scene: Scene) -> _Rescaled:
        """Move rows as Verlet does, then change their cells."""
        time = scene.conditions.timestep
        thermostat = self._thermostat.before(motion, bath.thermostat, scene, time)
        motion.velocities = motion.velocities + scene.of_atoms(0.5 * time) * scene.accelerations(
            evaluation.forces
        )
        motion.positions = motion.positions + scene.of_atoms(time) * motion.velocities
        work = volumes_of(motion.cells)[:, None, None] * evaluation.stress
        strain = self._rescale(motion, evaluation, scene)
        motion.steps = motion.steps + 1
        return _Rescaled(strain, work, thermostat)

    def end(self, motion: Motion, bath: _Rescaled, evaluation: Evaluation, scene: Scene) -> _Rescaled:
        """Complete Verlet's step and the account of what the barostat gave."""
        time = scene.conditions.timestep * scene.moving
        motion.velocities = motion.velocities + scene.of_atoms(0.5 * time) * scene.accelerations(
            evaluation.forces
        )
        now = volumes_of(motion.cells)[:, None, None] * evaluation.stress
        given = 0.5 * ((bath.work + now) * bath.strain).sum(dim=(1, 2))
        motion.exchanged = motion.exchanged + torch.where(scene.moving, given, 0.0)
        thermostat = self._thermostat.after(motion, bath.thermostat, scene, time)
        return _Rescaled(bath.strain, bath.work, thermostat)

    def conserved(self, motion: Motion, bath: _Rescaled, evaluation: Evaluation, scene: Scene) -> Tensor:
        """Return the enthalpy with the kinetic energy, less all that thermostat and barostat gave."""
        total = evaluation.energy + scene.kinetic(motion.velocities) - motion.exchanged
        enthalpy = total + scene.conditions.pressure * volumes_of(motion.cells)
        return enthalpy + self._thermostat.energy(bath.thermostat, scene)

    def _rescale(self, motion: Motion, evaluation: Evaluation, scene: Scene) -> Tensor:
        """Change cells, positions and velocities; return the (N, 3, 3) logarithms of the change."""
        of = scene.conditions
        volumes = volumes_of(motion.cells)
        eye = torch.eye(3, dtype=torch.float64, device=volumes.device)
        outside = (of.pressure - of.kt / volumes)[:, None, None] * eye
        towards = pressures(motion, evaluation, scene) - outside
        drawn = normals_of_rows(of.keys, motion.steps, 9, Stream.BAROSTAT).reshape(-1, 3, 3)
        width = torch.sqrt(2.0 * self._speed * of.kt * of.timestep / volumes)
        change = eye + self._speed * of.timestep[:, None, None] * towards + width[:, None, None] * drawn
        # of a row that explodes there may be none, and a decomposition would end the whole batch
        known = change.isfinite().all(dim=2).all(dim=1)[:, None, None]
        change = torch.where(known, change, eye)
        # without its rotation: the square root of change^T change, which is symmetric
        squares, axes = torch.linalg.eigh(change.mT @ change)
        stretch = (axes * squares.sqrt()[:, None, :]) @ axes.mT
        inverse = (axes * squares.rsqrt()[:, None, :]) @ axes.mT
        before = scene.kinetic(motion.velocities)
        row = scene.batch.row_of_atom
        motion.cells = torch.where(known, motion.cells @ stretch, torch.nan)
        motion.positions = torch.einsum("ai,aij->aj", motion.positions, stretch[row])
        motion.velocities = torch.einsum("ai,aij->aj", motion.velocities, inverse[row])
        grown = of.pressure * (volumes_of(motion.cells) - volumes)
        motion.exchanged = motion.exchanged + scene.kinetic(motion.velocities) - before + grown
        return (axes * (0.5 * squares.log())[:, None, :]) @ axes.mT
