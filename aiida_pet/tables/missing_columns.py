"""Rows without an answer have the columns of their task, and nothing in them.

What a task is known to make and a row has not is missing, be it a text, a number, a count or a flag: an empty text or
NaN. Otherwise a table whose rows all failed would lack the columns that a condition names, and one whose rows failed
in part would say `False` and 0 of crystals that nobody looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from aiida_pet.tables.arrays import Array
from aiida_pet.tables.columns import (
    PER_ATOM,
    RAGGED,
    Column,
    Kind,
    Source,
    columns_of,
    find_columns,
    units_of,
)
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged


def with_missing(
    table: StructureTable,
    source: str,
    parameters: Any,
    sizes: Mapping[str, int],
    further: Iterable[str] = (),
) -> StructureTable:
    """Return ``table`` with all columns that ``source`` makes of children, missing where they are not there yet.

    What the first stage makes, a relaxation or an evaluation, is there.

    :param parameters: parameters of the task.
    :param sizes: symbol of a dimension in the catalogue, such as ``T`` -> its length; a column of another symbol must
        be there already.
    :param further: names of columns that the catalogue ties to something else than parameters.
    """
    first: set[str] = {Source.STATIC, Source.RELAX}
    wanted = [column for column in columns_of(source, parameters) if first.isdisjoint(column.sources)]
    wanted += [next(one for one in find_columns(name) if source in one.sources) for name in further]
    there = table.columns.keys() | table.atom_columns.keys() | table.ragged.keys()
    columns: dict[str, Array] = {}
    ragged: dict[str, Ragged] = {}
    for column in wanted:
        if column.shape[:1] == (PER_ATOM,) or not _is_known(column, sizes):
            continue
        for name in column.names(getattr(parameters, "symprecs", ())):
            if name in there:
                continue
            if column.shape[:1] == (RAGGED,):
                shape = (0, *map(int, column.shape[1:]))
                dtype = np.int64 if column.kind is Kind.COUNT else np.float64
                ragged[name] = Ragged(np.zeros(shape, dtype), np.zeros(len(table) + 1, np.int64))
            else:
                columns[name] = _nothing(column, len(table), sizes)
    return replace(
        table,
        columns=table.columns | columns,
        ragged=table.ragged | ragged,
        units=table.units | units_of((*columns, *ragged)),
    )


def _is_known(column: Column, sizes: Mapping[str, int]) -> bool:
    return all(length.isdigit() or length in (RAGGED, *sizes) for length in column.shape)


def _nothing(column: Column, n_rows: int, sizes: Mapping[str, int]) -> Array:
    shape = (n_rows, *(int(length) if length.isdigit() else sizes[length] for length in column.shape))
    return np.full(shape, "") if column.kind is Kind.TEXT else np.full(shape, np.nan)
