"""Writes a table to a file of any format, row by row. No AiiDA.

What was written as extxyz, JSON or ASE database can be imported again under the same ids, with the same columns, units
and missing values; POSCAR and CIF keep ids and crystals, csv and parquet all but the crystals.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from aiida_pet.io.ase_db_writer import write_ase_database
from aiida_pet.io.cif_writer import block_name, is_writable, write_block
from aiida_pet.io.extxyz_writer import write_extxyz
from aiida_pet.io.frame_writers import write_csv, write_parquet
from aiida_pet.io.own_json import structure_dict, write_json
from aiida_pet.io.poscar_writer import reason_against, write_poscar
from aiida_pet.io.sources import COMPRESSION
from aiida_pet.io.whole_files import open_whole, whole_file
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.frame import frame_of
from aiida_pet.tables.table import Table

__all__ = ["ExportFormat", "format_of", "is_folder", "structure_dict", "write_table"]

logger = logging.getLogger(__name__)


class ExportFormat(StrEnum):
    """Formats that a table is written in."""

    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
    CIF = "cif"
    POSCAR = "poscar"
    ASE_DATABASE = "ase-db"


_SUFFIXES = {
    ".xyz": ExportFormat.EXTXYZ,
    ".extxyz": ExportFormat.EXTXYZ,
    ".csv": ExportFormat.CSV,
    ".parquet": ExportFormat.PARQUET,
    ".json": ExportFormat.JSON,
    ".cif": ExportFormat.CIF,
    ".vasp": ExportFormat.POSCAR,
    ".poscar": ExportFormat.POSCAR,
    ".db": ExportFormat.ASE_DATABASE,
}
# Names of files are cut to so many bytes; most file systems take 255, with the suffix and a number.
_NAME_BYTES = 200


def format_of(path: Path) -> ExportFormat:
    """Return the format that a name tells, after any of ``.gz .bz2 .xz``; without a suffix it is a folder of CIFs.

    :raises ValueError: if it tells none.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSION:
        suffixes.pop()
    if not suffixes:
        return ExportFormat.CIF
    if suffixes[-1] not in _SUFFIXES:
        raise ValueError(
            f"{path}: the name tells no format: expected {', '.join(_SUFFIXES)}, or a folder for cif; or name one of "
            f"{', '.join(ExportFormat)}"
        )
    return _SUFFIXES[suffixes[-1]]


def is_folder(path: Path, chosen: ExportFormat) -> bool:
    """Return whether ``path`` becomes a folder with a file per crystal."""
    return chosen in (ExportFormat.CIF, ExportFormat.POSCAR) and (path.is_dir() or not path.suffix)


def write_table(table: Table, path: str | Path, file_format: ExportFormat | str | None = None) -> list[str]:
    """Write ``table`` to ``path``, compressed if the name ends in ``.gz``, ``.bz2`` or ``.xz``.

    :param path: a file, written whole or not at all; for ``cif`` and ``poscar`` a name without a suffix is a folder,
        made if need be, with a file per crystal.
    :param file_format: instead of what the name tells.
    :return: ids of the rows that could not be written: with ``cif`` and ``poscar`` those without a finite cell of some
        volume, with ``poscar`` also those with atoms held in a way that it cannot say.
    :raises ValueError: if the format is unknown, or it needs crystals and the table has none.
    :raises MissingParquetError: if pyarrow is not there to write parquet.
    """
    path = Path(path)
    if file_format is not None and file_format not in list(ExportFormat):
        raise ValueError(f"unknown format {file_format!r}: expected {', '.join(ExportFormat)}")
    chosen = ExportFormat(file_format) if file_format is not None else format_of(path)
    if chosen is ExportFormat.CSV:
        write_csv(frame_of(table).reset_index(), path)
    elif chosen is ExportFormat.PARQUET:
        write_parquet(frame_of(table).reset_index(), path, table.units)
    elif chosen is ExportFormat.JSON:
        with open_whole(path) as handle:
            write_json(table, handle)
    elif not isinstance(table, StructureTable):
        raise ValueError(f"{chosen.value} needs crystals, but the table has none: use csv or json")
    elif chosen is ExportFormat.ASE_DATABASE:
        _write_database(table, path)
    elif chosen is ExportFormat.EXTXYZ:
        with open_whole(path) as handle:
            write_extxyz(table, handle)
    else:
        write = _write_folder if is_folder(path, chosen) else _write_collected
        return write(table, path, chosen)
    return []


def _write_folder(table: StructureTable, folder: Path, chosen: ExportFormat) -> list[str]:
    """Write a file per crystal, named by its id."""
    folder.mkdir(parents=True, exist_ok=True)
    suffix = ".cif" if chosen is ExportFormat.CIF else ".vasp"
    left_out, names = [], set[str]()
    for index, row_id in enumerate(table.ids.tolist()):
        if _is_left_out(table, index, chosen):
            left_out.append(row_id)
            continue
        base = name = _file_name(row_id)
        number = 2
        while name.lower() in names:  # some file systems do not tell a from A
            name, number = f"{base}_{number}", number + 1
        names.add(name.lower())
        with open_whole(folder / f"{name}{suffix}") as handle:
            _write_one(table, index, chosen, handle, set())
    return left_out


def _write_collected(table: StructureTable, path: Path, chosen: ExportFormat) -> list[str]:
    """Write all crystals into one file, one after the other."""
    left_out, names = [], set[str]()
    with open_whole(path) as handle:
        for index, row_id in enumerate(table.ids.tolist()):
            if _is_left_out(table, index, chosen):
                left_out.append(row_id)
            else:
                _write_one(table, index, chosen, handle, names)
    return left_out


def _is_left_out(table: StructureTable, index: int, chosen: ExportFormat) -> bool:
    if chosen is ExportFormat.POSCAR:
        reason = reason_against(table, index)
    else:
        reason = "" if is_writable(table, index) else "its cell is not finite or has no volume"
    if reason:
        logger.warning("%s is not written as %s: %s", table.ids[index], chosen.value, reason)
    return bool(reason)


def _write_one(
    table: StructureTable, index: int, chosen: ExportFormat, handle: TextIO, names: set[str]
) -> None:
    if chosen is ExportFormat.POSCAR:
        write_poscar(table, index, handle)
    else:
        write_block(table, index, block_name(str(table.ids[index]), names), handle)


def _file_name(row_id: str) -> str:
    """Return ``row_id`` as the name of a file: without separators or leading dots, and not too long."""
    name = re.sub(r"^\.|[^\w.+-]", "_", row_id)
    return name.encode()[:_NAME_BYTES].decode(errors="ignore") or "_"


def _write_database(table: StructureTable, path: Path) -> None:
    with whole_file(path) as part, tempfile.TemporaryDirectory(dir=path.absolute().parent) as folder:
        made = Path(folder) / "part.db"
        write_ase_database(table, made)
        if path.suffix.lower() not in COMPRESSION:
            made.replace(part)
            return
        with made.open("rb") as source, COMPRESSION[path.suffix.lower()](part, "xb") as target:
            shutil.copyfileobj(source, target)
