"""``aiida-pet resume`` of a training: it goes on from its newest checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from aiida_pet.campaigns.lines import told_options
from aiida_pet.cli.launching import (
    Request,
    check_options,
    check_sendable,
    read_resources,
    start,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, say


def resume_training(node: Any, request: Request) -> None:
    """Take up the training ``node`` with what the command line changes: queue, walltime, memory, device.

    :raises click.ClickException: if it ended well.
    :raises NotEndedError: if it goes on.
    :raises TakenUpError: if another launch has taken it up.
    """
    from aiida_pet.campaigns import training
    from aiida_pet.campaigns.resumption import check_ended, check_not_taken_up
    from aiida_pet.computers.codes import find_code
    from aiida_pet.computers.resources import ResourceError, job_options

    check_ended(node)
    check_not_taken_up(node)
    if node.is_finished_ok:
        raise click.ClickException(f"<{node.pk}> has ended well: its model is <{node.outputs.model.pk}>")
    if node.process_label != "TrainWorkChain":
        raise click.ClickException(f"<{node.pk}> is a single job: launch a training, which can be resumed")
    if request.model is not None:
        raise click.UsageError("--model: a resumed training keeps its initial model")
    source = click.get_current_context().get_parameter_source
    code = find_code(request.code) if source("code") is not click.core.ParameterSource.DEFAULT else None
    builder: Any = training.resume_training(node, code)
    check_sendable(builder.code)
    options, settings = (
        parse_settings(request.option, "--option"),
        parse_settings(request.setting, "--setting"),
    )
    check_options(options, settings)
    try:
        asked = read_resources(request, options)
        changed = job_options(builder.code.computer, asked, options) if asked or options else {}
    except ResourceError as error:
        raise click.UsageError(str(error)) from error
    builder.options = {**dict(builder.options or {}), **changed}
    builder.settings = {**dict(builder.settings or {}), **settings}
    done = max((job.epochs_done for job in training.training_progress(node).jobs), default=0)
    if request.dry_run:
        if request.as_json:
            echo_json({"pk": node.pk, "epochs_done": done, "options": dict(builder.options)})
            return
        say(f"<{node.pk}>: its last stage goes on from its newest checkpoint")
        say(f"each job asks for {told_options(dict(builder.options))}\nnothing was started")
        return
    request = replace(request, label=request.label or str(node.label))
    start(builder, str(node.process_label), request, {"resumed": node.pk, "epochs_done": done})
