"""The jobs below a WorkChain, and what each cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.calculations.train import TrainCalculation

_CALLS = [LinkType.CALL_CALC.value, LinkType.CALL_WORK.value]
_KEYS = ("rows_total", "rows_done", "engine_s", "compute_s", "evaluations", "memory_mb", "device")


@dataclass(frozen=True)
class Calls:
    """A process and what it called, itself or through others, at one moment.

    :ivar node: the process.
    :ivar by_caller: what each process called itself, by its pk.
    """

    node: orm.ProcessNode
    by_caller: dict[int, list[Any]]

    def below(self, node: orm.ProcessNode | None = None) -> list[Any]:
        """Return the processes below ``node``, one of these, oldest first.

        :param node: the process that all of them are below, if not given.
        """
        found: list[Any] = []
        callers: list[Any] = [node or self.node]
        while callers:
            called = self.by_caller.get(callers.pop().pk, [])
            found += called
            callers += called
        # pks of what came in an archive are in no order
        return sorted(found, key=lambda one: (one.ctime, one.pk))

    def jobs(self, node: orm.ProcessNode | None = None) -> list[Any]:
        """Return the jobs of the engine (CalcJobNodes) below ``node``, or it alone if it is one, oldest first."""
        top = node or self.node
        return [top] if is_job(top) else [called for called in self.below(top) if is_job(called)]


def calls_of(node: orm.ProcessNode) -> Calls:
    """Return what ``node`` called.

    A query for each level of calls, where `called_descendants` asks for each process by itself.
    """
    by_caller: dict[int, list[Any]] = defaultdict(list)
    seen = {node.pk}
    callers = [node.pk]
    while callers:
        query = orm.QueryBuilder()
        query.append(orm.ProcessNode, filters={"id": {"in": callers}}, project="id", tag="caller")
        query.append(
            orm.ProcessNode, with_incoming="caller", edge_filters={"type": {"in": _CALLS}}, project="*"
        )
        called = [(caller, one) for caller, one in query.all() if one.pk not in seen]
        for caller, one in called:
            by_caller[caller].append(one)
        seen |= {one.pk for _, one in called}
        callers = [one.pk for _, one in called if isinstance(one, orm.WorkflowNode)]
    return Calls(node, dict(by_caller))


def jobs_of(node: orm.ProcessNode) -> list[Any]:
    """Return the jobs of the engine (CalcJobNodes) that ``node`` called, itself or through others, oldest first."""
    return [node] if is_job(node) else calls_of(node).jobs()


def called_as(node: orm.ProcessNode, label: str) -> Any | None:
    """Return the process that ``node`` called under ``label``, None if there is none.

    AiiDA saves a process between its steps: a step in which the worker was killed is done again, and what it had
    started by then goes on.
    """
    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    return next((link.node for link in links if link.link_label == label), None)


def summaries_of(jobs: Collection[Any]) -> dict[int, dict[str, Any]]:
    """Return the ``summary`` of each of ``jobs`` that has one, by pk, in one query."""
    query = orm.QueryBuilder()
    query.append(orm.CalcJobNode, filters={"id": {"in": [job.pk for job in jobs]}}, project="id", tag="job")
    query.append(orm.Dict, with_incoming="job", edge_filters={"label": "summary"}, project="attributes")
    return dict(query.all()) if jobs else {}


def is_job(node: orm.Node) -> bool:
    """Return whether ``node`` is a job of the engine or of a training."""
    if not isinstance(node, orm.CalcJobNode):
        return False
    try:
        return issubclass(node.process_class, PetCalculation | TrainCalculation)
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


def launch_of(node: orm.ProcessNode) -> orm.ProcessNode:
    """Return the process at the top, which a person launched and may resume."""
    while node.caller is not None:
        node = node.caller
    return node
