"""Which rows to compute anew: rows of which a model is least sure and which differ from each other.

Candidates are the rows with the largest figure. The first of these candidates is taken, then again and again the
candidate that is farthest from all that were taken (farthest-point sampling), by features of the model where there are
any, else by composition and volume per atom: so that fifty calculations are not fifty times the same crystal.
"""

from __future__ import annotations

import numpy as np

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array

POOL = 5
"""Candidates for each row that is taken."""


def select_diverse(figure: Array, descriptors: Array, count: int, pool: int = POOL) -> Array:
    """Return the places of ``count`` rows, the largest figure first and then in the order in which they were taken.

    :param figure: (N,) by which rows are wanted, such as the uncertainty per atom; NaN is never taken.
    :param descriptors: (N, D) in which rows are near or far.
    :param pool: candidates for each row that is taken; 1 takes the largest figures.
    """
    order = np.argsort(-np.nan_to_num(figure, nan=-np.inf), kind="stable")
    candidates = order[np.isfinite(figure[order])][: pool * count]
    if len(candidates) <= count:
        return candidates
    points = descriptors[candidates]
    taken = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(taken) < count:
        distance[taken] = -1.0
        place = int(np.argmax(distance))  # of equal distances the one with the larger figure
        taken.append(place)
        distance = np.minimum(distance, np.linalg.norm(points - points[place], axis=1))
    return candidates[taken]


def descriptors_of(table: StructureTable, features: Array | None = None) -> Array:
    """Return (N, D) of ``table``: features per atom, scaled to a spread of one; else composition and volume per atom.

    :param features: (N, F) sums over the atoms of each row.
    """
    sizes = np.maximum(np.diff(table.offsets), 1)
    if features is not None:
        values = features / sizes[:, None]
        known = np.isfinite(values).all(axis=1)
        spread = values[known].std(axis=0) if known.any() else np.ones(values.shape[1])
        return np.nan_to_num(values / np.where(spread > 0, spread, 1.0))
    species, inverse = np.unique(table.numbers, return_inverse=True)
    owner = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    shares = np.zeros((len(table), len(species)))
    np.add.at(shares, (owner, inverse), 1.0)
    volumes = np.abs(np.linalg.det(table.cells)) / sizes
    scale = 0.5 / (float(volumes.std()) or 1.0)
    return np.column_stack([shares / sizes[:, None], scale * (volumes - volumes.mean())])
