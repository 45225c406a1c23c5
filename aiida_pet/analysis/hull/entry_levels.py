"""Levels of theory within one file of references: how they are read from each entry and distinguished.

GGA and GGA+U entries with corrections are one level, the Materials Project's mixing scheme; without corrections they
are two. Entries with corrections beside such as would need them are two levels as well. Entries that say nothing go
with whatever the others are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from aiida_pet.analysis.hull.levels_of_theory import (
    CORRECTED,
    MATERIALS_PROJECT,
    contradicts,
    functional_of,
    is_corrected,
    same_level,
    with_corrections,
    without_corrections,
)
from aiida_pet.analysis.hull.reference_entries import Phase, ReferenceFileError

_UNKNOWN = "unknown level"


class MixedLevelsError(ReferenceFileError):
    """Raised for a file with entries of several levels of theory.

    :ivar levels: names of the levels, any of which may be chosen.
    """

    def __init__(self, what: str, levels: Sequence[str]) -> None:
        self.what = what
        self.levels = list(levels)
        super().__init__(f"{what}. level={self.levels[0]!r} keeps the entries of this level")


def choose_level(
    phases: Sequence[Phase], name: str, *, level: str | None, stated: str, warnings: list[str]
) -> tuple[list[Phase], str]:
    """Return the phases that are of one level of theory, and what it is called, corrections included.

    :param name: name of the file, for messages.
    :param level: keep the entries of this level alone; None refuses a file of several.
    :param stated: what the user says the level is.
    :param warnings: what was left out is added to it.
    :raises MixedLevelsError: if there are several levels and none was chosen.
    :raises ReferenceFileError: if no entry is of the level that was chosen, or what is stated is not so.
    """
    levels = _levels_of(phases)
    counts = Counter(levels)
    if level is None and len(counts) > 1:
        raise MixedLevelsError(
            f"{name} holds entries of {len(counts)} levels of theory, which must not be mixed on one hull: "
            f"{_told(phases, levels)}",
            sorted(counts),
        )
    chosen = next(iter(counts)) if level is None else _find(level, sorted(counts))
    if chosen is None:
        raise ReferenceFileError(
            f"{name}: no entry has the level {level!r}; there are {_told(phases, levels)}"
        )
    kept = [
        phase for phase, one in zip(phases, levels, strict=True) if one == chosen or _goes_with(phase, chosen)
    ]
    if len(kept) < len(phases):
        others = [one for one in sorted(counts) if one != chosen]
        gone = len(phases) - len(kept)
        warnings.append(
            f"{name}: {len(kept)} of {len(phases)} entries have the level {chosen} and were kept; {gone} entries of "
            f"{', '.join(others)} were left out"
        )
    silent = sum(not phase.functional for phase in kept)
    if 0 < silent < len(kept) and not stated:
        warnings.append(
            f"{name}: {silent} of {len(kept)} entries do not say their level of theory and were taken as {chosen}"
        )
    return kept, _name(kept, chosen, name, stated)


def _name(kept: Sequence[Phase], chosen: str, name: str, stated: str) -> str:
    """Return what the level is called: in the user's words if there are any, else as the entries say."""
    corrected = is_corrected(chosen)
    functional = without_corrections(chosen)
    if stated:
        said = Counter(phase.functional for phase in kept if phase.functional)
        wrong = {one: count for one, count in said.items() if contradicts(stated, one)}
        if wrong:
            first = next(phase for phase in kept if phase.functional in wrong)
            raise ReferenceFileError(
                f"{name}: the level of theory is given as {stated!r}, but {sum(wrong.values())} of {len(kept)} entries "
                f"say {', '.join(wrong)}, for example {first.row_id or 'an entry without id'}"
            )
        return with_corrections(stated) if corrected else stated
    if functional == _UNKNOWN:
        return ""
    if functional == "PBE" and any(phase.scheme for phase in kept):
        functional = MATERIALS_PROJECT
    return with_corrections(functional) if corrected else functional


def _levels_of(phases: Sequence[Phase]) -> list[str]:
    """Return the level of each phase."""
    known = {_base(phase) for phase in phases} - {_UNKNOWN}
    whole = next(iter(known)) if len(known) == 1 else _UNKNOWN  # what entries go with that do not say

    def base(phase: Phase) -> str:
        found = _base(phase)
        return whole if found == _UNKNOWN else found

    corrected = {base(phase) for phase in phases if phase.corrected}
    with_u = {base(phase): phase.functional for phase in phases if phase.functional.endswith("+U")}
    plain = {base(phase) for phase in phases if phase.functional and not phase.functional.endswith("+U")}
    found = []
    for phase in phases:
        name = base(phase)
        if name in corrected and phase.corrected is not False:
            found.append(f"{name}, {CORRECTED}")
        elif phase.functional:
            found.append(phase.functional)
        else:  # as the others, were all of them with U
            found.append(with_u[name] if name in with_u and name not in plain else name)
    return found


def _base(phase: Phase) -> str:
    return phase.functional.removesuffix("+U") or _UNKNOWN


def _goes_with(phase: Phase, chosen: str) -> bool:
    """Whether a phase has nothing to correct, and so stands beside corrected and uncorrected ones."""
    return phase.corrected is None and chosen == phase.functional


def _find(level: str, found: Sequence[str]) -> str | None:
    """Return which of the levels is meant by ``level``, a name or a run type."""
    wanted = functional_of(level)
    for candidates in (
        [one for one in found if one.casefold() in (level.casefold(), wanted.casefold())],
        [one for one in found if same_level(one, wanted)],
        [one for one in found if same_level(without_corrections(one), wanted)],
    ):
        if candidates:
            return candidates[0]
    return None


def _told(phases: Sequence[Phase], levels: Sequence[str]) -> str:
    """Return how many entries are of each level, with an example of each."""
    examples: dict[str, Phase] = {}
    for phase, level in zip(phases, levels, strict=True):
        examples.setdefault(level, phase)
    counts = Counter(levels)
    return ", ".join(
        f"{level} ({counts[level]}, for example {examples[level].row_id or 'an entry without id'})"
        for level in sorted(counts)
    )
