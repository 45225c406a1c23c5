"""FIRE and L-BFGS over the generalised coordinates of a ragged batch, each row on its own.

Constants and semantics are ASE's (``ase.optimize.FIRE``, ``ase.optimize.LBFGS``), so that a row walks the path that ASE
walks. FIRE: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006). L-BFGS: Nocedal & Wright, Numerical Optimization,
Alg. 7.4; a pair of changes without positive curvature is left out. A row's state leaves and enters with the row.
"""

from __future__ import annotations

from typing import Protocol

import torch

from aiida_pet.engine.batch import Batch, Tensor
from aiida_pet.engine.cellfilter import Coordinates
from aiida_pet.engine.parameters import Optimizer


class BatchOptimizer(Protocol):
    """What a relaxation asks of an optimiser; rows are those of the batch of the last call."""

    def step(self, batch: Batch, x: Coordinates, forces: Coordinates) -> Coordinates:
        """Return the step (A) that each row takes from ``x`` under ``forces``."""

    def keep(self, batch: Batch, rows: Tensor) -> None:
        """Forget all rows of ``batch`` but ``rows``."""

    def append(self, batch: Batch) -> None:
        """Add fresh rows behind those there are."""


def make_optimizer(kind: Optimizer, max_step: float, device: torch.device) -> BatchOptimizer:
    """Return an optimiser without rows."""
    return Fire(max_step, device) if kind is Optimizer.FIRE else Lbfgs(max_step, device)


class Fire:
    """FIRE with ASE's constants.

    :param max_step: largest norm of a row's whole step, A, as in ASE.
    """

    dt_start, dt_max, n_min, f_inc, f_dec, a_start, f_a = 0.1, 1.0, 5, 1.1, 0.5, 0.1, 0.99

    def __init__(self, max_step: float, device: torch.device) -> None:
        self.max_step = max_step
        self._velocity = Coordinates(_floats((0, 3), device), _floats((0, 3, 3), device))
        self._dt = _floats((0,), device)
        self._a = _floats((0,), device)
        self._n_positive = _floats((0,), device)
        self._started = torch.zeros(0, dtype=torch.bool, device=device)

    def step(self, batch: Batch, x: Coordinates, forces: Coordinates) -> Coordinates:
        """Return the step (A) that each row takes from ``x`` under ``forces``."""
        velocity = self._velocity
        downhill = (forces.dot(velocity, batch) > 0.0) & self._started
        uphill = ~downhill & self._started
        speed = velocity.dot(velocity, batch).sqrt()
        norm = forces.dot(forces, batch).sqrt()
        mixed = velocity.scaled(1.0 - self._a, batch) + forces.scaled(
            self._a * speed / torch.where(norm > 0, norm, 1.0), batch
        )
        velocity = mixed.scaled(downhill.double(), batch)
        grow = downhill & (self._n_positive > self.n_min)
        self._dt = torch.where(grow, (self._dt * self.f_inc).clamp(max=self.dt_max), self._dt)
        self._dt = torch.where(uphill, self._dt * self.f_dec, self._dt)
        self._a = torch.where(grow, self._a * self.f_a, torch.where(uphill, self.a_start, self._a))
        self._n_positive = torch.where(downhill, self._n_positive + 1, torch.zeros_like(self._n_positive))
        self._started = torch.ones_like(self._started)
        self._velocity = velocity + forces.scaled(self._dt, batch)
        step = self._velocity.scaled(self._dt, batch)
        length = step.dot(step, batch).sqrt()
        return step.scaled(torch.where(length > self.max_step, self.max_step / length, 1.0), batch)

    def keep(self, batch: Batch, rows: Tensor) -> None:
        """Forget all rows of ``batch`` but ``rows``."""
        atoms = batch.atoms_of(rows)
        self._velocity = Coordinates(self._velocity.atoms[atoms], self._velocity.cell[rows])
        self._dt, self._a = self._dt[rows], self._a[rows]
        self._n_positive, self._started = self._n_positive[rows], self._started[rows]

    def append(self, batch: Batch) -> None:
        """Add fresh rows behind those there are."""
        fresh = Coordinates.zeros(batch)
        self._velocity = _cat(self._velocity, fresh)
        ones = torch.ones(len(batch), dtype=torch.float64, device=batch.device)
        self._dt = torch.cat([self._dt, self.dt_start * ones])
        self._a = torch.cat([self._a, self.a_start * ones])
        self._n_positive = torch.cat([self._n_positive, 0.0 * ones])
        self._started = torch.cat([self._started, torch.zeros_like(ones, dtype=torch.bool)])


class Lbfgs:
    """L-BFGS without line search, initial inverse Hessian 1/70 A^2/eV as in ASE.

    :param max_step: largest move of an atom or lattice row, A.
    """

    memory, curvature = 20, 70.0

    def __init__(self, max_step: float, device: torch.device) -> None:
        self.max_step = max_step
        self._x = Coordinates(_floats((0, 3), device), _floats((0, 3, 3), device))
        self._forces = self._x
        self._started = torch.zeros(0, dtype=torch.bool, device=device)
        self._history: list[
            tuple[Coordinates, Coordinates, Tensor]
        ] = []  # (dx, dgradient, 1 / (dx . dgradient))

    def step(self, batch: Batch, x: Coordinates, forces: Coordinates) -> Coordinates:
        """Return the step (A) that each row takes from ``x`` under ``forces``."""
        if bool(self._started.any()):
            moved, changed = x - self._x, self._forces - forces
            product = moved.dot(changed, batch)
            usable = self._started & (product > 1e-14)
            rho = torch.where(usable, 1.0 / torch.where(usable, product, 1.0), 0.0)
            self._history = [*self._history[-(self.memory - 1) :], (moved, changed, rho)]
        self._x, self._forces = x, forces
        self._started = torch.ones_like(self._started)

        q = Coordinates(-forces.atoms, -forces.cell)
        alphas = []
        for moved, changed, rho in reversed(self._history):
            alpha = rho * moved.dot(q, batch)
            q = q - changed.scaled(alpha, batch)
            alphas.append(alpha)
        step = Coordinates(q.atoms / self.curvature, q.cell / self.curvature)
        for (moved, changed, rho), alpha in zip(self._history, reversed(alphas), strict=True):
            step = step + moved.scaled(alpha - rho * changed.dot(step, batch), batch)
        step = Coordinates(-step.atoms, -step.cell)
        longest = step.longest(batch)
        return step.scaled(torch.where(longest >= self.max_step, self.max_step / longest, 1.0), batch)

    def keep(self, batch: Batch, rows: Tensor) -> None:
        """Forget all rows of ``batch`` but ``rows``."""
        atoms = batch.atoms_of(rows)

        def kept(c: Coordinates) -> Coordinates:
            return Coordinates(c.atoms[atoms], c.cell[rows])

        self._x, self._forces, self._started = kept(self._x), kept(self._forces), self._started[rows]
        self._history = [(kept(moved), kept(changed), rho[rows]) for moved, changed, rho in self._history]
        while self._history and not bool(self._history[0][2].any()):
            self._history.pop(0)

    def append(self, batch: Batch) -> None:
        """Add fresh rows behind those there are."""
        fresh = Coordinates.zeros(batch)
        none = torch.zeros(len(batch), dtype=torch.float64, device=batch.device)
        self._x, self._forces = _cat(self._x, fresh), _cat(self._forces, fresh)
        self._started = torch.cat([self._started, none.bool()])
        self._history = [
            (_cat(moved, fresh), _cat(changed, fresh), torch.cat([rho, none]))
            for moved, changed, rho in self._history
        ]


def _floats(shape: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64, device=device)


def _cat(a: Coordinates, b: Coordinates) -> Coordinates:
    return Coordinates(torch.cat([a.atoms, b.atoms]), torch.cat([a.cell, b.cell]))
