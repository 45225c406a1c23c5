"""Writes a table to extxyz, csv, parquet, pymatgen JSON or a folder of CIFs, row by row. No AiiDA.

What was written as extxyz or JSON can be imported again under the same ids. extxyz holds ``energy``,
``forces`` and ``stress`` where ASE looks for them, and 8 decimals of positions; JSON is complete, with null
for NaN.
"""

from __future__ import annotations

import json
import logging
import re
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from ase.io.cif import write_cif
from ase.io.extxyz import write_xyz

from aiida_pet.data.frame import frame_of
from aiida_pet.data.frame_writers import write_csv, write_parquet
from aiida_pet.data.sources import COMPRESSION
from aiida_pet.data.whole_files import open_whole
from aiida_pet.engine.table import Array, StructureTable, Table

logger = logging.getLogger(__name__)


class ExportFormat(StrEnum):
    """Formats that a table is written in."""

    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"
    CIF = "cif"


_SUFFIXES = {
    ".xyz": ExportFormat.EXTXYZ,
    ".extxyz": ExportFormat.EXTXYZ,
    ".csv": ExportFormat.CSV,
    ".parquet": ExportFormat.PARQUET,
    ".json": ExportFormat.JSON,
}
_RESULTS = ("energy", "stress")
# Names of files are cut to so many bytes; most file systems take 255, with the suffix and a number.
_NAME_BYTES = 200


def format_of(path: Path) -> ExportFormat:
    """Return the format that a name tells, after any of ``.gz .bz2 .xz``; without a suffix it is CIF's folder.

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


def write_table(table: Table, path: str | Path, file_format: ExportFormat | str | None = None) -> list[str]:
    """Write ``table`` to ``path``, compressed if the name ends in ``.gz``, ``.bz2`` or ``.xz``.

    :param path: a file, written whole or not at all; for ``cif`` a folder, made if need be.
    :param file_format: instead of what the name tells.
    :return: ids of the rows that could not be written: with ``cif`` those without a finite cell of some
        volume.
    :raises ValueError: if the format is unknown, or it needs crystals and the table has none.
    :raises MissingParquetError: if pyarrow is not there to write parquet.
    """
    path = Path(path)
    if file_format is not None and file_format not in list(ExportFormat):
        raise ValueError(f"unknown format {file_format!r}: expected {', '.join(ExportFormat)}")
    chosen = ExportFormat(file_format) if file_format is not None else format_of(path)
    if chosen is ExportFormat.CSV:
        write_csv(frame_of(table).reset_index(), path)
        return []
    if chosen is ExportFormat.PARQUET:
        write_parquet(frame_of(table).reset_index(), path, table.units)
        return []
    if chosen is ExportFormat.JSON:
        with open_whole(path) as handle:
            _write_json(table, handle)
        return []
    if not isinstance(table, StructureTable):
        raise ValueError(f"{chosen.value} needs crystals, but the table has none: use csv or json")
    if chosen is ExportFormat.CIF:
        return _write_cifs(table, path)
    with open_whole(path) as handle:
        for index in range(len(table)):
            write_xyz(handle, [_atoms_with_columns(table, index)])
    return []


def _atoms_with_columns(table: StructureTable, index: int) -> Atoms:
    """Return row ``index`` with columns in ``info``, and energy, stress and forces in a calculator."""
    atoms = table.ase_at(index)
    atoms.info["id"] = _one_line(atoms.info["id"])
    values = {name: column[index] for name, column in table.columns.items()}
    results: dict[str, Any] = {name: values.pop(name) for name in _RESULTS if name in values}
    for name, value in values.items():
        if not (isinstance(value, np.str_) and not value):  # an empty text cannot be written
            atoms.info[name] = _one_line(str(value)) if isinstance(value, np.str_) else value
    part = table.atoms_of(index)
    for name, array in table.atom_columns.items():
        if name == "forces":
            results[name] = array[part]
        else:
            atoms.new_array(name, array[part])
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _one_line(text: str) -> str:
    """Return ``text`` as ASE's extxyz writes it in one line and reads it back.

    What breaks lines or would be read as JSON is written as JSON. Backslashes are doubled, since ASE escapes quotes
    only and its reader takes every backslash for an escape.
    """
    plain = text.splitlines() == [text] and not text.startswith("_JSON")
    return (text if plain else f"_JSON {json.dumps(text)}").replace("\\", "\\\\")


def _write_cifs(table: StructureTable, folder: Path) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    left_out, names = [], set()
    for index, row_id in enumerate(table.ids.tolist()):
        atoms = table.ase_at(index)
        cell = atoms.cell.array
        if not (np.isfinite(cell).all() and np.isfinite(atoms.positions).all() and atoms.cell.volume > 1e-3):
            logger.warning("%s is not written as CIF: its cell is not finite or has no volume", row_id)
            left_out.append(row_id)
            continue
        base = name = _file_name(row_id)
        number = 2
        while name.lower() in names:  # some file systems do not tell a from A
            name, number = f"{base}_{number}", number + 1
        names.add(name.lower())
        write_cif(folder / f"{name}.cif", atoms)
    return left_out


def _file_name(row_id: str) -> str:
    """Return ``row_id`` as the name of a file: without separators or leading dots, and not too long."""
    name = re.sub(r"^\.|[^\w.+-]", "_", row_id)
    return name.encode()[:_NAME_BYTES].decode(errors="ignore")


def _write_json(table: Table, handle: TextIO) -> None:
    """Write a list of records, one per line: ``material_id``, columns and, of crystals, a pymatgen ``structure``."""
    id_key = "id" if "material_id" in table.columns else "material_id"
    for index, row_id in enumerate(table.ids.tolist()):
        record: dict[str, Any] = {id_key: row_id}
        if isinstance(table, StructureTable):
            record["structure"] = structure_dict(table, index)
            part = table.atoms_of(index)
            record |= {name: _plain(array[part]) for name, array in table.atom_columns.items()}
        record |= {name: _plain(values[index]) for name, values in table.columns.items()}
        handle.write("[" if index == 0 else ",\n")
        json.dump(record, handle, allow_nan=False)
    handle.write("]\n" if len(table) else "[]\n")


def structure_dict(table: StructureTable, index: int) -> dict[str, Any]:
    """Return row ``index`` as the dictionary of a pymatgen Structure, null for what is not finite.

    Fractional coordinates of a cell without volume are null.
    """
    part = table.atoms_of(index)
    cell, positions = table.cells[index], table.positions[part]
    try:
        fractional = np.linalg.solve(cell.T, positions.T).T
    except np.linalg.LinAlgError:
        fractional = np.full_like(positions, np.nan)
    symbols = [chemical_symbols[number] for number in table.numbers[part].tolist()]
    sites = [
        {
            "species": [{"element": symbol, "occu": 1}],
            "abc": abc,
            "xyz": xyz,
            "properties": {},
            "label": symbol,
        }
        for symbol, abc, xyz in zip(symbols, _plain(fractional), _plain(positions), strict=True)
    ]
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {"matrix": _plain(cell), "pbc": table.pbc[index].tolist()},
        "properties": {},
        "sites": sites,
    }


def _plain(values: Array) -> Any:
    """Return Python values, None for what is not finite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        objects = values.astype(object)
        return np.where(np.isfinite(values), objects, np.array(None, dtype=object)).tolist()
    return values.tolist()
