"""Values that options take: ``name=value`` pairs, walltimes, model and crystals named in several ways."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click
import yaml

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


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
        if isinstance(value, int):
            return value
        text = str(value).strip().lower()
        clock = re.fullmatch(r"(\d+):([0-5]\d):([0-5]\d)", text)
        if clock:
            hours, minutes, seconds = map(int, clock.groups())
            total = hours * 3600 + minutes * 60 + seconds
        else:
            match = _DURATION.fullmatch(text)
            parts = match.groups() if match else (None,) * 4
            total = sum(
                int(number) * _UNITS_S[unit] for number, unit in zip(parts, "dhms", strict=True) if number
            )
        if total <= 0:
            self.fail(
                f"{value!r} is not a time such as 3600 (seconds), 45m, 2h, 1h30m or 01:30:00", param, ctx
            )
        return total


WALLTIME = Walltime()
