"""Writes a table to a file of any format, row by row. No AiiDA.

What was written as extxyz, JSON or ASE database can be imported again under the same ids, with the same columns, units
and missing values; POSCAR and CIF keep ids and crystals, csv and parquet all but the crystals.
"""

from __future__ import annotations

from pathlib import Path

from aiida_pet.io import formats
from aiida_pet.io.format_writers import NothingWrittenError, becomes_folder
from aiida_pet.io.formats import Format, format_named, writable
from aiida_pet.io.own_json import structure_dict
from aiida_pet.io.sources import COMPRESSION
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table

__all__ = ["NothingWrittenError", "format_of", "is_folder", "structure_dict", "write_table"]

OF_FOLDERS = "cif"
"""What a name without a suffix means."""


def format_of(path: Path) -> Format:
    """Return the format that a name tells, after any of ``.gz .bz2 .xz``; without a suffix it is a folder of CIFs.

    :raises ValueError: if it tells none.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSION:
        suffixes.pop()
    if not suffixes:
        return format_named(OF_FOLDERS, to_write=True)
    known = {suffix: one for one in formats.FORMATS for suffix in one.written}
    if suffixes[-1] not in known:
        raise ValueError(
            f"{path}: the name matches no format: expected {', '.join(known)}, or a folder for {OF_FOLDERS}; or name "
            f"one of {', '.join(writable())}"
        )
    return known[suffixes[-1]]


def is_folder(path: Path, chosen: Format) -> bool:
    """Return whether ``path`` becomes a folder with a file per crystal."""
    return chosen.one_each and becomes_folder(path)


def write_table(table: Table, path: str | Path, file_format: str | None = None) -> list[str]:
    """Write ``table`` to ``path``, compressed if the name ends in ``.gz``, ``.bz2`` or ``.xz``.

    :param path: a file, written whole or not at all; for ``cif`` and ``poscar`` a name without a suffix is a folder,
        made if need be, with a file per crystal.
    :param file_format: name of the format; None takes the format that the name of the file says.
    :return: ids of the rows that could not be written: with ``cif`` and ``poscar`` those without a finite cell of some
        volume, with ``poscar`` also those with atoms that are held in a way that a POSCAR cannot express.
    :raises ValueError: if the format is unknown, or it needs crystals and the table has none.
    :raises NothingWrittenError: if the format can hold none of the rows.
    :raises MissingParquetError: if pyarrow, which writes parquet, is not installed.

    >>> import tempfile
    >>> from ase.build import bulk
    >>> from aiida_pet.io.from_python import table_of_crystals
    >>> path = Path(tempfile.mkdtemp()) / "metals.xyz"
    >>> write_table(table_of_crystals({"W": bulk("W"), "Mo": bulk("Mo")}), path)  # nothing was left out
    []
    >>> path.read_text().splitlines()[0]
    '1'
    """
    path = Path(path)
    chosen = format_of(path) if file_format is None else format_named(file_format, to_write=True)
    if chosen.needs_crystals and not isinstance(table, StructureTable):
        raise ValueError(f"{chosen.name} needs crystals, but the table has none: use csv or json")
    return chosen.write(table, path)
