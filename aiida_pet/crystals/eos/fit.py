"""The equation of state that is nearest to energies at volumes, by least squares.

That of Birch and Murnaghan is a cubic polynomial in V^(-2/3), so that its fit is solved, not searched for. That of
Vinet is searched for, from there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.job.choices import Equation
from aiida_pet.tables.arrays import Floats

FEWEST = 5
"""Volumes that a fit of four numbers needs at least, so that it leaves something to look at."""


@dataclass(frozen=True)
class EosFit:
    """A fitted equation of state.

    :ivar eos: the equation.
    :ivar residual: root mean square of what it leaves of the energies, eV.
    """

    eos: EquationOfState
    residual: float


def fit_eos(volumes: ArrayLike, energies: ArrayLike, equation: Equation = Equation.BIRCH_MURNAGHAN) -> EosFit:
    """Return the equation of state nearest to ``energies``.

    :param volumes: (N,), A^3, in any order.
    :param energies: (N,), eV.
    :raises ValueError: if there are fewer than five volumes, a number is not finite, two volumes are the same, or the
        energies have no minimum.
    """
    v, e = np.asarray(volumes, dtype=np.float64), np.asarray(energies, dtype=np.float64)
    if v.shape != e.shape or v.ndim != 1:
        raise ValueError(f"volumes and energies must have one shape (N,), got {v.shape} and {e.shape}")
    if len(v) < FEWEST:
        raise ValueError(f"an equation of state needs at least {FEWEST} volumes, got {len(v)}")
    if not (np.isfinite(v).all() and np.isfinite(e).all() and (v > 0).all()):
        raise ValueError("volumes must be positive and energies finite")
    if len(np.unique(v)) < len(v):
        raise ValueError("an equation of state needs volumes that differ from each other")
    eos = _birch_murnaghan(v, e)
    if equation is Equation.VINET:
        eos = _vinet(v, e, eos)
    left = eos.energies(v) - e
    return EosFit(eos, float(np.sqrt(np.mean(left**2))))


def _birch_murnaghan(volumes: Floats, energies: Floats) -> EquationOfState:
    """Return the cubic polynomial in x = V^(-2/3), by its minimum: E = E0 + a (x - x0)^2 + b (x - x0)^3.

    With x / x0 = 1 + 2 f that is E0 + 4 a x0^2 f^2 + 8 b x0^3 f^3, which is 9/2 B0 V0 f^2 (1 + (B0' - 4) f).
    """
    reference = energies.min()
    polynomial = Polynomial.fit(volumes ** (-2 / 3), energies - reference, 3)
    slope, curvature = polynomial.deriv(), polynomial.deriv(2)
    roots = [complex(root) for root in slope.roots()]
    minima = [
        root.real
        for root in roots
        if abs(root.imag) < 1e-12 * abs(root) and root.real > 0 and float(curvature(root.real)) > 0
    ]
    middle = float(np.mean(volumes ** (-2 / 3)))
    if not minima or curvature(middle) <= 0:
        low, high = volumes[[energies.argmin(), energies.argmax()]]
        raise ValueError(
            f"the energies have no minimum: the lowest is at {low:.4f} A^3, the highest at {high:.4f} A^3"
        )
    x0 = minima[0]
    a, b = float(curvature(x0)) / 2, float(polynomial.deriv(3)(x0)) / 6
    volume = x0 ** (-3 / 2)
    return EquationOfState(
        Equation.BIRCH_MURNAGHAN,
        energy=float(polynomial(x0) + reference),
        volume=float(volume),
        bulk_modulus=float(8 * a * x0**2 / (9 * volume)),
        derivative=float(4 + 2 * b * x0 / a),
    )


def _vinet(volumes: Floats, energies: Floats, start: EquationOfState) -> EquationOfState:
    """Return Vinet's equation, searched for from ``start`` in numbers of the order of one."""
    middle = float(volumes.mean())
    spread = max(float(np.ptp(energies)), 1e-12)
    unit = start.bulk_modulus

    def eos(numbers: Floats) -> EquationOfState:
        energy, volume, modulus, derivative = (float(number) for number in numbers)
        return EquationOfState(
            Equation.VINET, start.energy + energy * spread, volume * middle, modulus * unit, derivative
        )

    def left(numbers: Floats) -> Floats:
        difference: Floats = (eos(numbers).energies(volumes) - energies) / spread
        return difference

    found = least_squares(
        left,
        [0.0, start.volume / middle, 1.0, start.derivative],
        jac="3-point",
        method="lm",
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
    )
    result = eos(found.x)
    if not (result.volume > 0 and result.bulk_modulus > 0 and np.isfinite(found.x).all()):
        raise ValueError("the equation of Vinet does not fit the energies: use birch_murnaghan")
    return result
