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

from aiida_pet.data.merging import merge_nodes, places_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData

SINGLE_ID = "structure"
"""Id of a crystal that is a row by itself."""


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

    A row that no job finished has the status ``left``, its input geometry, and nothing in other columns.

    :param structures: the input of the jobs.
    :param rows: the ids of the rows that were to be done, in the order of the merged table; all if not given.
    :param results: the jobs' results by name, one by one or as a namespace of them; no row is in two of them. Tables
        called ``done_...`` are of a campaign before and may hold rows that are no longer wanted.
    :raises ValueError: naming rows that are in two tables, or were not to be done.
    """
    ids = structures.ids if rows is None else rows.ids
    return merge_nodes(structures, ids, dict(_flat(results)))


@calcfunction
def keep_rows(results: StructureSetData, rows: TableData) -> StructureSetData:
    """Return those rows of ``results`` that still stand for what is asked for.

    :param results: results of a job, or rows that a lane gave up.
    :param rows: the ids of the rows to keep.
    :raises KeyError: naming ids that are not there.
    """
    kept = StructureSetData.from_table(results.select(rows.ids))
    given = results.fingerprints()
    if given is not None:
        kept.set_fingerprints(given[places_of(results.ids, rows.ids)])
    return kept


def _flat(namespace: Mapping[str, Any]) -> Iterator[tuple[str, StructureSetData]]:
    for name, value in namespace.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value
