"""Levels of theory: whether energies of two sources may stand on one hull.

A level is what a model or table says of the calculations behind its energies, in words ("PBE, VASP"). Two levels are
the same if they name the same things, in whatever order, case and punctuation, or if one of them names nothing but the
functional of the other. Energies with corrections are another level than those without. Two models are never the same
level: only errors of the same model cancel on a hull.

Entries of databases say the level themselves, as a run type (``GGA+U``, ``R2SCAN``): :func:`functional_of` translates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations

import numpy as np

from aiida_pet.tables.table import Array


class MixedTheoryError(ValueError):
    """Raised when energies of different levels of theory, or of different models, would stand on one hull."""


@dataclass(frozen=True)
class Theory:
    """What is known of where energies come from.

    :ivar level: level of theory in words, empty if unknown.
    :ivar models: SHA-256 of each model that computed them; none for calculations without a model, or if unknown.
    :ivar neutral: whether there is nothing to correct, as of elements and alloys: such energies stand beside ones with
        and without corrections.
    """

    level: str = ""
    models: tuple[str, ...] = ()
    neutral: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        names = [f"model {model[:12]}" for model in self.models]
        return ", ".join([self.level or "unknown level", *names])


MATERIALS_PROJECT = "PBE (Materials Project)"
CORRECTED = "corrected"
# Run types of databases, without +U, and the functional that is meant.
_FUNCTIONALS = {
    "gga": "PBE",
    "pbe": "PBE",
    "pe": "PBE",
    "pbesol": "PBEsol",
    "ps": "PBEsol",
    "scan": "SCAN",
    "r2scan": "r2SCAN",
    "lda": "LDA",
    "hse": "HSE06",
    "hse06": "HSE06",
    "gga_gga": "PBE",
    "gga_gga+u_r2scan": "PBE and r2SCAN mixed",
}
_WITH_U = re.compile(r"[+_ -]u$", re.IGNORECASE)


def functional_of(run_type: str) -> str:
    """Return the functional that a run type names: ``PBE`` for ``GGA``, ``PBE+U`` for ``GGA_U``; unknown ones as given.

    The Materials Project's ``GGA_GGA+U`` is its mixture of both with corrections, and so ``PBE``.
    """
    text = run_type.strip()
    whole = _FUNCTIONALS.get(text.casefold())
    if whole is not None:
        return whole
    base = _WITH_U.sub("", text)
    name = _FUNCTIONALS.get(base.casefold(), base)
    return name if base == text or base.casefold() == "gga_gga" else f"{name}+U"


def same_level(first: str, second: str) -> bool:
    """Return whether two levels name the same things, or one of them nothing but the functional of the other."""
    ours, theirs = _things(first), _things(second)
    if (CORRECTED in ours) != (CORRECTED in theirs):
        return False
    ours, theirs = ours - {CORRECTED}, theirs - {CORRECTED}
    fewer, more = sorted((ours, theirs), key=len)
    return fewer == more or (fewer < more and len(fewer) == 1 and fewer == more & _NAMES)


def is_corrected(level: str) -> bool:
    """Return whether energies of ``level`` carry corrections."""
    return CORRECTED in _things(level)


def with_corrections(level: str) -> str:
    """Return ``level`` as that of energies with corrections."""
    return level if not level or is_corrected(level) else f"{level}, {CORRECTED}"


def without_corrections(level: str) -> str:
    """Return ``level`` as that of energies without corrections."""
    return level.removesuffix(f", {CORRECTED}")


def is_materials_project(level: str) -> bool:
    """Return whether ``level`` says that it is the Materials Project's PBE/PBE+U, corrected or not."""
    things = _things(level)
    theirs = {"materials", "project"} <= things or "mp" in things
    return theirs and bool(things & {"pbe", "pbe+u"}) and not things & (_NAMES - {"pbe"})


def contradicts(stated: str, functional: str) -> bool:
    """Return whether a level in words names functionals, and ``functional`` (with or without +U) is none of them."""
    named = {_WITH_U.sub("", thing) for thing in _things(stated)} & _NAMES
    return bool(named) and not named & _things(_WITH_U.sub("", functional))


_NAMES = frozenset(name.casefold() for name in _FUNCTIONALS.values() if " " not in name)


def _things(level: str) -> frozenset[str]:
    return frozenset(re.findall(r"[^\s,;:/()\[\]]+", level.casefold()))


class CorrectionKind(StrEnum):
    """Whether energies as calculated get the Materials Project's corrections of 2020.

    ``auto``: where energies that they compete with carry corrections. ``mp2020``: always. ``none``: never.
    """

    AUTO = "auto"
    MP2020 = "mp2020"
    NONE = "none"


def corrected_theory(theory: Theory) -> Theory:
    """Return ``theory`` as that of energies with corrections."""
    return replace(theory, level=with_corrections(theory.level))


def has_corrections(columns: Mapping[str, Array]) -> bool:
    """Return whether a table has corrections of its own: a column ``correction`` (eV per cell) that is not all zero."""
    if "correction" not in columns:
        return False
    return bool(np.nan_to_num(np.asarray(columns["correction"], dtype=np.float64)).any())


def to_correct(
    theories: Mapping[str, Theory], can_be: Sequence[str], kind: CorrectionKind | str, force: bool = False
) -> list[str]:
    """Return which sources get the Materials Project's corrections of 2020, so that all energies carry some.

    :param theories: by the name of their source.
    :param can_be: sources whose crystals are known; of others the file itself must have the corrections.
    :param kind: whether corrections are wanted.
    :param force: leave those as they are for which the corrections are not made.
    :raises MixedTheoryError: naming a source of another level than the Materials Project's, and why.
    """
    kind = CorrectionKind(kind)
    some = any(is_corrected(theory.level) for theory in theories.values())
    if kind is CorrectionKind.NONE or (kind is CorrectionKind.AUTO and not some):
        return []
    found = []
    for name in can_be:
        level = theories[name].level
        if theories[name].neutral or is_corrected(level) or (not level and kind is CorrectionKind.AUTO):
            continue  # whose level nobody knows is a warning
        if is_materials_project(level):
            found.append(name)
        elif not force:
            raise MixedTheoryError(
                f"{name} is {theories[name]}, whose energies have no corrections, but {_corrected_among(theories)}. "
                "The corrections of 2020 are fitted to the Materials Project's PBE and PBE+U, with its "
                f"pseudopotentials and values of U ({MATERIALS_PROJECT}), and not to {level or 'an unknown level'}. "
                "Compare with uncorrected energies of the same level"
            )
    return found


def _corrected_among(theories: Mapping[str, Theory]) -> str:
    corrected = [f"{name} is {theory}" for name, theory in theories.items() if is_corrected(theory.level)]
    return " and ".join(corrected) or "corrections are asked for"


def theory_in(columns: Mapping[str, Array]) -> Theory:
    """Return what the columns ``level_of_theory`` and ``model`` of a table say, nothing where they are missing.

    Without ``level_of_theory`` the level is that of ``run_type``, as entries of databases have it, and of
    ``correction``: the Materials Project's GGA and GGA+U are one level where energies carry its corrections.

    :raises MixedTheoryError: if rows are of different levels.
    """
    corrected = has_corrections(columns)
    if "level_of_theory" in columns:
        counts = Counter(columns["level_of_theory"].tolist())
    else:
        found = Counter(map(str, columns["run_type"].tolist())) if "run_type" in columns else Counter()
        counts = Counter()
        for run_type, count in found.items():
            name = functional_of(run_type)
            counts["PBE" if corrected and name == "PBE+U" else name] += count
    counts = Counter({level: count for level, count in counts.items() if level not in ("", "nan", "None")})
    levels = sorted(counts)
    if any(not same_level(levels[0], level) for level in levels):
        told = "; ".join(f"{level} ({counts[level]})" for level in levels)
        raise MixedTheoryError(f"the rows of one table have different levels of theory: {told}")
    models = (
        {name for text in columns["model"].tolist() for name in text.split()} if "model" in columns else ()
    )
    level = levels[0] if levels else ""
    return Theory(with_corrections(level) if corrected else level, tuple(sorted(models)))


def find_mixture(theories: Mapping[str, Theory]) -> str | None:
    """Return in words which of the sources by name must not be mixed, None if nothing speaks against it."""
    for name, theory in theories.items():
        if len(theory.models) > 1:
            return f"{name} holds energies of {len(theory.models)} models ({theory})"
    for (name, theory), (other_name, other) in combinations(theories.items(), 2):
        both = [theory.level, other.level]
        if theory.neutral or other.neutral:
            both = [without_corrections(level) for level in both]
        if all(both) and not same_level(*both):
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
        warnings.append(f"different levels of theory are mixed, since force_mixture is set: {mixture}")
    unknown = [name for name, theory in theories.items() if not theory.level]
    if unknown and len(theories) > 1:
        warnings.append(
            f"levels of theory were not compared, since they are not known for {', '.join(unknown)}"
        )
    return warnings
