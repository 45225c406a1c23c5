"""How equations of state compare with the equations of another model or code: Delta, epsilon and nu.

See :mod:`aiida_pet.crystals.eos.difference`. A row whose equation is missing is a failed row.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from aiida_pet.crystals.eos.difference import eos_difference
from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.job.choices import Equation
from aiida_pet.tables.arrays import Floats
from aiida_pet.units import GPA

NUMBERS = ("eos_volume", "eos_bulk_modulus", "eos_bulk_modulus_derivative")
"""Columns of an equation of state: A^3 of the cell, GPa, and no unit."""
UNITS = {"delta": "meV/atom"}


def eos_metrics(
    predicted: Mapping[str, ArrayLike], reference: Mapping[str, ArrayLike], n_atoms: ArrayLike
) -> dict[str, float]:
    """Return means over the rows; none if one of :data:`NUMBERS` is missing on a side.

    Both sides are taken for equations of Birch and Murnaghan, of which these are the numbers whichever was fitted.

    :param predicted: (N,) each; NaN for rows that failed.
    :param reference: the same, of cells of the same number of atoms.
    :param n_atoms: (N,) atoms of each cell.
    :return: ``delta`` (meV/atom), ``epsilon``, ``nu``, and ``failed``, the share of rows with a reference but without
        an equation.

    >>> tungsten = {"eos_volume": [16.2], "eos_bulk_modulus": [303.0], "eos_bulk_modulus_derivative": [4.2]}
    >>> stiffer = tungsten | {"eos_bulk_modulus": [310.0]}
    >>> found = eos_metrics(stiffer, tungsten, n_atoms=[1])
    >>> print(round(found["delta"], 2), "meV/atom")
    0.58 meV/atom
    """
    if any(name not in side for side in (predicted, reference) for name in NUMBERS):
        return {}
    ours, theirs = (_numbers(side) for side in (predicted, reference))
    known = _is_one(theirs)
    both = known & _is_one(ours)
    found = [eos_difference(_eos(ours[row]), _eos(theirs[row])) for row in np.flatnonzero(both)]
    nothing = float("nan")
    atoms = np.asarray(n_atoms, dtype=np.float64)[both]
    deltas = 1000 * np.array([one.delta for one in found]) / atoms
    return {
        "delta": float(deltas.mean()) if found else nothing,
        "epsilon": float(np.mean([one.epsilon for one in found])) if found else nothing,
        "nu": float(np.mean([one.nu for one in found])) if found else nothing,
        "failed": float((known & ~both).sum() / known.sum()) if known.any() else nothing,
    }


def _numbers(side: Mapping[str, ArrayLike]) -> Floats:
    return np.stack([np.asarray(side[name], dtype=np.float64) for name in NUMBERS], axis=1)


def _is_one(numbers: Floats) -> np.ndarray:
    return np.isfinite(numbers).all(axis=1) & (numbers[:, 0] > 0) & (numbers[:, 1] > 0)


def _eos(numbers: Floats) -> EquationOfState:
    volume, modulus, derivative = numbers.tolist()
    return EquationOfState(Equation.BIRCH_MURNAGHAN, 0.0, volume, modulus / GPA, derivative)
