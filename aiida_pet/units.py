"""Units and the order of tensor components, written down once."""

from __future__ import annotations

GPA = 160.21766208
"""GPa per eV/A^3, from CODATA 2014 as in :mod:`ase.units`."""
BOLTZMANN = 8.617330337217213e-05
"""eV/K, from the same."""
FEMTOSECOND = 0.09822694788464063
"""In A sqrt(u/eV), the unit of time that goes with A, eV and u, from the same."""
VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Components of a symmetric tensor in Voigt's order."""
VOIGT_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""The two axes of each component, in Voigt's order."""
VOIGT_PLACES = ((0, 5, 4), (5, 1, 3), (4, 3, 2))
"""Where each component of the tensor (3, 3) stands in Voigt's order."""
