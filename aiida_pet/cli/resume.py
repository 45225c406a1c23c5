"""``aiida-pet resume``: a campaign is taken up again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.campaigns.lines import told_options
from aiida_pet.cli.launching import (
    Request,
    check_options,
    check_request,
    check_sendable,
    launch_options,
    read_resources,
    start,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, note, say
from aiida_pet.cli.resume_training import resume_training
from aiida_pet.cli.session import Session
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida_pet.campaigns.resumption import Resumption


@click.command()
@click.argument("pk")
@click.option(
    "--retry-given-up",
    is_flag=True,
    help="Also compute rows that were given up because the engine broke down on them twice.",
)
@launch_options
def resume(session: Session, *, pk: str, retry_given_up: bool, request: Request) -> None:
    """Resume the launch PK, which was stopped or did not finish all rows: compute only the missing rows.

    The new launch has the options of the earlier launch; options given here replace them, such as the lanes, queue,
    memory or walltime. If --code is on another computer, the jobs use the default resources of that computer, not the
    resources of the earlier launch. The table of the new launch has all rows; finished rows are not computed again.

    \b
    aiida-pet resume 12 --lanes 4
    aiida-pet resume 12 --walltime 24h --gpu-type h100
    """
    from aiida.orm import WorkChainNode

    from aiida_pet.campaigns import resume as resumed
    from aiida_pet.campaigns.nodes import load
    from aiida_pet.campaigns.training import is_training
    from aiida_pet.computers.resources import ResourceError

    session.load()
    check_request(request)
    node = load(pk, WorkChainNode)
    if is_training(node):
        resume_training(node, request)
        return
    if request.model is not None:
        raise click.UsageError(
            "--model: a launch that is resumed keeps its model; for another model start a new launch"
        )
    try:
        found = resumed(node, **_changes(request), retry_given_up=retry_given_up)
    except ResourceError as error:
        raise click.UsageError(str(error)) from error
    builder: Any = found.builder
    check_sendable(builder.code)
    for sentence in found.computed_again:
        note(sentence)
    if request.dry_run:
        _tell(found, request)
        return
    note(f"taking over {plural(found.rows_done, 'finished row')} of <{found.pk}>")
    request = replace(request, label=request.label or found.label)
    start(builder, found.workflow, request, {"resumed": found.pk, "rows_done": found.rows_done})


_OF_BEFORE = {
    "code": "Code of the engine, by label or pk. Default: the code of the earlier launch.",
    "lanes": "Number of jobs that run at once. Default: the number of the earlier launch.",
    "job_size": "Largest number of rows in a job. Default: the number of the earlier launch.",
    "clean_workdir": "Remove or keep the folder of a job after its results are stored. Folders of failed jobs are "
    "always kept. Default: as in the earlier launch.",
    "label": "Label of the new launch. Default: the label of the earlier launch.",
    "dry_run": "Print how much is done and what each job would ask for, and start nothing.",
}
"""What options do here, where an option that is not given keeps what the earlier launch had."""


def _reword(command: click.Command) -> None:
    """Give the options of ``command`` the texts of a launch that is resumed, and hide the model, which it keeps."""
    for option in command.params:
        if isinstance(option, click.Option) and option.name in _OF_BEFORE:
            option.help, option.show_default = _OF_BEFORE[option.name], False
        elif isinstance(option, click.Option) and option.name == "model":
            option.hidden = True


_reword(resume)


def _changes(request: Request) -> dict[str, Any]:
    """Return what the command line changes: an option that was not given changes nothing."""
    from aiida_pet.computers.codes import find_code

    source = click.get_current_context().get_parameter_source
    given = {name: source(name) is not click.core.ParameterSource.DEFAULT for name in ("code", "lanes")}
    options = parse_settings(request.option, "--option")
    settings = parse_settings(request.setting, "--setting")
    check_options(options, settings)
    return {
        "code": find_code(request.code) if given["code"] else None,
        "lanes": request.lanes if given["lanes"] else None,
        "job_size": request.job_size,
        "resources": read_resources(request, options),
        "options": options,
        "settings": settings,
    }


def _tell(found: Resumption, request: Request) -> None:
    builder: Any = found.builder
    options, lanes = dict(builder.options or {}), builder.lanes.value
    if request.as_json:
        record = {"pk": found.pk, "rows_done": found.rows_done, "lanes": lanes, "options": options}
        echo_json(record | {"settings": dict(builder.settings or {})})
        return
    say(
        f"<{found.pk}>: {plural(found.rows_done, 'row')} done, {plural(lanes, 'lane')} for the rows that are left"
    )
    say(f"each job asks for {told_options(options)}")
    click.echo("nothing was started")
