"""Whether the phonons of a crystal carry heat at all: a crystal with imaginary modes gets no conductivity.

The limits come from the kappa_SRME benchmark (Póta et al., arXiv:2408.00755): on the whole mesh no mode may be
imaginary, the acoustic ones at Gamma may be so by rounding.
"""

from __future__ import annotations

import numpy as np

from aiida_pet.tables.arrays import Floats

__all__ = ["why_imaginary"]

ACOUSTIC_LIMIT = -0.01
"""THz; the three lowest modes at Gamma may be as low as this."""


def why_imaginary(frequencies: Floats, qpoints: Floats) -> str | None:
    """Return which mode is imaginary, None if there is none.

    :param frequencies: (Q, B) of all points of a mesh, ascending at each, THz, imaginary ones negative; Gamma first.
    :param qpoints: (Q, 3) in the reciprocal basis of the primitive cell.
    """
    if np.isnan(frequencies).any():
        count = int(np.isnan(frequencies).sum())
        return f"{count} of {frequencies.size} frequencies on the mesh are not numbers"
    limits = np.zeros_like(frequencies)
    limits[0, :3] = ACOUSTIC_LIMIT
    below = frequencies < limits
    if not below.any():
        return None
    place = int(np.where(below, frequencies, np.inf).min(axis=1).argmin())
    q = ", ".join(f"{value:.4g}" for value in qpoints[place])
    lowest = float(frequencies[place].min())
    return (
        f"imaginary modes: {int(below.sum())} of {frequencies.size} on the mesh, the lowest {lowest:.4g} THz at q = "
        f"({q})"
    )
