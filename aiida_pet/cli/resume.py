"""``aiida-pet resume``: a campaign is taken up again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.launching import (
    SAME,
    Request,
    check_options,
    check_request,
    check_sendable,
    flag_of,
    launch_options,
    read_resources,
    start,
    told_options,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, note
from aiida_pet.cli.resume_training import resume_training
from aiida_pet.cli.session import Session, load_as
from aiida_pet.cli.stop import HINT
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida.orm import WorkChainNode

    from aiida_pet.campaigns.resume import Done

# Resources that are an option of their own with any scheduler.
_OF_THEIR_OWN = ("walltime", "account", "partition", "qos")


@click.command()
@click.argument("pk")
@click.option(
    "--retry-given-up", is_flag=True, help="Try the rows again that ended their job twice, at last alone."
)
@launch_options
def resume(session: Session, *, pk: str, retry_given_up: bool, request: Request) -> None:
    """Take up the launch PK, which was stopped or left rows, and compute only what is left.

    With the options of before, and those given over them: more or fewer lanes, another queue, memory or walltime. On
    another computer (--code) what jobs asked for on the first one says nothing, and that computer's defaults are taken.
    The new launch has the whole table; rows that were finished are taken over and not computed again.

    \b
    aiida-pet resume 12 --lanes 4
    aiida-pet resume 12 --walltime 24h --gpu-type h100
    """
    from aiida.orm import WorkChainNode

    from aiida_pet.campaigns.resume import computed_again, what_is_done, without_given_up
    from aiida_pet.campaigns.training import is_training

    session.load()
    check_request(request)
    node = load_as(pk, WorkChainNode, hint=HINT)
    _check_end(node)
    _check_not_taken_up(node)
    if is_training(node):
        resume_training(node, request)
        return
    done = what_is_done(node)
    sure = without_given_up(done)
    _check_left(node, _count(done) - _count(sure), retry_given_up)
    _check_model(request)
    if retry_given_up:
        done = sure
    builder = _builder(node, request, done)
    rows = _count(done)
    for sentence in computed_again(node):
        note(sentence)
    if request.dry_run:
        options = dict(builder.options or {})
        if request.as_json:
            record = {"pk": node.pk, "rows_done": rows, "lanes": builder.lanes.value}
            echo_json(record | {"options": options, "settings": dict(builder.settings or {})})
        else:
            click.echo(
                f"<{node.pk}>: {plural(rows, 'row')} done, {plural(builder.lanes.value, 'lane')} for the rest"
            )
            click.echo(f"each job asks for {told_options(options)}")
            click.echo("nothing was started")
        return
    note(f"taking over {plural(rows, 'finished row')} of <{node.pk}>")
    request = replace(request, label=request.label or str(node.label))
    start(builder, str(node.process_label), request, {"resumed": node.pk, "rows_done": rows})


def _count(done: Done) -> int:
    return sum(len(table) for tables in done.values() for table in tables.values())


def _check_end(node: WorkChainNode) -> None:
    from aiida_pet.campaigns.progress import state_of

    if not node.is_terminated:
        raise click.ClickException(
            f"<{node.pk}> goes on ({state_of(node)}): `aiida-pet stop {node.pk}` stops it"
        )


def _check_not_taken_up(node: WorkChainNode) -> None:
    from aiida_pet.campaigns.resume import TakenUpError, check_not_taken_up

    try:
        check_not_taken_up(node)
    except TakenUpError as error:
        by = error.by
        if error.is_running:
            advice = f"`aiida-pet status {by}` shows how far it is, `aiida-pet stop {by}` stops it"
        elif error.is_finished_ok:
            advice = f"`aiida-pet results {by}` shows its rows"
        else:
            advice = f"`aiida-pet resume {by}` goes on"
        raise click.ClickException(f"{error}: {advice}") from error


def _check_left(node: WorkChainNode, given_up: int, retry_given_up: bool) -> None:
    if not node.is_finished_ok:
        return
    if not given_up:
        raise click.ClickException(f"<{node.pk}> has ended well: nothing is left to do")
    if not retry_given_up:
        jobs = "its job" if given_up == 1 else "their jobs"
        raise click.ClickException(
            f"<{node.pk}> has ended well: nothing is left to do but {plural(given_up, 'row')} that ended {jobs}, "
            "which --retry-given-up tries again"
        )


def _check_model(request: Request) -> None:
    if request.model is not None:
        raise click.UsageError(
            "--model: the rows that are done are of the model of before; launch anew for another"
        )


def _builder(node: WorkChainNode, request: Request, done: Done) -> Any:
    """Return the builder of what goes on where ``node`` ended, with what the command line changes."""
    from aiida.orm import Int

    from aiida_pet.campaigns.resume import is_at_home, resume_builder
    from aiida_pet.computers.codes import find_code, share_of_cores

    source = click.get_current_context().get_parameter_source
    code = find_code(request.code) if source("code") is not click.core.ParameterSource.DEFAULT else None
    builder: Any = resume_builder(node, code, done)
    check_sendable(builder.code)
    lanes = builder.lanes.value
    if source("lanes") is not click.core.ParameterSource.DEFAULT:
        builder.lanes = Int(request.lanes)
    if request.job_size is not None:
        builder.job_size = Int(request.job_size)
    before = dict(builder.options or {})
    fill_changed_options(builder, request, at_home=is_at_home(node, code))
    _fill_settings(builder, request, share_of_cores(builder.code, lanes, before))
    return builder


def fill_changed_options(builder: Any, request: Request, *, at_home: bool) -> None:
    """Set the options of jobs: what was asked for before, and over it what is asked for now.

    :param at_home: whether jobs run where they ran before.
    :raises click.UsageError: for resources that are none, or that the computer has not.
    """
    from aiida_pet.computers.resources import ResourceError, job_options, merge_options, over
    from aiida_pet.workchains.launch import fill_options

    options = parse_settings(request.option, "--option")
    resources = read_resources(request, options)
    check_options(options, {})
    if at_home and not resources and not options:
        return
    past = dict(builder.options or {})
    asked = dict(builder.asked or {})
    own_resources, own_options = asked.get("resources", {}), asked.get("options", {})
    computer = builder.code.computer
    try:
        # options that somebody set by hand, or of a version that did not note what they were made of
        if past and past != job_options(computer, own_resources, own_options):
            builder.options = _changed_by_hand(past, resources, options)
            return
        now = {SAME.get(flag_of(name)) for name in resources}
        kept = {name: value for name, value in own_options.items() if name not in now}
        fill_options(builder, over(own_resources, resources), merge_options(kept, options))
    except ResourceError as error:
        raise click.UsageError(str(error)) from error


def _changed_by_hand(
    past: dict[str, Any], resources: dict[str, Any], options: dict[str, Any]
) -> dict[str, Any]:
    """Return ``past`` with what ``resources`` and ``options`` say in the place of what it had.

    :raises click.UsageError: for resources that stand among others in lines of the scheduler.
    :raises ResourceError: for resources that are none.
    """
    from aiida_pet.computers.resources import parse_resources

    lost = [flag_of(name) for name in resources if name not in _OF_THEIR_OWN]
    if lost:
        raise click.UsageError(
            f"{', '.join(lost)}: options of jobs were set by hand, or the computer has other defaults since then; give "
            "what they are to be as --option NAME=VALUE"
        )
    asked = parse_resources(resources)
    changed = {SAME[flag_of(name)]: getattr(asked, name) for name in resources}
    merged = past | changed | options
    variables = "environment_variables"
    if variables in merged:
        merged[variables] = past.get(variables, {}) | options.get(variables, {})
    return merged


def _fill_settings(builder: Any, request: Request, automatic: dict[str, int]) -> None:
    """Set how the engine works: as before, with what is given over it, and threads as many as lanes leave.

    :param automatic: the threads that nobody asked for, of as many lanes as there were.
    """
    from aiida_pet.computers.codes import share_of_cores

    settings = dict(builder.settings or {})
    if settings.get("threads") == automatic.get("threads"):
        settings.pop("threads", None)
    given = parse_settings(request.setting, "--setting")
    check_options({}, given)
    share = share_of_cores(builder.code, builder.lanes.value, dict(builder.options or {}))
    builder.settings = share | settings | given
