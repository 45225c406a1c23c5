"""Thermostats, which change velocities so that kinetic energies have a temperature.

Each acts on velocities for a time, and knows what it remembers of each row (a state as
:mod:`aiida_pet.engine.tasks.row_state` understands it). The random ones tell the energy that they gave, so that the
total energy less what was exchanged is conserved: Bussi and Parrinello, Phys. Rev. E 75, 056707 (2007).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.dynamics.motion import Motion, Scene
from aiida_pet.engine.dynamics.random_numbers import Stream, normals_of_atoms, places_in_rows

CHAIN = 3  # thermostats of a Nose-Hoover chain
_SPLIT = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
SUZUKI = (_SPLIT, 1.0 - 2.0 * _SPLIT, _SPLIT)  # fourth order: Yoshida, Phys. Lett. A 150, 262 (1990)


@dataclass
class Nothing:
    """The state of what remembers nothing."""


@dataclass
class Chain:
    """A Nose-Hoover chain.

    :ivar places: (N, M), without unit.
    :ivar rates: (N, M), 1 / time.
    """

    places: Tensor
    rates: Tensor

    @staticmethod
    def start(batch: Batch) -> Chain:
        """Return a chain at rest for each row of ``batch``."""
        zero = torch.zeros((len(batch), CHAIN), dtype=torch.float64, device=batch.device)
        return Chain(zero, zero)

    def energy(self, inertias: Tensor, kt: Tensor, dof: Tensor) -> Tensor:
        """Return its (N,) energies, eV.

        :param inertias: (N, M) eV time^2.
        :param dof: (N,) degrees of freedom that it acts on.
        """
        potential = kt * (dof * self.places[:, 0] + self.places[:, 1:].sum(dim=1))
        return 0.5 * (inertias * self.rates**2).sum(dim=1) + potential

    def acted(
        self, twice_kinetic: Tensor, inertias: Tensor, kt: Tensor, dof: Tensor, duration: Tensor
    ) -> tuple[Chain, Tensor]:
        """Return the chain after ``duration`` (N,), and the (N,) factor by which it scales velocities.

        Martyna, Tuckerman, Tobias and Klein, Mol. Phys. 87, 1117 (1996).

        :param twice_kinetic: (N,) eV, of what it acts on.
        """
        places, rates = list(self.places.unbind(1)), list(self.rates.unbind(1))
        masses = inertias.unbind(1)
        scale = torch.ones_like(kt)

        def pull(k: int) -> Tensor:
            if k == 0:
                return (twice_kinetic * scale * scale - dof * kt) / masses[0]
            return (masses[k - 1] * rates[k - 1] ** 2 - kt) / masses[k]

        def push(k: int, time: Tensor) -> None:
            slowed = torch.exp(-0.25 * time * rates[k + 1]) if k + 1 < CHAIN else torch.ones_like(kt)
            rates[k] = (rates[k] * slowed + 0.5 * time * pull(k)) * slowed

        for weight in SUZUKI:
            time = weight * duration
            for k in reversed(range(CHAIN)):
                push(k, time)
            scale = scale * torch.exp(-rates[0] * time)
            places = [place + rate * time for place, rate in zip(places, rates, strict=True)]
            for k in range(CHAIN):
                push(k, time)
        return Chain(torch.stack(places, dim=1), torch.stack(rates, dim=1)), scale


def chain_inertias(kt: Tensor, dof: Tensor, time: float) -> Tensor:
    """Return the (N, M) inertias of a chain that acts within ``time``: dof kT time^2, then kT time^2."""
    rest = (kt * time**2)[:, None].expand(-1, CHAIN - 1)
    return torch.cat([(dof * kt * time**2)[:, None], rest], dim=1)


class Thermostat(Protocol):
    """What an integrator asks of a thermostat."""

    def start(self, batch: Batch) -> Any:
        """Return what it remembers of rows that are about to begin."""

    def before(self, motion: Motion, bath: Any, scene: Scene, duration: Tensor) -> Any:
        """Act before the step, if it acts then; return what it remembers."""

    def after(self, motion: Motion, bath: Any, scene: Scene, duration: Tensor) -> Any:
        """Act after the step of ``duration`` (N,); return what it remembers."""

    def energy(self, bath: Any, scene: Scene) -> Tensor:
        """Return the (N,) energy that it holds, eV."""


class NoThermostat:
    """Leaves velocities alone."""

    def start(self, batch: Batch) -> Nothing:
        """Return nothing."""
        return Nothing()

    def before(self, motion: Motion, bath: Nothing, scene: Scene, duration: Tensor) -> Nothing:
        """Do nothing."""
        return bath

    def after(self, motion: Motion, bath: Nothing, scene: Scene, duration: Tensor) -> Nothing:
        """Do nothing."""
        return bath

    def energy(self, bath: Nothing, scene: Scene) -> Tensor:
        """Return zero."""
        return torch.zeros_like(scene.conditions.kt)


class Langevin(NoThermostat):
    """Friction and noise on each atom, after each step of Verlet's.

    Positions follow the path of the scheme of Bussi and Parrinello (O B A B O, with the two O at one point made one).
    The noise has no part in the motion of a centre of mass at rest.

    :param time: 1 / friction.
    """

    def __init__(self, time: float) -> None:
        self._time = time

    def after(self, motion: Motion, bath: Nothing, scene: Scene, duration: Tensor) -> Nothing:
        """Let friction and noise act for ``duration`` (N,)."""
        kept = scene.of_atoms(torch.exp(-duration / self._time))
        noise = normals_of_atoms(scene.batch, scene.conditions.keys, motion.steps, Stream.THERMOSTAT)
        spread = torch.sqrt((1.0 - kept * kept) * scene.of_atoms(scene.conditions.kt) / scene.masses)
        before = scene.kinetic(motion.velocities)
        motion.velocities = scene.held(kept * motion.velocities + spread * noise)
        motion.exchanged = motion.exchanged + torch.where(
            scene.moving, scene.kinetic(motion.velocities) - before, 0.0
        )
        return bath


class Bussi(NoThermostat):
    """Random scaling of all velocities of a row, after each step of Verlet's.

    Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101 (2007), Eq. A7. Rows at rest stay at rest.

    :param time: in which the kinetic energy forgets.
    """

    def __init__(self, time: float) -> None:
        self._time = time

    def after(self, motion: Motion, bath: Nothing, scene: Scene, duration: Tensor) -> Nothing:
        """Scale the velocities."""
        batch, conditions = scene.batch, scene.conditions
        drawn = normals_of_atoms(batch, conditions.keys, motion.steps, Stream.THERMOSTAT)
        # as many numbers as there are degrees of freedom, the first of which has a part of its own
        order = 3 * places_in_rows(batch)[:, None] + torch.arange(3, device=batch.device)
        used = drawn * (order < scene.of_atoms(conditions.dof))
        squares = batch.row_sum((used * used).sum(dim=1))
        first = drawn[torch.cumsum(batch.n_atoms, 0) - batch.n_atoms, 0]
        kinetic = scene.kinetic(motion.velocities)
        warm = kinetic > 0
        kept = torch.exp(-duration / self._time)
        part = (1.0 - kept) * 0.5 * conditions.kt / torch.where(warm, kinetic, 1.0)
        squared = kept + part * squares + 2.0 * torch.sqrt(kept * part) * first
        sign = torch.where(first * torch.sqrt(part) + torch.sqrt(kept) < 0, -1.0, 1.0)
        scale = torch.where(warm & scene.moving, sign * torch.sqrt(squared.clamp(min=0.0)), 1.0)
        motion.velocities = motion.velocities * scene.of_atoms(scale)
        motion.exchanged = motion.exchanged + kinetic * (scale * scale - 1.0)
        return bath


class NoseHoover:
    """A Nose-Hoover chain of three, half a step before and half a step after Verlet's.

    :param time: time constant of its oscillation; the inertias are chosen as in ASE's ``NoseHooverChainNVT``.
    """

    def __init__(self, time: float) -> None:
        self._time = time

    def start(self, batch: Batch) -> Chain:
        """Return chains at rest."""
        return Chain.start(batch)

    def before(self, motion: Motion, bath: Chain, scene: Scene, duration: Tensor) -> Chain:
        """Act for half of ``duration`` (N,)."""
        of = scene.conditions
        twice = 2.0 * scene.kinetic(motion.velocities)
        bath, scale = bath.acted(twice, self._inertias(scene), of.kt, of.dof, 0.5 * duration)
        motion.velocities = motion.velocities * scene.of_atoms(scale)
        return bath

    after = before

    def energy(self, bath: Chain, scene: Scene) -> Tensor:
        """Return the (N,) energy of the chains, eV."""
        return bath.energy(self._inertias(scene), scene.conditions.kt, scene.conditions.dof)

    def _inertias(self, scene: Scene) -> Tensor:
        return chain_inertias(scene.conditions.kt, scene.conditions.dof, self._time)


def sinhc(x: Tensor) -> Tensor:
    """Return sinh(x) / x, 1 at 0."""
    small = x.abs() < 1e-4
    safe = torch.where(small, 1.0, x)
    return torch.where(small, 1.0 + x * x / 6.0, torch.sinh(safe) / safe)
