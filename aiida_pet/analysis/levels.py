"""Levels of theory: whether energies of two sources may stand on one hull.

A level is what a model or table says of the calculations behind its energies, in words ("PBE, VASP"). Two levels are
the same if they name the same things, in whatever order, case and punctuation. Two models are never the same level: the
errors that cancel on a hull are those of one model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from aiida_pet.engine.table import Array


class MixedTheoryError(ValueError):
    """Raised when energies of different levels of theory, or of different models, would stand on one hull."""


@dataclass(frozen=True)
class Theory:
    """What is known of where energies come from.

    :ivar level: level of theory in words, empty if unknown.
    :ivar models: SHA-256 of each model that computed them; none for calculations without a model, or if unknown.
    """

    level: str = ""
    models: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = [f"model {model[:12]}" for model in self.models]
        return ", ".join([self.level or "unknown level", *names])


def same_level(first: str, second: str) -> bool:
    """Return whether two levels name the same things."""
    return _things(first) == _things(second)


def _things(level: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\s,;:/()\[\]]+", level.casefold()))


def theory_in(columns: Mapping[str, Array]) -> Theory:
    """Return what the columns ``level_of_theory`` and ``model`` of a table say, nothing where they are missing.

    :raises MixedTheoryError: if rows are of different levels.
    """
    levels = sorted(set(columns["level_of_theory"].tolist()) - {""}) if "level_of_theory" in columns else []
    if any(not same_level(levels[0], level) for level in levels):
        raise MixedTheoryError(f"rows of one table are of different levels of theory: {'; '.join(levels)}")
    models = (
        {name for text in columns["model"].tolist() for name in text.split()} if "model" in columns else ()
    )
    return Theory(levels[0] if levels else "", tuple(sorted(models)))


def find_mixture(theories: Mapping[str, Theory]) -> str | None:
    """Return in words which of the sources by name must not be mixed, None if nothing speaks against it."""
    for name, theory in theories.items():
        if len(theory.models) > 1:
            return f"{name} holds energies of {len(theory.models)} models ({theory})"
    for (name, theory), (other_name, other) in combinations(theories.items(), 2):
        if theory.level and other.level and not same_level(theory.level, other.level):
            return f"{name} is {theory}, but {other_name} is {other}"
        if theory.models and other.models and theory.models != other.models:
            return f"{name} is of {theory}, but {other_name} is of {other}"
    return None


def check_theories(theories: Mapping[str, Theory], force: bool = False) -> list[str]:
    """Return warnings about sources whose level is unknown, or which are mixed although they differ.

    :param theories: by the name of their source.
    :param force: mix nevertheless.
    :raises MixedTheoryError: naming two sources and their levels, if they differ and ``force`` is False.
    """
    warnings = []
    mixture = find_mixture(theories)
    if mixture is not None:
        if not force:
            raise MixedTheoryError(
                f"two levels of theory on one hull: {mixture}. Compute the references with the same model and "
                "settings, or force the mixture"
            )
        warnings.append(f"levels of theory are mixed, as was forced: {mixture}")
    unknown = [name for name, theory in theories.items() if not theory.level]
    if unknown and len(theories) > 1:
        warnings.append(f"level of theory unknown, not compared: {', '.join(unknown)}")
    return warnings
