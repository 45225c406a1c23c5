"""``aiida-pet launch``: start a task over a set of crystals, or say beforehand what it would take."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.campaigns.lines import told_jobs, told_options
from aiida_pet.cli.groups import OptionsByUse, SuggestingGroup
from aiida_pet.cli.launch_hull import hull
from aiida_pet.cli.launch_screen import screen
from aiida_pet.cli.launch_training import calibrate, distill, finetune, train
from aiida_pet.cli.launching import (
    Request,
    check_request,
    check_script,
    echo_script,
    launch_options,
    load_targets,
    note_elsewhere,
    protocol_option_of,
    read_site,
    script_option,
    start,
    targets_argument,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, echo_pairs, note
from aiida_pet.cli.session import Session
from aiida_pet.job.tasks import TaskEntry, tasks
from aiida_pet.words import assigned, duration, plural, shortened

if TYPE_CHECKING:
    from aiida_pet.campaigns.displacements import Cost
    from aiida_pet.campaigns.estimates import Estimate
    from aiida_pet.campaigns.plans import Plan


class _TaskGroup(SuggestingGroup):
    """The commands of a group, and one for each task of the catalogue."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *tasks()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command ``cmd_name``, None if there is none."""
        command = super().get_command(ctx, cmd_name)
        entry = tasks().get(cmd_name)
        return command if command is not None or entry is None else task_command(entry)


@click.group(cls=_TaskGroup)
def launch() -> None:
    """Start a task or a screening over a set of crystals."""


launch.add_command(hull)
launch.add_command(screen)
for _command in (train, finetune, distill, calibrate):
    launch.add_command(_command)

_where = click.option(
    "--where",
    metavar="CONDITION",
    help="Take only crystals that fulfil this condition, such as 'n_atoms < 10'.",
)
_set = click.option(
    "--set",
    "set_",
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter to another value than the protocol does; `aiida-pet params TASK` lists the parameters.",
)


def task_command(entry: TaskEntry) -> click.Command:
    """Return the command that launches the task of ``entry``."""

    def command(session: Session, **options: Any) -> None:
        extra: dict[str, Any] = {flag.name: True for flag in entry.flags if options.pop(flag.name)}
        for setting in entry.settings:
            value = options.pop(setting.name)
            if value:
                option = _option_of(setting.name)
                extra[setting.name] = parse_settings(value, option) if setting.is_pairs else value
        _launch(session, entry.name, **options, extra=extra)

    decorators = [targets_argument, protocol_option_of(entry.further_protocols, or_file=True), _set]
    decorators += [_where, script_option]
    decorators += [click.option(_option_of(flag.name), is_flag=True, help=flag.help) for flag in entry.flags]
    decorators += [
        click.option(_option_of(one.name), multiple=one.is_pairs, metavar=one.metavar, help=one.help)
        for one in entry.settings
    ]
    if entry.cost:
        decorators.append(
            click.option(
                "--yes",
                is_flag=True,
                help="Launch even if the computation is very large. Without this option a very large computation is "
                "refused.",
            )
        )
    decorated: Any = launch_options(command)
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return click.command(entry.name, cls=OptionsByUse, help=f"{entry.summary}\n{entry.details}")(decorated)


def _option_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _launch(
    session: Session, task: str, *, request: Request, script: bool, yes: bool = False, **options: Any
) -> None:
    check_script(script, request)
    session.load()
    check_request(request)
    plan = _plan(task, request, **options)
    if script:
        from aiida_pet.campaigns.scripts import job_script

        echo_script(job_script(task, plan.table(), plan.site, plan.parameters), request.as_json)
        return
    cost = _cost_of(plan)
    if request.dry_run:
        _tell_plan(plan, request, cost)
        return
    if cost is not None and cost.too_much and not yes:
        raise click.ClickException(
            f"{cost.told}: nothing was started. Give --yes to compute them, or {cost.remedy}"
        )
    if cost is not None:
        _note_cost(cost)
    for text in plan.notes():
        note(f"Warning: {text}")
    record = {
        "structures": plan.structures.pk,
        "model": plan.site.model.pk,
        "parameters": plan.parameters,
    }
    start(plan.builder(), task, request, record)


def _plan(
    task: str,
    request: Request,
    *,
    targets: tuple[str, ...],
    protocol: str | None,
    set_: tuple[str, ...],
    where: str | None,
    extra: dict[str, Any] | None = None,
) -> Plan:
    """Return what to start, with everything checked that can be checked before.

    :raises click.ClickException: for what is not there or does not fit, with the remedy.
    """
    from aiida_pet.campaigns.plans import Plan
    from aiida_pet.job.parameters import ParameterError
    from aiida_pet.job.tasks import Task
    from aiida_pet.workchains.protocols import protocol_inputs

    parameters = parse_settings(set_)
    try:  # before anything is imported
        protocol_inputs(Task(task), protocol, {"parameters": parameters})
    except ParameterError as error:
        known = f"`aiida-pet params {task}` prints the known parameters with units and defaults"
        raise click.ClickException(f"{error}\n{known}") from error
    site = read_site(request)
    structures = load_targets(targets, store=not request.dry_run)
    return Plan.of(task, structures, site, protocol=protocol, parameters=parameters, where=where, extra=extra)


def _cost_of(plan: Plan) -> Cost | None:
    """Return what a launch evaluates, None for a task of which atoms tell enough.

    :raises click.ClickException: if it cannot be counted for want of a library.
    """
    from aiida_pet.job.tasks import entry_of
    from aiida_pet.plugins import load

    counter = entry_of(plan.task).cost
    if not counter:
        return None
    try:
        found: Cost = load(counter)(plan.table(), plan.parameters)
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    return found


def _note_cost(cost: Cost) -> None:
    for name, why in cost.failed.items():
        note(f"Warning: {name} will not be computed: {why}")
    if cost.metals:
        note(
            f"Warning: all elements of {plural(len(cost.metals), 'crystal')} ({shortened(cost.metals)}) are "
            "metals: only the conductivity of the lattice is computed, and electrons may carry more"
        )
    for text in cost.notes:
        note(f"Warning: {text}")


def _tell_plan(plan: Plan, request: Request, cost: Cost | None = None) -> None:
    from aiida_pet.campaigns.plans import refused_rows, unsupported_elements, unsupported_rows

    table = plan.table()
    expected = plan.site.estimate(plan.task, table.n_atoms, request.job_duration, plan.parameters)
    unsupported = unsupported_elements(table, plan.site.model)
    refused = refused_rows(plan.task, table, plan.parameters)
    if request.as_json:
        record = asdict(expected) | {
            "task": plan.task,
            "model": plan.site.model.pk,
            "parameters": plan.parameters,
            "options": plan.site.options,
        }
        record |= {"unsupported_elements": unsupported, "refused": refused}
        record["n_unsupported"] = unsupported_rows(table, plan.site.model)
        record["rate"]["basis"] = expected.rate.basis
        record["notes"] = plan.notes()
        if cost is not None:
            record["cost"] = asdict(cost)
        echo_json(record)
        return
    _echo_estimate(plan, expected, cost)
    note_elsewhere([expected], plan.site)
    if cost is not None:
        _note_cost(cost)
    for text in plan.notes():
        note(f"Warning: {text}")
    if unsupported:
        count = unsupported_rows(table, plan.site.model)
        note(
            f"Warning: {plan.site.model.name} does not know {shortened(unsupported)}: "
            f"{plural(count, 'crystal')} of {len(table):,} will end as unsupported_element"
        )
    for why, ids in refused.items():
        note(f"Warning: {plural(len(ids), 'crystal')} ({shortened(ids)}) will not be computed: {why}")
    click.echo("nothing was started")


def _echo_estimate(plan: Plan, expected: Estimate, cost: Cost | None) -> None:
    evaluates = None if cost is None else cost.told + (" (wants --yes)" if cost.too_much else "")
    later = {} if cost is None else cost.later
    of_time = f" (without the {' and '.join(later)})" if later else ""
    told = {"defaults": assigned(_defaults(plan)), "evaluates": evaluates}
    echo_pairs(
        {
            "task": plan.task,
            "crystals": f"{expected.rows:,} with {plural(expected.atoms, 'atom')}",
            "model": f"{plan.site.model.name} <{plan.site.model.pk}>",
            "code": plan.site.code.full_label,
            "protocol": _protocol_of(plan),
            "parameters": assigned({name: plan.parameters[name] for name in _chosen(plan)}),
            **{name: text for name, text in told.items() if text},
            "jobs": told_jobs(expected),
            "lanes": expected.lanes,
            "asks for": told_options(plan.site.options),
            "time": f"about {duration(expected.wall_s)} if all lanes run side by side{of_time}",
            **later,
            "memory": f"about {expected.memory_mb:.0f} MB per job",
            "based on": expected.rate.basis,
        }
    )


def _protocol_of(plan: Plan) -> str:
    """Return the name of the protocol, or the file of one."""
    from aiida_pet.job.tasks import Task
    from aiida_pet.workchains.protocols import default_protocol

    return str(plan.inputs.get("protocol") or default_protocol(Task(plan.task)))


def _chosen(plan: Plan) -> list[str]:
    """Return the parameters that the protocol or the command sets."""
    from aiida_pet.job.tasks import Task
    from aiida_pet.workchains.protocols import protocol_inputs

    chosen = protocol_inputs(Task(plan.task), plan.inputs.get("protocol"), plan.inputs.get("overrides"))
    return [name for name in chosen.parameters if name in plan.parameters]


def _defaults(plan: Plan) -> dict[str, Any]:
    chosen = _chosen(plan)
    return {name: value for name, value in plan.parameters.items() if name not in chosen}
