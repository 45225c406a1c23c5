"""The heat that each mode carries, its lifetime and its path, and their sums.

Units: frequencies THz, conductivities W/(m K), lifetimes ps, mean free paths A. Components are in Voigt's order xx, yy,
zz, yz, xz, xy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_pet.tables.arrays import Floats, Integers
from aiida_pet.units import VOIGT_PLACES

__all__ = ["ModeTable", "cumulative", "mode_totals", "tensors"]


@dataclass(frozen=True)
class ModeTable:
    """What each mode does; T temperatures, Q irreducible q-points, B bands.

    :ivar qpoints: (Q, 3) in the reciprocal basis of the primitive cell.
    :ivar weights: (Q,) number of points of the mesh that each stands for.
    :ivar frequencies: (Q, B), THz.
    :ivar kappa: (T, Q, B, 6), W/(m K); the conductivity is its sum over all modes, divided by the sum of ``weights``.
    :ivar lifetimes: (T, Q, B), ps; NaN for modes that do not scatter, as the acoustic ones at Gamma.
    :ivar mean_free_paths: (T, Q, B), A.
    """

    qpoints: Floats
    weights: Integers
    frequencies: Floats
    kappa: Floats
    lifetimes: Floats
    mean_free_paths: Floats


def tensors(components: Floats) -> Floats:
    """Return (..., 3, 3) of components (..., 6) in Voigt's order."""
    result: Floats = components[..., np.array(VOIGT_PLACES)]
    return result


def mode_totals(matrix: Floats, heat_capacities: Floats) -> Floats:
    """Return the heat that each mode carries, what it shares with others included: (T, Q, B, 6), W/(m K).

    A pair of modes s, s' carries heat together in Wigner's transport (Simoncelli, Marzari, Mauri, Nat. Phys. 15, 809
    (2019)); each gets the share c / (c + c') of it, by its heat capacity, as in the kappa_SRME benchmark. 0/0 is 0.

    :param matrix: (T, Q, B, B, 6), W/(m K), symmetric in the two bands.
    :param heat_capacities: (T, Q, B), eV/K.
    """
    own, others = heat_capacities[..., :, None], heat_capacities[..., None, :]
    total = own + others
    shares = np.divide(2 * own, total, out=np.zeros_like(total), where=total > 0)
    result: Floats = np.einsum("tqabx,tqab->tqax", matrix, shares)
    return result


def cumulative(values: Floats, kappa: Floats, weights: Integers, grid: Floats) -> Floats:
    """Return the mean conductivity (G,) that modes up to each value of ``grid`` carry, W/(m K).

    :param values: (Q, B) by which modes are sorted, such as frequencies; modes with NaN count from the start.
    :param kappa: (Q, B, 6) of the modes.
    :param weights: (Q,) of the q-points.
    :param grid: (G,) ascending.
    """
    means = kappa[..., :3].mean(axis=-1).ravel() / weights.sum()
    known = np.where(np.isnan(values), -np.inf, values).ravel()
    order = np.argsort(known)
    sums = np.concatenate([[0.0], np.cumsum(means[order])])
    result: Floats = sums[np.searchsorted(known[order], grid, side="right")]
    return result
