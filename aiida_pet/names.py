"""Names that a user may choose from, for the command line and for what does the work.

It imports nothing but ``enum``, so that ``--help`` waits for nothing. Tasks are in :mod:`aiida_pet.job.tasks` and
stages in :mod:`aiida_pet.job.stages`, since other packages add to them.
"""

from __future__ import annotations

from enum import StrEnum


def values_of(names: type[StrEnum]) -> list[str]:
    """Return the names as plain text, in order."""
    return [name.value for name in names]


class FileFormat(StrEnum):
    """Formats that crystals are read from."""

    EXTXYZ = "extxyz"
    CIF = "cif"
    POSCAR = "poscar"
    ASE_DATABASE = "ase-db"
    JSON = "json"
    JSON_LINES = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class ExportFormat(StrEnum):
    """Formats that a table is written in."""

    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
    CIF = "cif"
    POSCAR = "poscar"
    ASE_DATABASE = "ase-db"


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
