"""How a table is written to a file of each format; each returns the ids of rows that the format cannot hold."""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from aiida_pet.io.ase_db_writer import write_ase_database
from aiida_pet.io.chemiscope_writer import write_chemiscope
from aiida_pet.io.cif_writer import block_name, is_writable, write_block
from aiida_pet.io.extxyz_writer import write_extxyz
from aiida_pet.io.frame_writers import write_csv, write_parquet
from aiida_pet.io.own_json import write_json
from aiida_pet.io.poscar_writer import reason_against, write_poscar
from aiida_pet.io.sources import COMPRESSION
from aiida_pet.io.whole_files import open_whole, whole_file
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.frame import frame_of
from aiida_pet.tables.table import Table

logger = logging.getLogger(__name__)

# Names of files are cut to so many bytes; most file systems take 255, with the suffix and a number.
_NAME_BYTES = 200


class NothingWrittenError(ValueError):
    """Raised if a format cannot hold any of the rows; nothing is written then.

    :ivar file_format: name of the format.
    :ivar n_rows: number of rows.
    :ivar reason: why the first of them cannot be written.
    """

    def __init__(self, file_format: str, n_rows: int, row_id: str, reason: str) -> None:
        super().__init__(
            f"nothing was written: {file_format} cannot hold {'the row' if n_rows == 1 else f'any of {n_rows:,} rows'} "
            f"({row_id}: {reason})"
        )
        self.file_format = file_format
        self.n_rows = n_rows
        self.reason = reason


ReasonAgainst = Callable[[StructureTable, int], str]
WriteOne = Callable[[StructureTable, int, TextIO, set[str]], None]
"""Writes the crystal of a row; the names that stand in the file already are in the set."""


def csv(table: Table, path: Path) -> list[str]:
    """Write all but the crystals as csv."""
    write_csv(frame_of(table).reset_index(), path)
    return []


def parquet(table: Table, path: Path) -> list[str]:
    """Write all but the crystals as parquet.

    :raises MissingParquetError: if pyarrow is not there.
    """
    write_parquet(frame_of(table).reset_index(), path, table.units)
    return []


def chemiscope(table: StructureTable, path: Path) -> list[str]:
    """Write crystals and the columns with one value per row for chemiscope.

    :raises MissingChemiscopeError: if chemiscope is not there.
    """
    write_chemiscope(table, path)
    return []


def json(table: Table, path: Path) -> list[str]:
    """Write everything as JSON."""
    with open_whole(path) as handle:
        write_json(table, handle)
    return []


def extxyz(table: StructureTable, path: Path) -> list[str]:
    """Write everything as extxyz."""
    with open_whole(path) as handle:
        write_extxyz(table, handle)
    return []


def ase_database(table: StructureTable, path: Path) -> list[str]:
    """Write everything as an ASE database."""
    with whole_file(path) as part, tempfile.TemporaryDirectory(dir=path.absolute().parent) as folder:
        made = Path(folder) / "part.db"
        write_ase_database(table, made)
        if path.suffix.lower() not in COMPRESSION:
            made.replace(part)
            return []
        with made.open("rb") as source, COMPRESSION[path.suffix.lower()](part, "xb") as target:
            shutil.copyfileobj(source, target)
    return []


def cif(table: StructureTable, path: Path) -> list[str]:
    """Write ids and crystals as CIF: all into one file, or into a folder with a file each."""

    def reason(table: StructureTable, index: int) -> str:
        return "" if is_writable(table, index) else "its cell is not finite or has no volume"

    def write(table: StructureTable, index: int, handle: TextIO, names: set[str]) -> None:
        write_block(table, index, block_name(str(table.ids[index]), names), handle)

    return _write_crystals(table, path, ("cif", ".cif"), reason, write)


def poscar(table: StructureTable, path: Path) -> list[str]:
    """Write ids and crystals as POSCAR: all into one file, or into a folder with a file each."""

    def write(table: StructureTable, index: int, handle: TextIO, _: set[str]) -> None:
        write_poscar(table, index, handle)

    return _write_crystals(table, path, ("poscar", ".vasp"), reason_against, write)


def phonopy(table: StructureTable, path: Path) -> list[str]:
    """Write a row as yaml of phonopy, or a folder with a file each."""
    from aiida_pet.io.phonopy_writer import reason_against_phonopy, write_phonopy  # noqa: PLC0415 - phonopy is slow

    def write(table: StructureTable, index: int, handle: TextIO, _: set[str]) -> None:
        write_phonopy(table, index, handle)

    return _write_crystals(table, path, ("phonopy", ".yaml"), reason_against_phonopy, write, most=1)


def phono3py(table: StructureTable, path: Path) -> list[str]:
    """Write a row of forces as yaml of phono3py, or a folder with a file each.

    :raises MissingPhono3pyError: if phono3py is not there.
    """
    from aiida_pet.io.phonopy_writer import reason_against_phono3py, write_phono3py  # noqa: PLC0415

    def write(table: StructureTable, index: int, handle: TextIO, _: set[str]) -> None:
        write_phono3py(table, index, handle)

    return _write_crystals(table, path, ("phono3py", ".yaml"), reason_against_phono3py, write, most=1)


def becomes_folder(path: Path) -> bool:
    """Return whether ``path`` names a folder with a file per crystal, of formats that can be written so."""
    return path.is_dir() or not path.suffix


def _write_crystals(
    table: StructureTable,
    path: Path,
    kind: tuple[str, str],
    reason: ReasonAgainst,
    write: WriteOne,
    *,
    most: int | None = None,
) -> list[str]:
    """Write the crystals that nothing speaks against, and return the ids of the others.

    :param kind: name of the format, and suffix of a file in a folder.
    :param most: crystals that one file may hold; None for any number.
    :raises NothingWrittenError: if something speaks against every crystal.
    """
    name, suffix = kind
    against = {index: why for index in range(len(table)) if (why := reason(table, index))}
    rows = [index for index in range(len(table)) if index not in against]
    left_out = table.ids[list(against)].tolist() if against else []
    if against and not rows:
        raise NothingWrittenError(name, len(table), str(left_out[0]), against[0])
    for index, why in against.items():
        logger.warning("%s is not written as %s: %s", table.ids[index], name, why)
    if becomes_folder(path):
        _write_folder(table, path, suffix, rows, write)
        return left_out
    names = set[str]()
    if most is not None and len(rows) > most:
        logger.warning("a file of %s holds only %d crystal: name a folder to write all crystals", name, most)
        left_out += table.ids[rows[most:]].tolist()
        rows = rows[:most]
    with open_whole(path) as handle:
        for index in rows:
            write(table, index, handle, names)
    return left_out


def _write_folder(table: StructureTable, path: Path, suffix: str, rows: list[int], write: WriteOne) -> None:
    """Write a file for each row into a folder, which is removed again if it is new and a file cannot be written."""
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    used = set[str]()
    try:
        for index in rows:
            with open_whole(path / f"{_new_name(str(table.ids[index]), used)}{suffix}") as handle:
                write(table, index, handle, set())
    except BaseException:
        if is_new:
            shutil.rmtree(path)
        raise


def _new_name(row_id: str, used: set[str]) -> str:
    """Return a name for a file of ``row_id`` that is not in ``used``, and put it there."""
    base = name = _file_name(row_id)
    number = 2
    while name.lower() in used:  # some file systems do not tell a from A
        name, number = f"{base}_{number}", number + 1
    used.add(name.lower())
    return name


def _file_name(row_id: str) -> str:
    """Return ``row_id`` as the name of a file: without separators or leading dots, and not too long."""
    name = re.sub(r"^\.|[^\w.+-]", "_", row_id)
    return name.encode()[:_NAME_BYTES].decode(errors="ignore") or "_"
