"""Rows behind a pk: of a set or of what a process has produced so far; and conditions on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from aiida_pet.cli.session import load_as
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

    from aiida_pet.data.table import TableData
    from aiida_pet.tables.crystals import StructureTable

LOOK = "`aiida-pet results`, `data show` and `data export` take the pk of a set or of a launch"


@dataclass(frozen=True)
class Rows:
    """A table and where it comes from.

    :ivar pk: of the node that was named.
    :ivar node: the table; not stored where it was put together from the jobs of a process that goes on.
    :ivar missing: what the table lacks, in words; empty if it is whole.
    """

    pk: int | None
    node: TableData
    missing: str = ""


def load_rows(identifier: str) -> Rows:
    """Return the rows of the set, table or process named ``identifier``.

    :raises click.ClickException: if it is something else, or a process without any result yet.
    """
    from aiida.orm import ProcessNode

    from aiida_pet.campaigns.training import errors_of
    from aiida_pet.data.table import TableData

    node = load_as(identifier, TableData, ProcessNode, hint=LOOK)
    if isinstance(node, TableData):
        return Rows(node.pk, node)
    if "results" in node.outputs:
        return Rows(node.pk, node.outputs.results)
    errors = errors_of(node)
    if errors is not None:
        return Rows(node.pk, errors)
    return _results_so_far(node)


def _results_so_far(node: ProcessNode) -> Rows:
    """Return what the finished jobs of a process have, which has no results of its own (yet)."""
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.tables.crystals import StructureTable
    from aiida_pet.workchains.jobs import jobs_of

    state = node.process_state.value if node.process_state else "created"
    stage = _last_stage(node)
    jobs = jobs_of(stage)
    tables = _each_row_once([job.outputs.results.to_table() for job in jobs if "results" in job.outputs])
    if not tables:
        told = f": {node.exit_message}" if node.exit_message else ""
        raise click.ClickException(
            f"process <{node.pk}> is {state} and has no results yet{told}; see `aiida-pet status {node.pk}`"
        )
    table = StructureTable.concatenate(tables)
    of_stage = "" if stage.pk == node.pk else f" of {stage.process_label} <{stage.pk}>"
    missing = (
        f"process <{node.pk}> is {state}: these are the {plural(len(table), 'row')} of "
        f"{len(tables)} of {plural(len(jobs), 'job')}{of_stage} so far"
    )
    return Rows(node.pk, StructureSetData.from_table(table), missing)


def _each_row_once(tables: list[StructureTable]) -> list[StructureTable]:
    """Return ``tables`` without rows that one before has: a worker killed at the wrong moment has jobs done twice."""
    import numpy as np

    known = np.array([], dtype=str)
    kept = []
    for table in tables:
        is_new = ~np.isin(table.ids, known)
        kept.append(table if is_new.all() else table.take(np.flatnonzero(is_new)))
        known = np.concatenate([known, table.ids])
    return kept


def _last_stage(node: ProcessNode) -> ProcessNode:
    """Return the last process below a screening that has results of jobs: stages hold the same ids; else ``node``."""
    from aiida_pet.workchains.jobs import jobs_of

    if "stages" not in node.inputs:
        return node
    stages = sorted(node.called, key=lambda called: called.pk or 0, reverse=True)
    with_rows = [one for one in stages if any("results" in job.outputs for job in jobs_of(one))]
    return with_rows[0] if with_rows else node


def select_ids(node: TableData, where: str) -> list[str]:
    """Return the ids of the rows that fulfil ``where``, in their order.

    :raises FilterError: if it is no condition on the columns there are.
    """
    from aiida_pet.tables.filter import filter_frame

    return [str(row_id) for row_id in filter_frame(node.to_dataframe(), where).index]
