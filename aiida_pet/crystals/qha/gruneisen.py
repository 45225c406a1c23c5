"""Mode Grueneisen parameters, -d ln(frequency) / d ln(volume), by phonopy from force constants at three volumes.

The change of the dynamical matrix between the outer two is taken in the modes of the middle one (first-order
perturbation theory), so that modes need not be distinguished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.units import kB
from phonopy import Phonopy, PhonopyGruneisen
from phonopy.physical_units import get_physical_units

from aiida_pet.tables.arrays import Floats

_STILL = 1e-2  # THz; modes below, such as acoustic ones at Gamma, have no Grueneisen parameter


@dataclass(frozen=True)
class ModeGruneisen:
    """Mode Grueneisen parameters over a mesh of Q q-points; B = 3 P branches.

    :ivar q_points: (Q, 3), reciprocal basis of the primitive cell.
    :ivar weights: (Q,), adding up to the points of the mesh.
    :ivar frequencies: (Q, B), THz.
    :ivar gruneisen: (Q, B); NaN of modes below 0.01 THz.
    """

    q_points: Floats
    weights: Floats
    frequencies: Floats
    gruneisen: Floats

    def mean(self, temperature: float) -> float:
        """Return the mean, weighed by the heat capacities of the modes at ``temperature`` (K); NaN if there is none."""
        known = np.isfinite(self.gruneisen)
        quanta = np.where(known, self.frequencies, 1.0) * get_physical_units().THzToEv
        x = np.minimum(quanta / (kB * temperature), 300.0)
        capacity = x**2 * np.exp(x) / np.expm1(x) ** 2
        weights = np.where(known, self.weights[:, None] * capacity, 0.0)
        total = float(weights.sum())
        values = np.where(known, self.gruneisen, 0.0)
        return float((weights * values).sum()) / total if total else float("nan")


def mode_gruneisen(
    smaller: Phonopy, middle: Phonopy, larger: Phonopy, *, mesh: Sequence[int]
) -> ModeGruneisen:
    """Return the mode Grueneisen parameters of ``middle``.

    :param smaller: the crystal at a smaller volume, with force constants in the same supercell.
    :param larger: at a larger volume.
    :param mesh: three numbers of q-points.
    :raises ValueError: if one of them has no force constants.
    """
    both = PhonopyGruneisen(middle, larger, smaller)
    both.set_mesh(mesh, is_gamma_center=True)
    found = both.get_mesh()
    if found is None:
        raise ValueError("mode Grueneisen parameters need force constants at three volumes")
    q_points, weights, frequencies, _, gruneisen = found
    values = np.where(frequencies > _STILL, gruneisen, np.nan)
    return ModeGruneisen(np.asarray(q_points), np.asarray(weights, dtype=np.float64), frequencies, values)
