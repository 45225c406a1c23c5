"""Tables as pandas data frames: what people look at, filter and export. No AiiDA."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from aiida_pet.tables.components import component_names, whole_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.known_values import known_of
from aiida_pet.tables.table import Array, Table


def frame_of(table: Table) -> pd.DataFrame:
    """Return the columns as a data frame indexed by ``id``; for crystals ``formula`` and ``n_atoms`` come first.

    A column of vectors becomes one column per component: ``stress_xx`` ... ``stress_xy`` for six, else numbered;
    elastic tensors become ``C11`` ... ``C66``. Columns per atom are left out. Flags and counts that are not known of
    all rows, NaN among numbers in the table, become pandas' types ``boolean`` and ``Int64``, whose missing values are
    neither True nor False. ``attrs["units"]`` has the units of the columns that have one.
    """
    data: dict[str, Any] = {}
    if isinstance(table, StructureTable):
        data |= {"formula": formulas(table.numbers, table.offsets), "n_atoms": table.n_atoms}
    for name, values in table.columns.items():
        data |= flat_columns(name, values)
    frame = pd.DataFrame(data, index=pd.Index(table.ids, name="id"))
    units = {str(name): table.units.get(str(name)) or table.units.get(whole_of(str(name))) for name in frame}
    frame.attrs["units"] = {name: unit for name, unit in units.items() if unit}
    return frame


def flat_columns(name: str, values: Array) -> dict[str, Any]:
    """Return column ``name``, (N, ...), as the columns (N,) that a data frame has of it: arrays of numpy or pandas."""
    labels = component_names(name, values.shape)
    flat = values.reshape(len(values), len(labels))
    known = known_of(name, flat)
    if known is None:
        return {label: flat[:, index] for index, label in enumerate(labels)}
    array = pd.arrays.BooleanArray if known.values.dtype == bool else pd.arrays.IntegerArray
    return {
        label: array(known.values[:, index], known.missing[:, index]) for index, label in enumerate(labels)
    }


def formulas(numbers: Array, offsets: Array) -> Array:
    """Return (N,) formulas of whole cells, elements in alphabetical order: ``Mo3Ta``.

    :param numbers: (A,) atomic numbers.
    :param offsets: (N + 1,); row i owns atoms ``offsets[i]:offsets[i + 1]``.
    """
    if not len(numbers):
        return np.full(len(offsets) - 1, "", dtype=str)
    # atoms of each element in each row, by row and then in the order of the alphabet
    alphabet = np.argsort(chemical_symbols)
    rank = np.argsort(alphabet)
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    found, counts = np.unique(rows * len(rank) + rank[numbers], return_counts=True)
    # there are few different pieces such as Mo3, and many formulas
    base = int(counts.max()) + 1
    kinds, which = np.unique(found % len(rank) * base + counts, return_inverse=True)
    pieces = [
        f"{chemical_symbols[alphabet[kind // base]]}{kind % base if kind % base > 1 else ''}"
        for kind in kinds.tolist()
    ]
    named = [pieces[index] for index in which.tolist()]
    ends = np.searchsorted(found, np.arange(len(offsets)) * len(rank)).tolist()
    return np.array(["".join(named[i:j]) for i, j in pairwise(ends)], dtype=str)
