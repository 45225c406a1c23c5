"""How two equations of state of one crystal differ: Delta, epsilon and nu.

Energies count from the minimum of each, over volumes within 6 % of the mean of both minima. Delta is the root of the
mean squared difference (K. Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1 (2014)). epsilon and nu are
defined by E. Bosoni et al., Nat. Rev. Phys. 6, 45 (2024): epsilon is that difference over how much the two vary, with
both at their mean; nu weighs relative differences of volume, bulk modulus (1/20) and its derivative (1/400), in per
cent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_pet.crystals.eos.equations import EquationOfState

WIDTH = 0.06
_WEIGHTS = (1.0, 1 / 20, 1 / 400)
_POINTS = 40  # of Gauss and Legendre's quadrature: smooth functions, exact to rounding


@dataclass(frozen=True)
class EosDifference:
    """How two equations of state differ.

    :ivar delta: eV, of the cell that the equations are of.
    :ivar epsilon: no unit.
    :ivar nu: no unit.
    """

    delta: float
    epsilon: float
    nu: float


def eos_difference(one: EquationOfState, other: EquationOfState, width: float = WIDTH) -> EosDifference:
    """Return how two equations of state differ; both must be of cells of the same number of atoms.

    :param width: share of the mean volume to either side of it over which is integrated.
    :raises ValueError: if ``width`` is not between 0 and 1.
    """
    if not 0 < width < 1:
        raise ValueError(f"width = {width}: expected a number between 0 and 1")
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    volumes = (one.volume + other.volume) / 2 * (1 + width * nodes)
    weights = weights / 2
    ours, theirs = (eos.energies(volumes) - eos.energy for eos in (one, other))
    delta = np.sqrt(weights @ (ours - theirs) ** 2)
    ours, theirs = ours - weights @ ours, theirs - weights @ theirs
    spread = np.sqrt((weights @ ours**2) * (weights @ theirs**2))
    relative = [
        weight * 2 * (a - b) / (a + b)
        for weight, a, b in zip(
            _WEIGHTS,
            (one.volume, one.bulk_modulus, one.derivative),
            (other.volume, other.bulk_modulus, other.derivative),
            strict=True,
        )
    ]
    return EosDifference(
        delta=float(delta),
        epsilon=float(np.sqrt(weights @ (ours - theirs) ** 2 / spread)),
        nu=100 * float(np.linalg.norm(relative)),
    )
