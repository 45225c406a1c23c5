"""Tables as pandas data frames: what people look at, filter and export. No AiiDA."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from aiida_pet.engine.table import Array, StructureTable, Table

_VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")


def frame_of(table: Table) -> pd.DataFrame:
    """Return the columns as a data frame indexed by ``id``; for crystals ``formula`` and ``n_atoms`` come first.

    A column of vectors becomes one column per component: ``stress_xx`` ... ``stress_xy`` for six, else
    numbered. Columns per atom are left out.
    """
    data: dict[str, Array] = {}
    if isinstance(table, StructureTable):
        data |= {"formula": formulas(table.numbers, table.offsets), "n_atoms": table.n_atoms}
    for name, values in table.columns.items():
        data |= flat_columns(name, values)
    return pd.DataFrame(data, index=pd.Index(table.ids, name="id"))


def flat_columns(name: str, values: Array) -> dict[str, Array]:
    """Return column ``name``, (N, ...), as the columns (N,) that a data frame has of it."""
    labels = component_names(name, values.shape)
    flat = values.reshape(len(values), len(labels))
    return {label: flat[:, index] for index, label in enumerate(labels)}


def component_names(name: str, shape: Sequence[int]) -> list[str]:
    """Return what the columns are called that a data frame has of column ``name`` with ``shape`` (N, ...)."""
    if len(shape) == 1:
        return [name]
    labels = _VOIGT if tuple(shape[1:]) == (6,) else tuple(map(str, range(math.prod(shape[1:]))))
    return [f"{name}_{label}" for label in labels]


def formulas(numbers: Array, offsets: Array) -> Array:
    """Return (N,) formulas of whole cells, elements in alphabetical order: ``Mo3Ta``.

    :param numbers: (A,) atomic numbers.
    :param offsets: (N + 1,); row i owns atoms ``offsets[i]:offsets[i + 1]``.
    """
    names = []
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        counts: dict[str, int] = {}
        for number in numbers[start:end].tolist():
            symbol = chemical_symbols[number]
            counts[symbol] = counts.get(symbol, 0) + 1
        names.append("".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in sorted(counts)))
    return np.array(names, dtype=str)
