"""Levels of theory of a model with several outputs, in one line: ``PBE; r2scan: r2SCAN``.

The level without a name is that of the outputs without a variant (``energy``); ``NAME: LEVEL`` is the level of the
outputs of a variant (``energy/NAME``). Free of torch and AiiDA.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

_SEPARATOR = "; "
_OF_VARIANT = re.compile(r"([A-Za-z0-9_-]+): (.+)")


def levels_of(text: str) -> dict[str | None, str]:
    """Return variant -> level of theory of what a model says; None stands for the outputs without a variant.

    >>> levels_of("PBE (Materials Project); r2: r2SCAN")
    {None: 'PBE (Materials Project)', 'r2': 'r2SCAN'}
    """
    found: dict[str | None, str] = {}
    for part in filter(None, text.split(_SEPARATOR)):
        named = _OF_VARIANT.fullmatch(part)
        if named:
            found[named[1]] = named[2]
        else:  # a level may have a semicolon of its own
            found[None] = f"{found[None]}{_SEPARATOR}{part}" if None in found else part
    return found


def level_of(text: str, variant: str | None) -> str:
    """Return the level of theory of the outputs of ``variant``, empty if the model does not say it."""
    return levels_of(text).get(variant, "")


def level_of_energies(text: str, variant: str | None) -> str:
    """Return the level of theory of energies that a model computed with the outputs of ``variant``.

    A level of a model that names no variant is that of all its outputs.

    >>> level_of_energies("PBE; r2: r2SCAN", "r2")
    'r2SCAN'
    """
    levels = levels_of(text)
    return text if set(levels) <= {None} else levels.get(variant, "")


def levels_in_words(levels: Mapping[str | None, str]) -> str:
    """Return levels in one line, that of the outputs without a variant first.

    >>> levels_in_words({"r2": "r2SCAN", None: "PBE"})
    'PBE; r2: r2SCAN'
    """
    told = [] if not levels.get(None) else [levels[None]]
    told += [f"{variant}: {level}" for variant, level in levels.items() if variant is not None and level]
    return _SEPARATOR.join(told)


def variant_of(output: str) -> str | None:
    """Return the variant of an output: ``r2`` of ``energy/r2``, None of ``energy``."""
    return output.partition("/")[2] or None


def levels_of_outputs(text: str, outputs: Collection[str]) -> str:
    """Return ``text`` without the levels of variants of which no energy is among ``outputs``."""
    there = {variant_of(name) for name in outputs if name.partition("/")[0] == "energy"}
    return levels_in_words({variant: level for variant, level in levels_of(text).items() if variant in there})
