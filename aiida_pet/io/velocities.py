"""Velocities that files bring, as the column per atom that molecular dynamics begins with. No AiiDA.

ASE keeps momenta, in its own unit, sqrt(eV u). An array ``velocities`` is in A/fs, as trajectories are exported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import atomic_masses

from aiida_pet.io.left_out import LeftOut
from aiida_pet.job.dynamics_columns import VELOCITIES
from aiida_pet.tables.table import Array
from aiida_pet.units import FEMTOSECOND

MOMENTA, MASSES = "momenta", "masses"
NOTE = f"{VELOCITIES} are kept, in A/fs, and molecular dynamics begins with them"


def with_velocities(arrays: Mapping[str, Any], numbers: Array, left_out: LeftOut) -> dict[str, Any]:
    """Return ``arrays`` with :data:`VELOCITIES` (n_atoms, 3), A/fs, in place of momenta; without those that all vanish.

    Programs write zeros where nothing moves. What has another shape stays as it is.

    :param arrays: name -> array of each of the n atoms; ``masses`` (u) replace those of the elements.
    :param numbers: (n_atoms,) atomic numbers.
    :param left_out: is told that there are velocities.
    """
    found = dict(arrays)
    momenta = _vectors(found, MOMENTA, len(numbers))
    if momenta is not None and VELOCITIES not in found:
        masses = np.asarray(found.get(MASSES, atomic_masses[numbers]), dtype=np.float64)
        found.pop(MOMENTA)
        with np.errstate(divide="ignore", invalid="ignore"):
            found[VELOCITIES] = momenta / masses[:, None] * FEMTOSECOND
    velocities = _vectors(found, VELOCITIES, len(numbers))
    if velocities is None:
        return found
    if not velocities.any():
        del found[VELOCITIES]
        return found
    left_out.note(NOTE)
    return found


def _vectors(arrays: Mapping[str, Any], name: str, n_atoms: int) -> Array | None:
    if name not in arrays:
        return None
    found = np.asarray(arrays[name])
    return found.astype(np.float64) if found.shape == (n_atoms, 3) and found.dtype.kind in "iuf" else None
