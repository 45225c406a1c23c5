"""Stopping a campaign: a mark on its process, which those below it look for before each job, and jobs called off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiida import orm
from aiida.common.exceptions import FeatureNotAvailable
from aiida.engine.daemon.execmanager import kill_calculation
from aiida.transports import Transport

from aiida_pet.computers.resources import DIRECT

MARK = "aiida_pet_stop"

# Without a queue a job is a shell that waits for the engine, or for a script around it. AiiDA's plugin would end all at
# once, and fetch the files before the engine has written them; and it looks for children on this machine, wherever the
# job runs. Here only what has no children is told to end, again and again, until the shell has nothing to wait for.
_END = (
    "(end() {{ for child in $(pgrep -P $1); do end $child; done; pgrep -P $1 || kill -TERM $1; }}; i=0; "
    "while pgrep -P {pid} && [ $i -lt 240 ]; do for child in $(pgrep -P {pid}); do end $child; done; "
    "i=$((i + 1)); sleep 0.5; done; kill -TERM {pid}) >/dev/null 2>&1 &"
)


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


def cancel_jobs(jobs: Iterable[Any]) -> list[str]:
    """Cancel ``jobs``, which were given to queues; their processes go on, and fetch what they finished.

    :return: what went wrong, a line for each computer or job that could not be asked.
    """
    by_computer: dict[str, list[Any]] = defaultdict(list)
    for job in jobs:
        by_computer[job.computer.label].append(job)
    problems = []
    for label, members in by_computer.items():
        try:
            with members[0].get_authinfo().get_transport() as transport:
                for job in members:
                    problem = _cancel(job, transport)
                    if problem:
                        problems.append(f"job <{job.pk}> on {label} could not be cancelled: {problem}")
        except Exception as error:  # each transport has errors of its own
            problems.append(f"jobs on {label} could not be cancelled: {_reason(error)}")
    return problems


def _cancel(job: Any, transport: Transport) -> str:
    """Cancel ``job`` in its queue; return what went wrong, empty for nothing. One that has ended is no fault."""
    try:
        if job.computer.scheduler_type == DIRECT:
            transport.exec_command_wait(_END.format(pid=int(job.get_job_id())))
        else:
            kill_calculation(job, transport)
    except FeatureNotAvailable:
        return ""  # it does not know the job, and cannot be asked for a single one
    except Exception as error:  # each scheduler has errors of its own
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
