"""Element symbols as files write them."""

from __future__ import annotations

from ase.data import atomic_numbers

ISOTOPES = {"D": 1, "T": 1}
"""Symbols of isotopes and the element they are of."""

ISOTOPE_NOTE = "deuterium or tritium was read as hydrogen"
"""What a summary says of crystals that hold isotopes."""

_NUMBERS = {symbol: number for symbol, number in atomic_numbers.items() if 0 < number <= 118}


def atomic_number(symbol: str) -> int:
    """Return the atomic number of ``symbol``, written in any case; deuterium and tritium are hydrogen.

    :raises ValueError: naming the symbol, if it is of no element.
    """
    name = symbol.capitalize()
    number = _NUMBERS.get(name) or ISOTOPES.get(name)
    if number is None:
        raise ValueError(f"got {symbol!r}: expected an element symbol")
    return number
