"""Values that options take: ``name=value`` pairs, walltimes, model and crystals named in several ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import yaml


def parse_settings(pairs: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Return ``--set NAME=VALUE`` options as a dictionary, values read as YAML.

    :param option: that they were given to, for messages.
    :raises click.BadParameter: for one that is no such pair, is no YAML, or names a parameter a second time.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name or not text.strip():
            raise click.BadParameter(f"{pair!r} is not NAME=VALUE, such as fmax=0.01", param_hint=option)
        if name in settings:
            raise click.BadParameter(f"{name} is given twice", param_hint=option)
        try:
            settings[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise click.BadParameter(
                f"{text!r}, the value of {name}, is not YAML: {error}", param_hint=option
            ) from error
    return settings


class Walltime(click.ParamType):
    """A time: ``3600`` (seconds), ``45m``, ``2h``, ``1h30m``, ``1d`` or ``HH:MM:SS``. Returned in seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the time in seconds."""
        from aiida_pet.computers.quantities import parse_duration

        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


WALLTIME = Walltime()
