"""Space groups by their symbols, and a group that changed as ``Pm-3m > P4/mmm``."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from aiida_pet.words import plain

_GROUP = re.compile(r"(?:\w+_)?spacegroup(?:_[\d_e]+)?")
BEFORE = "initial_"
"""Prefix of the column that has the group before the relaxation."""


def is_group(name: str) -> bool:
    """Return whether column ``name`` holds numbers of space groups."""
    return _GROUP.fullmatch(name) is not None


@cache
def symbol_of(number: int) -> str:
    """Return the short Hermann-Mauguin symbol of space group ``number``: ``Im-3m``.

    :raises ValueError: if there is no such group.

    >>> symbol_of(229), symbol_of(166), symbol_of(14)
    ('Im-3m', 'R-3m', 'P2_1/c')
    """
    import moyopy  # noqa: PLC0415 - only where there are groups to print

    if not 1 <= number <= 230:
        raise ValueError(f"there is no space group {number}: expected 1 to 230")
    return str(moyopy.SpaceGroupType(number).hm_short).replace(" ", "")


def group_text(value: Any) -> str:
    """Return the symbol of a group by its number; ``-`` where no group was found (0) or it is missing."""
    number = _number(value)
    return "-" if number is None else symbol_of(number)


def change_text(before: Any, after: Any) -> str:
    """Return the symbol, or ``Pm-3m > P1`` where the group changed.

    :param before: number of the group as it was given, None if it is not known.
    :param after: number of the group that was found afterwards.

    >>> change_text(221, 221), change_text(221, 1), change_text(None, 225)
    ('Pm-3m', 'Pm-3m > P1', 'Fm-3m')
    """
    old, new = _number(before), _number(after)
    if old is None or old == new:
        return group_text(new)
    return f"{group_text(old)} > {group_text(new)}"


def _number(value: Any) -> int | None:
    """Return the number of a group, None for what is none: missing, 0, or a text of another kind."""
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 1 <= value <= 230 else None
