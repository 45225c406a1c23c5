"""A hull for each member of an ensemble: how sure a distance to the hull is.

Members err alike on alike crystals, and what they share cancels in a difference of energies: so the spread of the
distance is the spread over hulls of one member each, and not what the uncertainties of the energies add up to.
References whose members are not known are taken as sure.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def spread(
    above: Callable[[Floats, Floats], Floats],
    departures: tuple[Floats, Floats],
    threshold: float,
) -> dict[str, Floats]:
    """Return the columns ``e_above_hull_std`` (eV/atom) and ``p_stable`` of N rows, NaN without an answer.

    :param above: returns (N,) energies above the hull, given (N,) and (M,) changes of the energies of rows and
        references, eV/atom.
    :param departures: (N, K) of rows and (M, K) of references; if these have another K, they are taken as sure.
    :param threshold: eV/atom; up to this a row counts as stable.
    """
    of_rows, of_references = departures
    members = of_rows.shape[1]
    if of_references.shape[1] != members:
        of_references = np.zeros((len(of_references), members))
    found = np.stack([above(of_rows[:, k], of_references[:, k]) for k in range(members)])
    known = np.isfinite(found).all(axis=0)
    stable = (found <= threshold).mean(axis=0)
    return {
        "e_above_hull_std": np.where(known, found.std(axis=0, ddof=1 if members > 1 else 0), np.nan),
        "p_stable": np.where(known, stable, np.nan),
    }
