"""A crystal at other volumes: all lengths scaled alike, what moves within it as before."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable


def volume_ratios(count: int, strain: float) -> Floats:
    """Return ``count`` volumes divided by the volume of the crystal, (V,), in ascending order.

    :param strain: strain of the lengths at both ends, to which the lengths between are evenly spaced.
    :raises ValueError: if there are fewer than two, or the strain is not between 0 and 1.
    """
    if count < 2:
        raise ValueError(f"count = {count}: expected two volumes or more")
    if not 0 < strain < 1:
        raise ValueError(f"strain = {strain}: expected a number between 0 and 1")
    ratios: Floats = np.linspace(1 - strain, 1 + strain, count) ** 3
    return ratios


def at_volumes(crystal: StructureTable, ratios: ArrayLike) -> StructureTable:
    """Return ``crystal``, a table of one row, at ``ratios`` (V,) times its own volume, as rows "0", "1" and so on."""
    scales = np.cbrt(np.asarray(ratios, dtype=np.float64))[:, None, None]
    count, n_atoms = len(scales), len(crystal.numbers)
    return StructureTable(
        ids=np.arange(count).astype(str),
        numbers=np.tile(crystal.numbers, count),
        positions=(crystal.positions * scales).reshape(-1, 3),
        cells=crystal.cells[0] * scales,
        pbc=np.tile(crystal.pbc, (count, 1)),
        offsets=np.arange(count + 1) * n_atoms,
    )
