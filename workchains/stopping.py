"""Stopping a campaign: a mark on its process, which those below it look for before each job, and jobs called off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiida import orm
from aiida.engine.daemon.execmanager import kill_calculation

MARK = "aiida_pet_stop"


def request_stop(node: orm.ProcessNode) -> None:
    """Let every lane below ``node`` end after the job that it runs now."""
    node.base.extras.set(MARK, True)


def is_stop_requested(node: orm.ProcessNode) -> bool:
    """Return whether ``node`` or a process above it is to stop.

    The database is asked, since the mark is set by another process.
    """
    current: Any = node
    while current is not None:
        query = orm.QueryBuilder()
        query.append(orm.ProcessNode, filters={"id": current.pk}, project=[f"extras.{MARK}"])
        if query.first(flat=True):
            return True
        current = current.caller
    return False


def is_in_queue(job: orm.CalcJobNode) -> bool:
    """Return whether ``job`` was given to a queue, and AiiDA looks for its end."""
    return job.get_job_id() is not None and not job.paused


def cancel_jobs(jobs: Iterable[Any]) -> list[str]:
    """Cancel ``jobs`` in the queues of their computers; their processes go on, and fetch what they finished.

    :return: what went wrong, a line for each computer that could not be asked.
    """
    by_computer: dict[str, list[Any]] = defaultdict(list)
    for job in jobs:
        by_computer[job.computer.label].append(job)
    problems = []
    for label, members in by_computer.items():
        try:
            with members[0].get_authinfo().get_transport() as transport:
                for job in members:
                    kill_calculation(job, transport)
        except Exception as error:  # each transport and scheduler has errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            problems.append(f"jobs on {label} could not be cancelled: {reason}")
    return problems
