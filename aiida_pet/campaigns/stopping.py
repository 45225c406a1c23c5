"""A launch ended before its time: its jobs are cancelled in their queues, and what they finished is fetched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from aiida.engine.processes import control
from aiida.orm import WorkChainNode

from aiida_pet.campaigns.errors import HasEndedError, NotStoppedError
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.progress import state_of
from aiida_pet.campaigns.resumption import is_campaign
from aiida_pet.computers import daemon
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.stopping import cancel_jobs, request_stop

PATIENCE_S = 120.0
"""So long an end is waited for."""
POLL_S = 1.0


@dataclass(frozen=True)
class Stopped:
    """A launch that was asked to stop.

    :ivar pk: pk of the launch.
    :ivar state: state of its process by now, in words.
    :ivar has_ended: whether it has ended by now; otherwise it stops when what its jobs finished is fetched.
    :ivar jobs: pks of the jobs that were cancelled, or that still run before the launch stops.
    :ivar can_be_resumed: whether another launch can take it up.
    """

    pk: int | None
    state: str
    has_ended: bool
    jobs: list[int]
    can_be_resumed: bool


def stop(named: Named, *, after_current_jobs: bool = False) -> Stopped:
    """Stop a launch, and wait for its end for a while.

    Jobs are cancelled in their queues, and the rows that they finished are fetched; rows that were being computed begin
    again when the launch is taken up.

    :param named: the launch, by pk, uuid, label or as a node.
    :param after_current_jobs: let the jobs that run now end first, and do not wait.
    :raises HasEndedError: if it has ended already.
    :raises NotStoppedError: if no daemon runs, or a computer cannot be reached; the launch then stops later.
    """
    node: WorkChainNode = load(named, WorkChainNode)
    if node.is_terminated:
        raise HasEndedError(node.pk, state_of(node))
    jobs = [job for job in jobs_of(node) if not job.is_terminated]
    request_stop(node)
    if not after_current_jobs:
        problem = daemon.daemon_problem()
        if problem:
            raise NotStoppedError(node.pk, f"{problem}; the launch stops before its next job")
        jobs = _call_off(node)
    return Stopped(node.pk, state_of(node), node.is_terminated, [job.pk for job in jobs], is_campaign(node))


def _call_off(node: WorkChainNode) -> list[Any]:
    """Cancel the jobs below ``node``, and wait for its end for a while; return them.

    Jobs that no queue has yet are killed: there is nothing to fetch. Those that are paused go on to fetch.

    :raises NotStoppedError: if a computer cannot be asked.
    """
    called_off: dict[int, Any] = {}
    deadline = time.monotonic() + PATIENCE_S
    while True:
        # a lane that did not see the mark in time may still start one
        jobs = [job for job in jobs_of(node) if not job.is_terminated and job.pk not in called_off]
        called_off |= {job.pk: job for job in jobs}
        # a job from the cache has the id in the queue that another had: it ends by itself
        jobs = [job for job in jobs if not job.base.caching.is_created_from_cache]
        in_queue = [job for job in jobs if job.get_job_id() is not None]
        problems = cancel_jobs(in_queue)
        paused = [job for job in in_queue if job.paused]
        if paused:
            control.play_processes(paused, timeout=PATIENCE_S)
        others = [job for job in jobs if job.get_job_id() is None]
        if others:
            control.kill_processes(others, msg_text="stopped by aiida-pet stop", timeout=PATIENCE_S)
        if problems:
            raise NotStoppedError(
                node.pk,
                f"{'; '.join(problems)}. <{node.pk}> stops when its jobs have ended: `aiida-pet stop {node.pk}` tries "
                f"again, `verdi process kill --force {node.pk}` does not wait for a computer",
            )
        if node.is_terminated or time.monotonic() > deadline:
            return list(called_off.values())
        time.sleep(POLL_S)
