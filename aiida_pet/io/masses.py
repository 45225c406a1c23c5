"""Masses that crystals bring, which no set keeps: phonons and dynamics use those of the natural elements. No AiiDA."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from aiida_pet.tables.table import Array

MASSES_NOTE = "masses are not kept: phonons and dynamics use those of the natural elements"
_ALIKE = 2e-3  # tables of natural masses differ by less, and a pure isotope by more where it counts


def are_natural(masses: Sequence[float] | Array, numbers: NDArray[np.integer]) -> bool:
    """Return whether ``masses`` (A,), u, are those of the natural elements ``numbers`` (A,), or are no numbers.

    >>> are_natural([28.0855, 6.015], np.array([14, 3]))
    False
    """
    given = np.asarray(masses, dtype=np.float64)
    known = atomic_masses[numbers]
    return not bool((np.abs(given - known) > _ALIKE * known).any())
