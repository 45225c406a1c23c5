"""The vacuum in a cell that is periodic in all directions: slabs and molecules in a box have one, crystals none."""

from __future__ import annotations

import numpy as np

from aiida_pet.tables.arrays import Floats

LARGEST_GAP = 7.0
"""A; a wider layer without atoms is vacuum: layers of crystals are no farther apart."""


def gap_of(cell: Floats, positions: Floats) -> float:
    """Return the widest layer parallel to two cell vectors that holds no atom's centre, A."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    fractions = np.sort(np.linalg.solve(cell.T, positions.T).T % 1.0, axis=0)
    steps = np.diff(np.concatenate([fractions, fractions[:1] + 1.0]), axis=0)
    return float((steps.max(axis=0) * heights).max())
