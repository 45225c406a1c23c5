"""``aiida-pet params``: the parameters of each task, with units and defaults."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.choices import NamesOf
from aiida_pet.cli.output import echo_json, json_option, terminal_width, wide_option, wrapped_table
from aiida_pet.job.tasks import task_names
from aiida_pet.words import cell

if TYPE_CHECKING:
    from pydantic import BaseModel

TRAIN = "train"


def _names() -> list[str]:
    return [*task_names(), TRAIN]


@click.command()
@click.argument("task", type=NamesOf(_names))
@click.option(
    "--protocols",
    "only_protocols",
    is_flag=True,
    help="Print only the protocols, and the values that each protocol sets.",
)
@wide_option
@json_option
def params(task: str, only_protocols: bool, wide: bool, as_json: bool) -> None:
    """Print the parameters of TASK with their defaults and units, and its protocols.

    `aiida-pet launch TASK --set NAME=VALUE` sets a parameter, --protocol NAME chooses a protocol.
    """
    rows, schema, defaults = _described(task)
    choices = {name: _choices(info.annotation) for name, info in schema.model_fields.items()}
    if as_json and not only_protocols:
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
    found, default, sets = _protocols(task)
    if as_json:
        echo_json({name: {"description": text, "parameters": sets[name]} for name, text in found.items()})
        return
    if not only_protocols:
        lines = [
            (name, _WORDS.get(value, value), unit, _with_choices(text, choices[name]))
            for name, value, unit, text in rows
        ]
        click.echo(wrapped_table(lines, ("parameter", "default", "unit", "meaning"), wide=wide) + "\n")
    width = None if wide else terminal_width()
    for name, text in found.items():
        told = f"{_with_alias(name)}{', the default' if name == default else ''}"
        _echo_hanging(f"--protocol {told}: {text}", width)
        if only_protocols:
            _echo_hanging("  " + " ".join(f"{key}={cell(value)}" for key, value in sets[name].items()), width)


def _echo_hanging(text: str, width: int | None) -> None:
    from aiida_pet.printed.pairs import hanging

    indent = len(text) - len(text.lstrip()) + 2
    for line in hanging(text[: indent - 2], text.lstrip(), indent, width):
        click.echo(line)


def _described(task: str) -> tuple[list[tuple[str, str, str, str]], type[BaseModel], dict[str, Any]]:
    """Return name, default, unit and meaning of each parameter of ``task``, its schema, and its defaults as JSON."""
    if task == TRAIN:
        from aiida_pet.training.parameters import TrainingParameters, describe_training, parse_training

        return describe_training(), TrainingParameters, parse_training({}).model_dump(mode="json")
    from aiida_pet.job.parameters import describe_parameters, parse_parameters
    from aiida_pet.job.tasks import Task, schema_of

    defaults = parse_parameters(Task(task), {}).model_dump(mode="json")
    return describe_parameters(Task(task)), schema_of(task), defaults


def _protocols(task: str) -> tuple[dict[str, str], str, dict[str, dict[str, Any]]]:
    """Return protocol -> what it is for, the default's name, and protocol -> the parameters that it sets."""
    if task == TRAIN:
        from aiida_pet.training.parameters import Mode
        from aiida_pet.workchains.protocols.train import (
            available_training_protocols,
            default_training_protocol,
            training_inputs,
        )

        found = available_training_protocols()
        sets = {name: training_inputs(Mode.SCRATCH, name).parameters for name in found}
        return found, default_training_protocol(), sets
    from aiida_pet.job.tasks import Task
    from aiida_pet.workchains.protocols import available_protocols, default_protocol, protocol_inputs

    found = available_protocols(Task(task))
    sets = {name: protocol_inputs(Task(task), name).parameters for name in found}
    return found, default_protocol(Task(task)), sets


def _with_alias(protocol: str) -> str:
    """Return the name of a protocol, with the other name that it may have."""
    from aiida_pet.workchains.protocols import ALIASES

    others = [alias for alias, name in ALIASES.items() if name == protocol]
    return " ".join([protocol, *(f"(or {alias})" for alias in others)])


_WORDS = {"None": "not set", "True": "yes", "False": "no"}


def _with_choices(text: str, choices: list[str]) -> str:
    """Return the meaning of a parameter with its choices, unless it names them."""
    named = set(re.findall(r"[\w-]+", text))
    return text if set(choices) <= named else f"{text}: {', '.join(choices)}"


def _choices(annotation: Any) -> list[str]:
    """Return the values of a parameter that is a choice, an empty list for a number."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [str(choice.value) for choice in annotation]
    return []
