"""One value of a table in as many digits as mean something: by its unit, and by what the column is.

Files and JSON carry all digits; this is for people only.
"""

from __future__ import annotations

import math
from typing import Any

from aiida_pet.words import cell, duration, plain

DECIMALS = {
    "eV": 3,
    "eV/atom": 4,
    "GPa": 1,
    "THz": 2,
    "A": 3,
    "A^3": 2,
    "A^3/atom": 3,
    "degrees": 1,
    "K": 0,
    "kJ/mol": 2,
    "J/(K mol)": 2,
}
"""Decimals of a number by its unit: 0.1 meV of an energy per atom, 0.1 GPa of a modulus."""
DIGITS = {"eV/A": 2, "eV/A^3": 2, "eV/A^2": 3}
"""Significant digits by unit, where the size of the number is what matters: forces and stresses that are left."""
OTHER_DIGITS = 4
"""Significant digits of a number whose unit is in neither table, or that has none."""
NOISE = 1e-9
"""Of the largest value of an array: what is smaller is a zero that rounding has touched."""
_LARGEST = 1e7
_DURATIONS = ("seconds", "wall_time", "_s")


def shown(value: Any, unit: str = "", name: str = "") -> str:
    """Return ``value`` as a table for people shows it.

    :param value: a number, a flag, a text, a list; None and NaN are missing.
    :param unit: unit of the column.
    :param name: name of the column, which tells times that are best said in minutes.

    >>> shown(0.0249123, "eV/atom"), shown(145.0911, "GPa"), shown(0.00120993, "eV/A"), shown(True), shown(None)
    ('0.0249', '145.1', '0.0012', 'yes', '-')
    """
    value = plain(value)
    if not isinstance(value, float):
        return cell(value)
    if unit == "s" and name.endswith(_DURATIONS) and value >= 60:
        return duration(value)
    decimals = DECIMALS.get(unit)
    if decimals is None or not _fits(value, decimals):
        return f"{value:.{DIGITS.get(unit, OTHER_DIGITS)}g}"
    # -0.0000 is 0.0000
    return f"{value + 0.0 if round(value, decimals) else 0.0:.{decimals}f}"


def largest_of(value: Any) -> float:
    """Return the largest absolute value in nested lists; 0.0 if there is no number."""
    if isinstance(value, list):
        return max(map(largest_of, value), default=0.0)
    return abs(float(value)) if isinstance(value, int | float) and math.isfinite(value) else 0.0


def shown_beside(value: Any, largest: float, unit: str = "") -> str:
    """Return one value of an array as :func:`shown` does, in the decimals of its largest one; noise beside it is 0.

    :param largest: largest absolute value of the array.

    >>> shown_beside(-0.0023, 1.2, "GPa"), shown_beside(1.7e-20, 1.5e-05, "eV/A^3")
    ('0.0', '0')
    """
    value = plain(value)
    if not isinstance(value, float) or value == 0:
        return shown(value, unit)
    decimals = DECIMALS.get(unit)
    if decimals is not None and _fits(largest, decimals) and not _fits(value, decimals):
        return f"{0.0:.{decimals}f}"
    return "0" if abs(value) < NOISE * largest else shown(value, unit)


def _fits(value: float, decimals: int) -> bool:
    """Return whether ``value`` says something in so many decimals: 1e-7 and 1e9 say more with a power of ten."""
    if value == 0 or abs(value) >= _LARGEST:
        return value == 0
    return math.isfinite(value) and abs(value) >= 0.5 * 10.0**-decimals
