"""From the tables of many jobs to one, in the order that was asked for. Vectors throughout: no object per crystal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_pet.data.partial import part_of
from aiida_pet.data.segments import is_worth_while
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array

DONE = "done_"
"""Prefix of tables that are of a campaign before, and may hold rows that are no longer wanted."""
LEFT_MESSAGE = "no job finished this row"


def merge_nodes(
    structures: StructureSetData, ids: Array, parts: Mapping[str, StructureSetData]
) -> StructureSetData:
    """Return an unstored node with a row for each of ``ids``, in their order.

    A row that is in no table has the status ``left``, its geometry of ``structures``, and nothing in other columns: see
    :mod:`aiida_pet.tables.filling`. Where it pays, the node is made of the files of its parts, which AiiDA's repository
    then holds once.

    :param structures: the crystals.
    :param ids: (N,) of those to be there.
    :param parts: the tables by name.
    :raises ValueError: naming a row of a table that is none of ``ids``.
    """
    order, tables = _chosen(ids, parts, lambda left: part_of(structures).select(left))
    if is_worth_while(len(tables), len(ids)):
        return StructureSetData.from_segments(ids, order, tables)
    whole = [table if isinstance(table, StructureTable) else table.to_table() for table in tables]
    return StructureSetData.from_table(_taken(whole, order))


def merged(structures: StructureTable, tables: Mapping[str, StructureTable]) -> StructureTable:
    """Return the rows that :func:`merge_nodes` makes a node of, of tables in memory.

    :raises ValueError: naming a row of a table that is none of the input.
    """
    order, parts = _chosen(structures.ids, tables, structures.select)
    return _taken(parts, order)


def _taken(tables: list[StructureTable], order: NDArray[np.int64]) -> StructureTable:
    """Return the rows of ``tables`` end to end that stand at ``order``; an id may be in two of them."""
    wanted = np.sort(order)
    ends = np.cumsum([len(table) for table in tables])
    kept = [
        table.take(rows - (end - len(table)))
        for table, end, rows in zip(
            tables, ends, np.split(wanted, np.searchsorted(wanted, ends[:-1])), strict=True
        )
    ]
    return StructureTable.concatenate(kept).take(np.searchsorted(wanted, order))


def _chosen[Rows: (StructureSetData, StructureTable)](
    ids: Array, parts: Mapping[str, Rows], select: Callable[[Array], StructureTable]
) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the tables that hold rows to be there, and where these stand in them end to end, (N,).

    :param select: returns crystals by id, for those that are in no table.
    """
    names = sorted(parts)
    order = places(ids, {name: parts[name].ids for name in names})
    found = np.flatnonzero(order >= 0)
    tables: list[Any] = []
    start = shift = 0
    moved = order.copy()
    for name in names:
        end = start + len(parts[name])
        mine = found[(order[found] >= start) & (order[found] < end)]
        if len(mine):
            moved[mine] -= shift
            tables.append(parts[name])
        else:  # nothing of it is wanted, its columns neither
            shift += len(parts[name])
        start = end
    left = np.flatnonzero(order < 0)
    if len(left):
        moved[left] = start - shift + np.arange(len(left))
        tables.append(left_rows(select(ids[left])))
    return moved, tables


def places(ids: Array, parts: Mapping[str, Array]) -> NDArray[np.int64]:
    """Return where each of ``ids`` stands among the rows of ``parts`` end to end, (N,); -1 for one in none.

    A row that is in two tables is taken of the first: a worker that is killed at the wrong moment may have a job done
    twice.

    :param parts: the ids of each table, by its name.
    :raises ValueError: naming a row that is none of ``ids`` though its table is not ``done_...``.
    """
    sorter = np.argsort(ids)
    ascending = ids[sorter]
    found = np.full(len(ids), -1, dtype=np.int64)
    start = 0
    for name, own in parts.items():
        slots = np.minimum(np.searchsorted(ascending, own), len(ids) - 1)
        known = ascending[slots] == own
        if not (known.all() or name.startswith(DONE)):
            stranger = str(own[~known][0])
            raise ValueError(
                f"row {stranger!r} of table {name} does not belong to the {len(ids)} rows of this launch"
            )
        rows, at = sorter[slots[known]], start + np.flatnonzero(known)
        is_first = found[rows] < 0
        found[rows[is_first]] = at[is_first]
        start += len(own)
    return found


def places_of(ids: Array, wanted: Array) -> NDArray[np.int64]:
    """Return where each of ``wanted`` stands among ``ids``, which has them all; without a Python object per row."""
    sorter = np.argsort(ids)
    found: NDArray[np.int64] = sorter[np.searchsorted(ids, wanted, sorter=sorter)]
    return found


def left_rows(rows: StructureTable) -> StructureTable:
    """Return ``rows`` as rows that no job finished, without the columns they came with."""
    columns = {
        "status": np.full(len(rows), RowStatus.LEFT.value),
        "message": np.full(len(rows), LEFT_MESSAGE),
        "n_atoms": rows.n_atoms,
        "volume": rows.volumes(),
    }
    return StructureTable(
        ids=rows.ids,
        columns=columns,
        units={"volume": "A^3"},
        numbers=rows.numbers,
        positions=rows.positions,
        cells=rows.cells,
        pbc=rows.pbc,
        offsets=rows.offsets,
    )
