"""``aiida-pet stop`` and ``resume``: a campaign is ended before its time, and taken up again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.launching import (
    Request,
    changed_options,
    check_request,
    launch_options,
    load_code,
    start,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, json_option, note, plural
from aiida_pet.cli.session import Session, daemon_problem, load_as, pass_session

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

PATIENCE_S = 60.0
POLL_S = 0.5
HINT = "`aiida-pet launch` prints the pk of what it starts"


@click.command()
@click.argument("pk")
@click.option(
    "--after-current-jobs", is_flag=True, help="Let the jobs that run now end first; nothing is lost then."
)
@json_option
@pass_session
def stop(session: Session, *, pk: str, after_current_jobs: bool, as_json: bool) -> None:
    """Stop the launch PK; `aiida-pet resume PK` takes it up again.

    Without --after-current-jobs its jobs are killed, in the queue too: rows that they finished but did not yet hand
    over are computed again.
    """
    from aiida.orm import WorkChainNode

    from aiida_pet.workchains.jobs import jobs_of
    from aiida_pet.workchains.progress import state_of
    from aiida_pet.workchains.stopping import request_stop

    session.load()
    node = load_as(pk, WorkChainNode, hint=HINT)
    if node.is_terminated:
        raise click.ClickException(f"<{node.pk}> has ended already: {state_of(node)}")
    running = [job for job in jobs_of(node) if not job.is_terminated]
    request_stop(node)
    if not after_current_jobs:
        problem = daemon_problem()
        if problem:
            raise click.ClickException(f"{problem}; it stops before its next job")
        _kill(node)
    if as_json:
        echo_json({"pk": node.pk, "state": state_of(node), "jobs": [job.pk for job in running]})
    elif after_current_jobs:
        told = f"after the {plural(len(running), 'job')} of now"
        click.echo(f"<{node.pk}> stops {told}: `aiida-pet status {node.pk} --watch`")
    else:
        click.echo(
            f"<{node.pk}> {state_of(node)}, with {plural(len(running), 'job')}: `aiida-pet resume {node.pk}` goes on"
        )


def _kill(node: WorkChainNode) -> None:
    """Kill ``node`` and all below it, and wait for the end.

    :raises click.ClickException: if it does not end.
    """
    from aiida.engine.processes.control import kill_processes

    kill_processes([node], msg_text="stopped by aiida-pet stop", timeout=PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while not node.is_terminated and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if not node.is_terminated:
        raise click.ClickException(
            f"<{node.pk}> has not ended after {PATIENCE_S:g} s: `verdi process kill --force {node.pk}` does not wait "
            "for its computer"
        )


@click.command()
@click.argument("pk")
@launch_options
def resume(session: Session, *, pk: str, request: Request) -> None:
    """Take up the launch PK, which was stopped or left rows, and compute only what is left.

    With the options of before, or those given: more or fewer lanes, another code, queue or walltime. The new launch has
    the whole table; rows that were finished are taken over and not computed again.

    \b
    aiida-pet resume 12 --lanes 4
    """
    from aiida.orm import Int, WorkChainNode

    from aiida_pet.workchains.progress import state_of
    from aiida_pet.workchains.resume import resume_builder, what_is_done

    session.load()
    check_request(request)
    node = load_as(pk, WorkChainNode, hint=HINT)
    if not node.is_terminated:
        raise click.ClickException(
            f"<{node.pk}> goes on ({state_of(node)}): `aiida-pet stop {node.pk}` stops it"
        )
    if node.is_finished_ok:
        raise click.ClickException(f"<{node.pk}> has ended well: nothing is left to do")
    if request.model is not None:
        raise click.UsageError(
            "--model: the rows that are done are of the model of before; launch anew for another"
        )
    context = click.get_current_context()

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT

    builder: Any = resume_builder(node)
    code = load_code(request.code) if given("code") else builder.code
    options = changed_options(request, code, builder.code, builder.options)
    settings = dict(builder.settings or {}) | parse_settings(request.setting, "--setting")
    builder.code = code
    if given("lanes"):
        builder.lanes = Int(request.lanes)
    if request.job_size is not None:
        builder.job_size = Int(request.job_size)
    if options:
        builder.options = options
    if settings:
        builder.settings = settings
    done = what_is_done(node)
    rows = sum(len(table) for tables in done.values() for table in tables.values())
    if request.dry_run:
        if request.as_json:
            echo_json({"pk": node.pk, "rows_done": rows, "lanes": builder.lanes.value})
        else:
            click.echo(
                f"<{node.pk}>: {plural(rows, 'row')} done, {plural(builder.lanes.value, 'lane')} for the rest"
            )
            click.echo("nothing was started")
        return
    note(f"taking over {plural(rows, 'finished row')} of <{node.pk}>")
    start(builder, str(node.process_label), request, {"resumed": node.pk, "rows_done": rows})
