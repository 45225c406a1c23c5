"""A plain loop around an integrator, for tests of its physics without the rest of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import ase.data
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.dynamics.motion import Conditions, Motion, Scene, degrees_of_freedom
from aiida_pet.engine.dynamics.random_numbers import key_of
from aiida_pet.engine.dynamics.velocities import maxwell_velocities
from aiida_pet.units import BOLTZMANN, FEMTOSECOND

FS = FEMTOSECOND


@dataclass
class Walk:
    """A batch on its way.

    :ivar bath: what the integrator remembers.
    :ivar evaluation: at the positions.
    """

    batch: Batch
    motion: Motion
    scene: Scene
    bath: Any = None
    evaluation: Evaluation | None = None

    def temperatures(self) -> torch.Tensor:
        return 2 * self.scene.kinetic(self.motion.velocities) / (self.scene.conditions.dof * BOLTZMANN)


def prepared(
    batch: Batch,
    *,
    temperature: float = 300.0,
    timestep: float = 1.0,
    pressure: float = 0.0,
    seed: int = 0,
    centred: bool = True,
    velocities: torch.Tensor | None = None,
) -> Walk:
    """Return ``batch`` with Maxwell's velocities; time step in fs, pressure in eV/A^3."""
    n_rows = len(batch)
    at_rest = torch.full((n_rows,), centred)
    kt = torch.full((n_rows,), temperature * BOLTZMANN, dtype=torch.float64)
    conditions = Conditions(
        masses=torch.as_tensor(ase.data.atomic_masses)[batch.numbers],
        keys=torch.tensor([key_of(f"row {row}", seed) for row in range(n_rows)]),
        dof=degrees_of_freedom(batch, None, at_rest, torch.zeros_like(at_rest)),
        centred=at_rest,
        timestep=torch.full_like(kt, timestep * FS),
        kt=kt,
        pressure=torch.full_like(kt, pressure),
    )
    scene = Scene(batch, conditions, None, torch.ones(n_rows, dtype=torch.bool))
    if velocities is None:
        velocities = maxwell_velocities(scene, kt)
    steps = torch.zeros(n_rows, dtype=torch.long)
    return Walk(batch, Motion(batch.positions, velocities, batch.cells, steps, torch.zeros_like(kt)), scene)


def walked(
    integrator: Any, evaluate: Callable[[Batch], Evaluation], walk: Walk, steps: int
) -> Iterator[Walk]:
    """Yield ``walk`` at its start and after each of ``steps``."""
    motion = walk.motion
    walk.evaluation = evaluate(walk.batch.moved(motion.positions, motion.cells))
    if walk.bath is None:
        walk.bath = integrator.start(walk.batch, walk.scene)
    yield walk
    for _ in range(steps):
        walk.bath = integrator.begin(motion, walk.bath, walk.evaluation, walk.scene)
        walk.evaluation = evaluate(walk.batch.moved(motion.positions, motion.cells))
        walk.bath = integrator.end(motion, walk.bath, walk.evaluation, walk.scene)
        yield walk
