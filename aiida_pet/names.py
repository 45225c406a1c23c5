"""Names that a user may choose from, for the command line and for what does the work.

It imports nothing but ``enum``, so that ``--help`` waits for nothing. Tasks are in :mod:`aiida_pet.job.tasks` and
stages in :mod:`aiida_pet.job.stages`, since other packages add to them; formats of files are in
:mod:`aiida_pet.io.formats`.
"""

from __future__ import annotations

from enum import StrEnum

PROTOCOL_FILES = (".yaml", ".yml")
"""How the name of a file ends that is a protocol of one's own."""


def values_of(names: type[StrEnum]) -> list[str]:
    """Return the names as plain text, in order."""
    return [name.value for name in names]


class StressUnit(StrEnum):
    """Units of stresses in files."""

    EV_PER_A3 = "eV/A^3"
    GPA = "GPa"
    KBAR = "kbar"


class Sign(StrEnum):
    """Sign of a stress or a virial in files."""

    PLUS = "plus"
    MINUS = "minus"


class RelaxMode(StrEnum):
    """How a screening relaxes."""

    FREE = "free"
    CONSTRAINED = "constrained"
    CONSTRAINED_THEN_FREE = "constrained_then_free"
