"""Steps of dynamics: from one evaluation to the next, and what follows once that is there.

A step is cut where the model is asked. :meth:`begin` takes rows from a point whose forces are known to the next;
:meth:`end` completes the step with the forces there. Positions, velocities and steps of a row belong together between
``end`` and ``begin``: there rows are judged and written down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.dynamics.motion import Motion, Scene
from aiida_pet.engine.dynamics.thermostats import NoThermostat, Thermostat
from aiida_pet.engine.tasks.row_state import PER_ATOM

InnerForces = Callable[[Tensor, Tensor], Tensor]
"""(positions, cells) -> the (A, 3) forces of the inner steps."""


class Integrator(Protocol):
    """What a task asks of an integrator; ``bath`` is what it remembers of rows beside their motion."""

    def start(self, batch: Batch, scene: Scene) -> Any:
        """Return what it remembers of the rows of ``batch``, which are about to begin."""

    def begin(self, motion: Motion, bath: Any, evaluation: Evaluation, scene: Scene) -> Any:
        """Move rows to the next point that is to be evaluated; return what it remembers."""

    def end(self, motion: Motion, bath: Any, evaluation: Evaluation, scene: Scene) -> Any:
        """Complete the step of the rows that are moving; return what it remembers."""

    def conserved(self, motion: Motion, bath: Any, evaluation: Evaluation, scene: Scene) -> Tensor:
        """Return the (N,) energy that the exact equations of motion keep, eV."""


class Verlet:
    """Velocity Verlet at fixed cells, alone (NVE) or between a thermostat's actions (NVT).

    Swope, Andersen, Berens and Wilson, J. Chem. Phys. 76, 637 (1982).
    """

    def __init__(self, thermostat: Thermostat | None = None) -> None:
        self._thermostat = thermostat or NoThermostat()

    def start(self, batch: Batch, scene: Scene) -> Any:
        """Return what the thermostat remembers."""
        return self._thermostat.start(batch)

    def begin(self, motion: Motion, bath: Any, evaluation: Evaluation, scene: Scene) -> Any:
        """Move rows: half a kick and a drift."""
        time = scene.conditions.timestep
        bath = self._thermostat.before(motion, bath, scene, time)
        motion.velocities = motion.velocities + scene.of_atoms(0.5 * time) * scene.accelerations(
            evaluation.forces
        )
        motion.positions = motion.positions + scene.of_atoms(time) * motion.velocities
        motion.steps = motion.steps + 1
        return bath

    def end(self, motion: Motion, bath: Any, evaluation: Evaluation, scene: Scene) -> Any:
        """Give the other half of the kick."""
        time = scene.conditions.timestep * scene.moving
        motion.velocities = motion.velocities + scene.of_atoms(0.5 * time) * scene.accelerations(
            evaluation.forces
        )
        return self._thermostat.after(motion, bath, scene, time)

    def conserved(self, motion: Motion, bath: Any, evaluation: Evaluation, scene: Scene) -> Tensor:
        """Return the total energy plus the energy of a thermostat, or minus what the thermostat gave."""
        total = evaluation.energy + scene.kinetic(motion.velocities)
        return total + self._thermostat.energy(bath, scene) - motion.exchanged


@dataclass
class _Inner:
    """What is remembered between outer steps.

    :ivar fast: (A, 3) eV/A, inner forces at the positions.
    :ivar known: (N,) bool, whether there are some.
    :ivar thermostat: what it remembers.
    """

    fast: Tensor = field(metadata=PER_ATOM)
    known: Tensor
    thermostat: Any


class Respa:
    """Verlet with two forces: cheap ones at every inner step, what they lack of the true ones at the outer steps.

    Tuckerman, Berne and Martyna, J. Chem. Phys. 97, 1990 (1992); with direct forces inside and conservative ones
    outside: Bigi, Langer and Ceriotti, arXiv:2412.11569. The thermostat acts at outer steps. A step is an outer one.

    :param inner: forces of the inner steps.
    :param every: inner steps in an outer one.
    """

    def __init__(self, inner: InnerForces, every: int, thermostat: Thermostat | None = None) -> None:
        self._inner = inner
        self._every = every
        self._thermostat = thermostat or NoThermostat()

    def start(self, batch: Batch, scene: Scene) -> _Inner:
        """Return the state of rows whose inner forces are not known yet."""
        unknown = torch.zeros(len(batch), dtype=torch.bool, device=batch.device)
        return _Inner(torch.zeros_like(batch.positions), unknown, self._thermostat.start(batch))

    def begin(self, motion: Motion, bath: _Inner, evaluation: Evaluation, scene: Scene) -> _Inner:
        """Move rows by all inner steps, after half a kick by the outer forces."""
        time = scene.conditions.timestep
        thermostat = self._thermostat.before(motion, bath.thermostat, scene, self._every * time)
        fast = bath.fast
        if not bool(bath.known.all()):
            fast = torch.where(scene.of_atoms(bath.known), fast, self._inner(motion.positions, motion.cells))
        slow = scene.accelerations(evaluation.forces - fast)
        velocities = motion.velocities + scene.of_atoms(0.5 * self._every * time) * slow
        positions = motion.positions
        for _ in range(self._every):
            velocities = velocities + scene.of_atoms(0.5 * time) * scene.accelerations(fast)
            positions = positions + scene.of_atoms(time) * velocities
            fast = self._inner(positions, motion.cells)
            velocities = velocities + scene.of_atoms(0.5 * time) * scene.accelerations(fast)
        motion.velocities, motion.positions = velocities, positions
        motion.steps = motion.steps + 1
        return _Inner(fast, torch.ones_like(bath.known), thermostat)

    def end(self, motion: Motion, bath: _Inner, evaluation: Evaluation, scene: Scene) -> _Inner:
        """Give the other half of the kick by the outer forces."""
        time = self._every * scene.conditions.timestep * scene.moving
        slow = scene.accelerations(evaluation.forces - bath.fast)
        motion.velocities = motion.velocities + scene.of_atoms(0.5 * time) * slow
        thermostat = self._thermostat.after(motion, bath.thermostat, scene, time)
        return _Inner(bath.fast, bath.known, thermostat)

    def conserved(self, motion: Motion, bath: _Inner, evaluation: Evaluation, scene: Scene) -> Tensor:
        """Return the total energy by the outer model plus the energy of a thermostat, or minus what the thermostat
        gave.
        """
        total = evaluation.energy + scene.kinetic(motion.velocities)
        return total + self._thermostat.energy(bath.thermostat, scene) - motion.exchanged
