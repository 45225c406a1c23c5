"""FIRE and L-BFGS over the generalised coordinates of a ragged batch, each row on its own.

An optimiser is what it remembers of each row, a state as :mod:`aiida_pet.engine.tasks.row_state` understands it: rows
leave, enter and go to files with it. Constants and semantics are ASE's (``ase.optimize.FIRE``,
``ase.optimize.LBFGS``), so that a row walks the path that ASE walks. FIRE: Bitzek et al., Phys. Rev. Lett. 97, 170201
(2006). L-BFGS: Nocedal & Wright, Numerical Optimization, Alg. 7.4; a pair of changes without positive curvature is
left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.tasks.cell_filter import Coordinates
from aiida_pet.job.parameters import Optimizer


@dataclass
class Fire:
    """FIRE with ASE's constants.

    :ivar velocity: velocity of the last step, in units of FIRE's time.
    :ivar dt: (N,) time step.
    :ivar a: (N,) share of the force's direction in the velocity.
    :ivar n_positive: (N,) int64, steps downhill in a row.
    :ivar started: (N,) bool, whether the row took a step.
    """

    velocity: Coordinates
    dt: Tensor
    a: Tensor
    n_positive: Tensor
    started: Tensor

    dt_start: ClassVar[float] = 0.1
    dt_max: ClassVar[float] = 1.0
    n_min: ClassVar[int] = 5
    f_inc: ClassVar[float] = 1.1
    f_dec: ClassVar[float] = 0.5
    a_start: ClassVar[float] = 0.1
    f_a: ClassVar[float] = 0.99

    @classmethod
    def start(cls, batch: Batch) -> Self:
        """Return the state of rows that have not taken a step."""
        ones = torch.ones(len(batch), dtype=torch.float64, device=batch.device)
        none = torch.zeros(len(batch), dtype=torch.long, device=batch.device)
        return cls(Coordinates.zeros(batch), cls.dt_start * ones, cls.a_start * ones, none, none.bool())

    def step(self, batch: Batch, x: Coordinates, forces: Coordinates, max_step: float) -> Coordinates:
        """Return the step (A) that each row takes from ``x`` under ``forces``.

        :param max_step: largest norm of a row's whole step, A, as in ASE.
        """
        velocity = self.velocity
        downhill = (forces.dot(velocity, batch) > 0.0) & self.started
        uphill = ~downhill & self.started
        speed = velocity.dot(velocity, batch).sqrt()
        norm = forces.dot(forces, batch).sqrt()
        mixed = velocity.scaled(1.0 - self.a, batch) + forces.scaled(
            self.a * speed / torch.where(norm > 0, norm, 1.0), batch
        )
        velocity = mixed.scaled(downhill.double(), batch)
        grow = downhill & (self.n_positive > self.n_min)
        self.dt = torch.where(grow, (self.dt * self.f_inc).clamp(max=self.dt_max), self.dt)
        self.dt = torch.where(uphill, self.dt * self.f_dec, self.dt)
        self.a = torch.where(grow, self.a * self.f_a, torch.where(uphill, self.a_start, self.a))
        self.n_positive = torch.where(downhill, self.n_positive + 1, 0)
        self.started = torch.ones_like(self.started)
        self.velocity = velocity + forces.scaled(self.dt, batch)
        step = self.velocity.scaled(self.dt, batch)
        length = step.dot(step, batch).sqrt()
        return step.scaled(torch.where(length > max_step, max_step / length, 1.0), batch)


@dataclass
class Lbfgs:
    """L-BFGS without line search, initial inverse Hessian 1/70 A^2/eV as in ASE.

    The history holds the changes over the last M steps, dimension 1 of its tensors, the newest last.

    :ivar x: coordinates before the last step.
    :ivar forces: there.
    :ivar moved: changes of the coordinates, (A, M, 3) and (N, M, 3, 3).
    :ivar changed: changes of the gradient, (A, M, 3) and (N, M, 3, 3).
    :ivar rho: (N, M), 1 / (moved . changed), zero for a pair that is left out.
    :ivar started: (N,) bool, whether the row took a step.
    """

    x: Coordinates
    forces: Coordinates
    moved: Coordinates
    changed: Coordinates
    rho: Tensor
    started: Tensor

    memory: ClassVar[int] = 20
    curvature: ClassVar[float] = 70.0

    @classmethod
    def start(cls, batch: Batch) -> Self:
        """Return the state of rows that have not taken a step."""
        zero = Coordinates.zeros(batch)
        history = Coordinates(
            zero.atoms[:, None].repeat(1, cls.memory, 1), zero.cell[:, None].repeat(1, cls.memory, 1, 1)
        )
        rho = torch.zeros((len(batch), cls.memory), dtype=torch.float64, device=batch.device)
        return cls(zero, zero, history, history, rho, torch.zeros_like(rho[:, 0], dtype=torch.bool))

    def step(self, batch: Batch, x: Coordinates, forces: Coordinates, max_step: float) -> Coordinates:
        """Return the step (A) that each row takes from ``x`` under ``forces``.

        :param max_step: largest move of an atom or lattice row, A.
        """
        self._remember(batch, x, forces)
        # the pairs before are left out of every row
        used = range(int((self.rho == 0).all(dim=0).long().cumprod(0).sum()), self.memory)
        q = Coordinates(-forces.atoms, -forces.cell)
        alphas = {}
        for k in reversed(used):
            alphas[k] = self.rho[:, k] * _pair(self.moved, k).dot(q, batch)
            q = q - _pair(self.changed, k).scaled(alphas[k], batch)
        step = Coordinates(q.atoms / self.curvature, q.cell / self.curvature)
        for k in used:
            beta = self.rho[:, k] * _pair(self.changed, k).dot(step, batch)
            step = step + _pair(self.moved, k).scaled(alphas[k] - beta, batch)
        step = Coordinates(-step.atoms, -step.cell)
        longest = step.longest(batch)
        return step.scaled(torch.where(longest >= max_step, max_step / longest, 1.0), batch)

    def _remember(self, batch: Batch, x: Coordinates, forces: Coordinates) -> None:
        moved, changed = x - self.x, self.forces - forces
        product = moved.dot(changed, batch)
        usable = self.started & (product > 1e-14)
        rho = torch.where(usable, 1.0 / torch.where(usable, product, 1.0), 0.0)
        self.moved, self.changed = _shifted(self.moved, moved), _shifted(self.changed, changed)
        self.rho = torch.cat([self.rho[:, 1:], rho[:, None]], dim=1)
        self.x, self.forces = x, forces
        self.started = torch.ones_like(self.started)


def _pair(history: Coordinates, k: int) -> Coordinates:
    return Coordinates(history.atoms[:, k], history.cell[:, k])


def _shifted(history: Coordinates, newest: Coordinates) -> Coordinates:
    return Coordinates(
        torch.cat([history.atoms[:, 1:], newest.atoms[:, None]], dim=1),
        torch.cat([history.cell[:, 1:], newest.cell[:, None]], dim=1),
    )


OPTIMIZERS: dict[Optimizer, type[Fire] | type[Lbfgs]] = {Optimizer.FIRE: Fire, Optimizer.LBFGS: Lbfgs}
