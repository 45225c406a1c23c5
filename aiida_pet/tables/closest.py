"""Ids that somebody may have meant who wrote an id that does not exist. No AiiDA."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np

from aiida_pet.tables.table import Array

CLOSEST = 5
MOST_ALIKE = 2000
"""Ids that are compared letter by letter with one that is not there."""


def closest_to(row_id: str, ids: Array, most: int = CLOSEST) -> list[str]:
    """Return the ``ids`` (of (N,)) that are most like ``row_id``, the closest first.

    Of more than :data:`MOST_ALIKE` ids those beside it in the alphabet are compared.
    """
    if len(ids) > MOST_ALIKE:
        ids = np.sort(ids)
        place = int(np.searchsorted(ids, row_id))
        ids = ids[max(0, place - MOST_ALIKE // 2) : place + MOST_ALIKE // 2]
    return get_close_matches(row_id, [str(name) for name in ids.tolist()], n=most, cutoff=0.5)
