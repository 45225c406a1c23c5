"""The jobs below a WorkChain, and what each cost."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.calculations.base import PetCalculation

_CALLS = [LinkType.CALL_CALC.value, LinkType.CALL_WORK.value]
_KEYS = ("rows_total", "rows_done", "engine_s", "compute_s", "evaluations", "memory_mb", "device")


def jobs_of(node: orm.ProcessNode) -> list[Any]:
    """Return the jobs of the engine (CalcJobNodes) that ``node`` called, itself or through others, oldest first."""
    if is_job(node):
        return [node]
    return [called for called in called_below(node) if is_job(called)]


def called_below(node: orm.ProcessNode) -> list[Any]:
    """Return the processes that ``node`` called, itself or through others, oldest first.

    A query for each level of calls, where `called_descendants` asks for each process by itself.
    """
    found: dict[int, Any] = {}
    callers = [node.pk]
    while callers:
        query = orm.QueryBuilder()
        query.append(orm.ProcessNode, filters={"id": {"in": callers}}, tag="caller")
        query.append(
            orm.ProcessNode, with_incoming="caller", edge_filters={"type": {"in": _CALLS}}, project="*"
        )
        called = [one for one in query.all(flat=True) if one.pk not in found]
        found |= {one.pk: one for one in called}
        callers = [one.pk for one in called if isinstance(one, orm.WorkflowNode)]
    return [found[pk] for pk in sorted(found)]


def summaries_of(jobs: Collection[Any]) -> dict[int, dict[str, Any]]:
    """Return the ``summary`` of each of ``jobs`` that has one, by pk, in one query."""
    query = orm.QueryBuilder()
    query.append(orm.CalcJobNode, filters={"id": {"in": [job.pk for job in jobs]}}, project="id", tag="job")
    query.append(orm.Dict, with_incoming="job", edge_filters={"label": "summary"}, project="attributes")
    return dict(query.all()) if jobs else {}


def is_job(node: orm.Node) -> bool:
    """Return whether ``node`` is a job of the engine."""
    if not isinstance(node, orm.CalcJobNode):
        return False
    try:
        return issubclass(node.process_class, PetCalculation)
    except ValueError:
        return False


def job_record(job: Any) -> dict[str, Any]:
    """Return what ``job`` did and cost: rows, times in seconds, evaluations, memory in MB.

    ``wall_s`` is from creation to the end of parsing, the queue and AiiDA included.
    """
    summary = job.outputs.summary.get_dict() if "summary" in job.outputs else {}
    return {
        "uuid": job.uuid,
        "pk": job.pk,
        "exit_status": job.exit_status,
        "cached": job.base.caching.is_created_from_cache,
        "wall_s": (job.mtime - job.ctime).total_seconds(),
        **{key: summary.get(key) for key in _KEYS},
    }
