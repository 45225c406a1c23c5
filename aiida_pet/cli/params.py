"""``aiida-pet params``: the parameters of each task, with units and defaults."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import click

from aiida_pet.cli.choices import NamesOf
from aiida_pet.cli.output import echo_json, json_option, table_text
from aiida_pet.job.tasks import task_names
from aiida_pet.words import cell

TRAIN = "train"


def _names() -> list[str]:
    return [*task_names(), TRAIN]


@click.command()
@click.argument("task", type=NamesOf(_names))
@click.option(
    "--protocols", "only_protocols", is_flag=True, help="Print the protocols only, with what each sets."
)
@json_option
def params(task: str, only_protocols: bool, as_json: bool) -> None:
    """Print the parameters of TASK with their defaults and units, and its protocols.

    Each can be given to `aiida-pet launch TASK --set NAME=VALUE`, a protocol with --protocol NAME.
    """
    if task == TRAIN:
        _echo_training(only_protocols, as_json)
        return
    if only_protocols:
        _echo_protocols(task, as_json, with_parameters=True)
        return
    from aiida_pet.job.parameters import describe_parameters, parse_parameters
    from aiida_pet.job.tasks import Task, schema_of

    rows = describe_parameters(Task(task))
    choices = {name: _choices(info.annotation) for name, info in schema_of(task).model_fields.items()}
    if as_json:
        defaults = parse_parameters(Task(task), {}).model_dump(mode="json")
        echo_json(
            {
                name: {
                    "default": defaults[name],
                    "unit": unit or None,
                    "choices": choices[name] or None,
                    "description": text,
                }
                for name, _, unit, text in rows
            }
        )
        return
    lines = [
        (name, default, unit, text + (f": {', '.join(choices[name])}" if choices[name] else ""))
        for name, default, unit, text in rows
    ]
    click.echo(table_text(lines, ("parameter", "default", "unit", "meaning")))
    click.echo()
    _echo_protocols(task, as_json=False, with_parameters=False)


def _echo_protocols(task: str, as_json: bool, *, with_parameters: bool) -> None:
    """Print what each protocol of ``task`` is for, and the parameters that it sets."""
    from aiida_pet.job.tasks import Task
    from aiida_pet.workchains.protocols import (
        ALIASES,
        available_protocols,
        default_protocol,
        protocol_inputs,
    )

    found = available_protocols(Task(task))
    sets = {name: protocol_inputs(Task(task), name).parameters for name in found}
    if as_json:
        echo_json({name: {"description": text, "parameters": sets[name]} for name, text in found.items()})
        return
    marks = {name: f"{name} (or {alias})" for alias, name in ALIASES.items()}
    default = default_protocol(Task(task))
    for name, text in found.items():
        told = ", the default" if name == default else ""
        click.echo(f"--protocol {marks.get(name, name)}{told}: {text}")
        if with_parameters:
            click.echo("  " + " ".join(f"{key}={cell(value)}" for key, value in sets[name].items()))


def _echo_training(only_protocols: bool, as_json: bool) -> None:
    """Print the options of a training, and its protocols."""
    from aiida_pet.training.parameters import Mode, describe_training, parse_training
    from aiida_pet.workchains.protocols.train import available_training_protocols, training_inputs

    found = available_training_protocols()
    rows = describe_training()
    if as_json and not only_protocols:
        defaults = parse_training({}).model_dump(mode="json")
        echo_json(
            {
                name: {"default": defaults[name], "unit": unit or None, "description": text}
                for name, _, unit, text in rows
            }
        )
        return
    sets = {name: training_inputs(Mode.SCRATCH, name).parameters for name in found}
    if as_json:
        echo_json({name: {"description": text, "parameters": sets[name]} for name, text in found.items()})
        return
    if not only_protocols:
        click.echo(table_text(rows, ("parameter", "default", "unit", "meaning")) + "\n")
    for name, text in found.items():
        click.echo(f"--protocol {name}: {text}")
        click.echo("  " + " ".join(f"{key}={cell(value)}" for key, value in sets[name].items()))


def _choices(annotation: Any) -> list[str]:
    """Return the values of a parameter that is a choice, an empty list for a number."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [str(choice.value) for choice in annotation]
    return []
