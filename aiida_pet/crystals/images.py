"""How near the periodic images of an atom are."""

from __future__ import annotations

import numpy as np
from ase.geometry import minkowski_reduce

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array


def image_distances(table: StructureTable) -> Array:
    """Return the (N,) distances of an atom of each crystal to its nearest own image, A; infinite of molecules."""
    return np.array([_nearest(cell, pbc) for cell, pbc in zip(table.cells, table.pbc, strict=True)])


def _nearest(cell: Array, pbc: Array) -> float:
    if not pbc.any():
        return float("inf")
    reduced, _ = minkowski_reduce(cell, pbc=pbc)
    return float(np.linalg.norm(reduced[pbc], axis=1).min())
