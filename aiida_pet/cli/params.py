"""``aiida-pet params``: the parameters of each task, with units and defaults."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import click

from aiida_pet.cli.output import echo_json, json_option, table_text

TASKS = ("relax", "static", "phonons", "elastic")


@click.command()
@click.argument("task", type=click.Choice(TASKS))
@json_option
def params(task: str, as_json: bool) -> None:
    """Print the parameters of TASK with their defaults and units.

    Each can be given to `aiida-pet launch TASK --set NAME=VALUE`.
    """
    from aiida_pet.engine.job import Task
    from aiida_pet.engine.parameters import PARAMETERS, describe_parameters, parse_parameters

    rows = describe_parameters(Task(task))
    choices = {name: _choices(info.annotation) for name, info in PARAMETERS[Task(task)].model_fields.items()}
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


def _choices(annotation: Any) -> list[str]:
    """Return the values of a parameter that is a choice, an empty list for a number."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [str(choice.value) for choice in annotation]
    return []
