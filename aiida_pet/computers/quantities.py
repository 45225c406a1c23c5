"""Times and amounts of memory as people write them: ``2h``, ``01:30:00``, ``64GB``."""

from __future__ import annotations

import re
from typing import Any

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CLOCK = re.compile(r"([0-9]{1,5}):([0-5][0-9]):([0-5][0-9])")
_DURATION = re.compile(r"(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s?)?")

# Schedulers count in powers of 1024 under either name.
_UNITS_KIB = {"K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}
_MEMORY = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([KMGT])I?B?")
LEAST_MEMORY_KIB = 1024


def parse_duration(value: Any) -> int:
    """Return a time in seconds.

    :param value: seconds, or ``3600`` (seconds), ``45m``, ``2h``, ``1h30m``, ``1d`` or ``HH:MM:SS``.
    :raises ValueError: if it is not such a time, or not positive.
    """
    problem = f"{value!r} is not a time such as 3600 (seconds), 45m, 2h, 1h30m or 01:30:00"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(problem)
    text = str(value).strip().lower()
    clock = _CLOCK.fullmatch(text)
    if clock:
        hours, minutes, seconds = map(int, clock.groups())
        total = hours * 3600 + minutes * 60 + seconds
    else:
        match = _DURATION.fullmatch(text)
        parts = match.groups() if match else (None,) * 4
        total = sum(
            int(number) * _UNITS_S[unit] for number, unit in zip(parts, "dhms", strict=True) if number
        )
    if total <= 0:
        raise ValueError(problem)
    return total


def parse_memory(value: Any) -> int:
    """Return an amount of memory in KiB.

    :param value: a number with a unit, ``64GB``, ``64G`` or ``1.5TB``; units are powers of 1024.
    :raises ValueError: if it is not such an amount, or less than 1 MB.
    """
    match = _MEMORY.fullmatch(value.strip().upper()) if isinstance(value, str) else None
    amount = round(float(match[1]) * _UNITS_KIB[match[2]]) if match else 0
    if amount < LEAST_MEMORY_KIB:
        raise ValueError(
            f"{value!r} is not an amount of memory such as 64GB or 512MB (a number and a unit, 1MB at least)"
        )
    return amount
