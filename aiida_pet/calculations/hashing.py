"""Hashes of jobs and sets that came in an archive, so that they are found as others are.

AiiDA keeps the hash of a node in an extra, and drops it when an archive is imported. Its own command that makes hashes
anew (`verdi node rehash`) does not know what these jobs leave out of theirs
(:func:`aiida_pet.calculations.base.leave_out_site`): they get another hash by it, and are not found.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.exceptions import EntryPointError
from aiida.plugins.entry_point import load_entry_point_from_string

from aiida_pet.calculations.base import PetCalculation, leave_out_site
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData

_HASH = "_aiida_hash"  # AiiDA's name of the extra


def restore_hashes() -> int:
    """Give the jobs of the engine, the sets and the tables that have no hash theirs; return how many these are.

    A hash that somebody cleared, so that the cache leaves a job alone, is there with the value None and stays so.
    """
    without = {"extras": {"!has_key": _HASH}}
    query = orm.QueryBuilder().append(orm.CalcJobNode, filters=without, project="process_type").distinct()
    types = [name for name in query.all(flat=True) if _is_engine(name)]
    jobs: list[Any] = []
    if types:
        query = orm.QueryBuilder()
        query.append(orm.CalcJobNode, filters={**without, "process_type": {"in": types}})
        jobs = query.all(flat=True)
    for job in jobs:
        rehash(job)
    tables: list[Any] = (
        orm.QueryBuilder().append([TableData, StructureSetData], filters=without).all(flat=True)
    )
    for table in tables:
        table.base.caching.rehash()
    return len(jobs) + len(tables)


def rehash(job: Any) -> None:
    """Make the hash of ``job``, one of the engine, anew: as it was made when the job was stored."""
    leave_out_site(job)
    job.base.caching.rehash()


def _is_engine(process_type: str | None) -> bool:
    """Return whether processes of this type are jobs of the engine; not so for those that no plugin here knows."""
    try:
        found = load_entry_point_from_string(process_type) if process_type else None
    except (EntryPointError, ValueError):
        return False
    return isinstance(found, type) and issubclass(found, PetCalculation)
