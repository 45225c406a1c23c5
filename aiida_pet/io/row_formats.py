"""How rows of results are written, and what the name of a file tells of it. It imports nothing, so nobody waits for it.

Which of these formats are read, and how, is in :mod:`aiida_pet.io.formats`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class Format(StrEnum):
    """How rows are written; those from ``extxyz`` on need crystals."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    EXTXYZ = "extxyz"
    ASE_DATABASE = "ase-db"
    CIF = "cif"
    POSCAR = "poscar"
    PYMATGEN = "pymatgen"
    MATBENCH_DISCOVERY = "matbench-discovery"

    @property
    def of_crystals(self) -> bool:
        """Whether geometries are written beside the columns."""
        return self not in (Format.TABLE, Format.CSV, Format.JSON, Format.PARQUET)

    @property
    def for_files(self) -> bool:
        """Whether it cannot be printed."""
        return self.of_crystals or self is Format.PARQUET


SUFFIXES = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".parquet": Format.PARQUET,
    ".xyz": Format.EXTXYZ,
    ".extxyz": Format.EXTXYZ,
    ".db": Format.ASE_DATABASE,
    ".cif": Format.CIF,
    ".vasp": Format.POSCAR,
    ".poscar": Format.POSCAR,
    ".txt": Format.TABLE,
}
COMPRESSED = (".gz", ".bz2", ".xz")


def format_by_name(path: Path) -> Format:
    """Return the format that the name of a file tells, compressed or not.

    :raises ValueError: if it tells none; the message says what it may end with.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in SUFFIXES:
        raise ValueError(f"{path}: its name matches no format: expected {', '.join(SUFFIXES)}")
    return SUFFIXES[suffixes[-1]]
