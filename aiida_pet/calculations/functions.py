"""Calcfunctions: between sets of crystals and single ones, and from the tables of many jobs to one.

They exist for provenance: a row of a set and the node made of it, or the set made of nodes, stay linked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.engine.job import RowStatus
from aiida_pet.engine.table import StructureTable

LEFT_MESSAGE = "no job finished this row"


@calcfunction
def extract_structure(set: StructureSetData, id: orm.Str) -> orm.StructureData:
    """Return the crystal ``id`` of ``set``, labelled with its id.

    :raises KeyError: if there is no such row.
    :raises ValueError: if its geometry has values that are not finite.
    """
    atoms = set.get_ase(id.value)
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError(f"row {id.value!r} has positions or a cell that are not finite: it is no crystal")
    return orm.StructureData(ase=atoms, label=id.value[:255])


@calcfunction
def collect_structures(**structures: orm.StructureData) -> StructureSetData:
    """Return the set of single crystals, each under the keyword it was given by, in alphabetical order.

    :raises ValueError: if there are none, or one is disordered.
    """
    return StructureSetData.from_iterator(
        (name, _ordered(name, structures[name])) for name in sorted(structures)
    )


def _ordered(name: str, structure: orm.StructureData) -> Atoms:
    if structure.is_alloy or structure.has_vacancies:
        raise ValueError(
            f"structure {name!r} has sites of mixed or partial occupancy: expected one atom per site"
        )
    atoms: Atoms = structure.get_ase()  # type: ignore[no-untyped-call]
    return atoms


@calcfunction
def merge_tables(
    structures: StructureSetData, rows: TableData | None = None, **results: StructureSetData
) -> StructureSetData:
    """Return one table of the results of many jobs, with a row for each of ``structures``, in their order.

    A row that no job finished has the status ``left``, its input geometry, and NaN, 0 or empty in other columns.

    :param structures: the input of the jobs.
    :param rows: the ids of the rows that were to be done, in the order of the merged table; all if not given.
    :param results: the jobs' results by name, one by one or as a namespace of them; no row is in two of them. Tables
        called ``done_...`` are of a campaign before and may hold rows that are no longer wanted.
    :raises ValueError: naming rows that are in two tables, or were not to be done.
    """
    table = structures.to_table()
    if rows is not None:
        table = table.select(rows.ids)
    tables = {name: node.to_table() for name, node in _flat(results)}
    return StructureSetData.from_table(merged(table, tables))


def _flat(namespace: Mapping[str, Any]) -> Iterator[tuple[str, StructureSetData]]:
    for name, value in namespace.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value


def merged(structures: StructureTable, tables: dict[str, StructureTable]) -> StructureTable:
    """Return the table that :func:`merge_tables` makes a node of.

    :raises ValueError: naming rows that are in two tables, or in none of the input.
    """
    owner: dict[str, str] = {}
    known = frozenset(structures.ids.tolist())
    tables = {
        name: _wanted(table, known) if name.startswith("done_") else table for name, table in tables.items()
    }
    for name, table in tables.items():
        for row_id in table.ids.tolist():
            if row_id in owner:
                raise ValueError(f"row {row_id!r} is in two tables, {owner[row_id]} and {name}: done twice")
            if row_id not in known:
                raise ValueError(f"row {row_id!r} of table {name} is none of the {len(known)} rows to do")
            owner[row_id] = name
    left = [index for index, row_id in enumerate(structures.ids.tolist()) if row_id not in owner]
    parts = [tables[name] for name in sorted(tables)]
    if left:
        parts.append(_left_rows(structures.take(left)))
    return StructureTable.concatenate(parts).select(structures.ids)


def _wanted(table: StructureTable, known: frozenset[str]) -> StructureTable:
    return table.take([row for row, name in enumerate(table.ids.tolist()) if name in known])


def _left_rows(rows: StructureTable) -> StructureTable:
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
