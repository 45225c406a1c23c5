"""Stopping a campaign between two jobs: a mark on its process, which those below it look for before each job."""

from __future__ import annotations

from typing import Any

from aiida import orm

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
