"""What results are compared with: a file, or another set, table or launch; read, and put beside the results by id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from aiida_pet.analysis.metrics.conductivity import KAPPA
from aiida_pet.campaigns.errors import CampaignError, NoIdsError, NoReferencesError, UnusableReferenceError
from aiida_pet.campaigns.mode_conductivities import modes_of_table
from aiida_pet.campaigns.nodes import Named
from aiida_pet.campaigns.results import Rows, rows
from aiida_pet.data.structures import StructureSetData
from aiida_pet.io.ids import ID_KEYS
from aiida_pet.io.mode_conductivities import (
    ModeConductivity,
    holds_mode_conductivities,
    read_mode_conductivities,
)
from aiida_pet.io.readers import read_structures
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.frame import frame_of
from aiida_pet.words import plural, shortened

# What columns of references are called while they stand beside those of the results.
PREFIX = "reference:"
TABLES = (".csv", ".parquet")
# What stands for a missing value in a csv file, as pandas has it.
MISSING = ["", "NA", "N/A", "NaN", "nan", "-nan", "-NaN", "n/a", "None", "null", "NULL", "<NA>", "#N/A"]
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")


@dataclass(frozen=True)
class Reference:
    """What results are compared with.

    :ivar name: file or node, for messages.
    :ivar frame: its columns, indexed by id.
    :ivar structures: its crystals, None if it has none.
    :ivar units: units of its columns, where they are known.
    :ivar modes: conductivities of its modes by id, None for crystals that have none; empty if it holds none.
    """

    name: str
    frame: pd.DataFrame
    structures: StructureTable | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, ModeConductivity | None] = field(default_factory=dict)


def load_reference(named: Named | Path | Rows | pd.DataFrame, id_column: str | None = None) -> Reference:
    """Return the references in a file or a data frame, or in the node named so.

    :param named: file, pk, uuid, label, node, or a data frame indexed by id.
    :param id_column: column of a csv or parquet file that holds ids; None for `id` and what they are usually called.
    :raises NoReferencesError: if there is neither file nor node.
    :raises UnusableReferenceError: if the file cannot be read.
    """
    if isinstance(named, pd.DataFrame):
        return Reference("the data frame", named, units=named.attrs.get("units", {}))
    path = Path(named) if isinstance(named, str | Path) else None
    if path is not None and path.exists() and not str(named).isdecimal():
        if _is_table(path):
            return Reference(str(named), read_table(path, id_column))
        if holds_mode_conductivities(path):
            return _of_modes(path)
        table = read_structures(path).table
        return Reference(str(named), frame_of(table), table, dict(table.units))
    try:
        found = rows(str(named) if isinstance(named, Path) else named)
    except CampaignError as error:
        where = "no such file, and " if path is not None else ""
        raise NoReferencesError(named, f"{where}{error}") from error
    crystals = found.table.to_table() if isinstance(found.table, StructureSetData) else None
    frame, modes = found.table.to_dataframe(), modes_of_table(found.table)
    return Reference(f"<{found.pk}>", frame, crystals, stored_units(found), modes)


def _of_modes(path: Path) -> Reference:
    try:
        modes = read_mode_conductivities(path)
    except ValueError as error:
        raise UnusableReferenceError(str(error)) from error
    kappas = [float("nan") if one is None else one.kappa for one in modes.values()]
    frame = pd.DataFrame({KAPPA: kappas}, index=pd.Index(list(modes), name="id"))
    return Reference(str(path), frame, units={KAPPA: "W/(m K)"}, modes=modes)


def stored_units(found: Rows) -> dict[str, str]:
    """Return the units of the columns of a table as they are stored, those of arrays under the name of the array."""
    units: dict[str, str] = found.table.base.attributes.get("columns")
    return {name: unit for name, unit in units.items() if unit}


def _is_table(path: Path) -> bool:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return any(suffix in TABLES for suffix in suffixes[-2:] if suffix not in COMPRESSED)


def read_table(path: Path, id_column: str | None = None) -> pd.DataFrame:
    """Return a csv (compressed or not) or parquet file as a data frame indexed by id.

    :param id_column: that holds the ids; None for `id` and what they are usually called.
    :raises UnusableReferenceError: if it cannot be read, or an id is missing or occurs twice.
    :raises NoIdsError: if it has no column of ids.
    """
    frame = _read_columns(path, id_column)
    names = ["id", *ID_KEYS] if id_column is None else [id_column]
    name = next((name for name in names if name in frame.columns), None)
    if name is None:
        raise NoIdsError(
            f"{path}: no column {' or '.join(dict.fromkeys(names))} that holds ids; columns are "
            f"{shortened(list(frame.columns), 30)}"
        )
    ids = frame.pop(name)
    without = np.flatnonzero(ids.isna() | (ids.astype(str) == ""))
    if len(without):
        raise UnusableReferenceError(
            f"{path}: {plural(len(without), 'row')} without an id in column {name}, the first is row "
            f"{without[0] + 1}"
        )
    frame.index = pd.Index(ids.astype(str), name="id")
    if not frame.index.is_unique:
        twice = frame.index[frame.index.duplicated()].unique().tolist()
        raise UnusableReferenceError(f"{path}: ids occur more than once in column {name}: {shortened(twice)}")
    return frame


def _read_columns(path: Path, id_column: str | None) -> pd.DataFrame:
    """Return all columns of a file; ids as texts, since 0012 is another than 12.

    :raises UnusableReferenceError: if it cannot be read.
    """
    try:
        if TABLES[0] not in path.name.lower():
            return pd.read_parquet(path).reset_index()  # ids may be the index
        keys = (*ID_KEYS, id_column or "id")
        # an id of NA (a formula, say) is a text, so missing values are looked for in the other columns alone
        others = [name for name in pd.read_csv(path, nrows=0).columns if name not in keys]
        texts, missing = dict.fromkeys(keys, str), dict.fromkeys(others, MISSING)
        return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=missing)
    except ImportError as error:
        raise UnusableReferenceError(f"{path}: parquet files need pyarrow (`pip install pyarrow`)") from error
    except (ValueError, OSError) as error:
        raise UnusableReferenceError(f"{path}: cannot be read as a table: {error}") from error


@dataclass(frozen=True)
class Joined:
    """Results beside their references.

    :ivar frame: rows that are compared, columns of references with :data:`PREFIX`.
    :ivar n_rows: number of rows of the results.
    :ivar without_reference: ids of rows that are not among the references.
    :ivar without_result: ids of references that are not among the rows.
    """

    frame: pd.DataFrame
    n_rows: int
    without_reference: list[str]
    without_result: list[str]


def join_references(ours: pd.DataFrame, given: Reference | None, all_references: bool = False) -> Joined:
    """Return results and references side by side, by id.

    :param given: None if ``ours`` itself has columns of references.
    :param all_references: keep references that have no row, NaN in place of results.
    :raises UnusableReferenceError: if no id is in both.
    """
    if given is None:
        return Joined(ours, len(ours), [], [])
    theirs = given.frame.add_prefix(PREFIX)
    missing, unused = ours.index.difference(theirs.index), theirs.index.difference(ours.index)
    if len(missing) == len(ours):
        raise UnusableReferenceError(
            f"no id occurs both among the {len(ours)} rows ({shortened(ours.index.tolist(), 3)}) and the "
            f"{len(theirs)} references of {given.name} ({shortened(theirs.index.tolist(), 3)})"
        )
    frame = ours.join(theirs, how="right" if all_references else "inner")
    return Joined(frame, len(ours), missing.tolist(), unused.tolist())
