"""``aiida-pet stop``: a campaign is ended before its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_json, json_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

PATIENCE_S = 120.0
POLL_S = 1.0


@click.command()
@click.argument("pk")
@click.option(
    "--after-current-jobs", is_flag=True, help="Let the jobs that run now end first, rather than cancel them."
)
@json_option
@pass_session
def stop(session: Session, *, pk: str, after_current_jobs: bool, as_json: bool) -> None:
    """Stop the launch PK; `aiida-pet resume PK` takes it up again.

    Its jobs are cancelled in their queues, and the rows that they finished are fetched; those under way begin again.
    With --after-current-jobs the jobs end first.
    """
    from aiida.orm import WorkChainNode

    from aiida_pet.campaigns.nodes import load
    from aiida_pet.campaigns.progress import state_of
    from aiida_pet.campaigns.resumption import is_campaign
    from aiida_pet.computers.daemon import daemon_problem
    from aiida_pet.workchains.jobs import jobs_of
    from aiida_pet.workchains.stopping import request_stop

    session.load()
    node = load(pk, WorkChainNode)
    if node.is_terminated:
        raise click.ClickException(f"<{node.pk}> has ended already: {state_of(node)}")
    running = [job for job in jobs_of(node) if not job.is_terminated]
    request_stop(node)
    if not after_current_jobs:
        problem = daemon_problem()
        if problem:
            raise click.ClickException(f"{problem}; it stops before its next job")
        running = _call_off(node)
    if as_json:
        echo_json({"pk": node.pk, "state": state_of(node), "jobs": [job.pk for job in running]})
    elif node.is_terminated:
        goes_on = f": `aiida-pet resume {node.pk}` goes on" if is_campaign(node) else ""
        click.echo(f"<{node.pk}> {state_of(node)}, with {plural(len(running), 'job')} cancelled{goes_on}")
    elif after_current_jobs:
        told = f"after the {plural(len(running), 'job')} of now"
        click.echo(f"<{node.pk}> stops {told}: `aiida-pet status {node.pk} --watch`")
    else:
        click.echo(
            f"<{node.pk}> stops when what its {plural(len(running), 'job')} finished is fetched: "
            f"`aiida-pet status {node.pk} --watch`; `verdi process kill {node.pk}` does not wait for that"
        )


def _call_off(node: WorkChainNode) -> list[Any]:
    """Cancel the jobs below ``node``, and wait for its end for a while; return them.

    Jobs that no queue has yet are killed: there is nothing to fetch. Those that are paused go on to fetch.

    :raises click.ClickException: if a computer cannot be asked.
    """
    from aiida.engine.processes.control import kill_processes, play_processes

    from aiida_pet.workchains.jobs import jobs_of
    from aiida_pet.workchains.stopping import cancel_jobs

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
            play_processes(paused, timeout=PATIENCE_S)
        others = [job for job in jobs if job.get_job_id() is None]
        if others:
            kill_processes(others, msg_text="stopped by aiida-pet stop", timeout=PATIENCE_S)
        if problems:
            raise click.ClickException(
                f"{'; '.join(problems)}. <{node.pk}> stops when its jobs have ended: `aiida-pet stop {node.pk}` tries "
                f"again, `verdi process kill --force {node.pk}` does not wait for a computer"
            )
        if node.is_terminated or time.monotonic() > deadline:
            return list(called_off.values())
        time.sleep(POLL_S)
