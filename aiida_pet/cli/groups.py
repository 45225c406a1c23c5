"""Groups of commands and lists of options that read well: sorted by what people want to do, with help for a slip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import click

from aiida_pet.words import did_you_mean


class SuggestingGroup(click.Group):
    """A group that says which command a mistyped one may be, and prints whole summaries under headings.

    :ivar headings: heading -> names of commands; what is under none of them comes last.
    """

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that ``args`` begin with; see the class."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = did_you_mean(name, self.list_commands(ctx))
            ctx.fail(f"No such command {name!r}{hint}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings, each with its whole summary."""
        names = self.list_commands(ctx)
        placed = {name for of_heading in self.headings.values() for name in of_heading}
        others = [name for name in names if name not in placed]
        groups = {heading: [name for name in of if name in names] for heading, of in self.headings.items()}
        for heading, of_heading in {**groups, "More" if groups else "Commands": others}.items():
            rows = [(name, _summary(self.get_command(ctx, name))) for name in of_heading]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows, col_max=max(map(len, names)) + 2)


def _summary(command: click.Command | None) -> str:
    """Return the first sentence of the help of a command."""
    return "" if command is None else command.get_short_help_str(limit=1000)


class OptionsByUse(click.Command):
    """A command whose help shows the options that most people need first, and the others under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by :data:`USES`."""
        found: dict[str, list[tuple[str, str]]] = {heading: [] for heading in USES}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                found[_heading_of(str(parameter.name))].append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


_RESOURCES = (
    *("lanes", "job_size", "job_duration", "gpus", "gpu_type", "cpus_per_gpu", "cpus", "memory", "walltime"),
    *("account", "partition", "qos", "option"),
)
USES: Mapping[str, Sequence[str]] = {
    "Options": (),
    "What each job asks for": _RESOURCES,
    "How it runs": ("code", "setting", "clean_workdir", "reuse"),
}
"""Heading -> parameters; those under none of them are common ones."""


def _heading_of(name: str) -> str:
    return next((heading for heading, names in USES.items() if name in names), "Options")


def suggestion(error: click.UsageError) -> str:
    """Return which choice a mistyped value may be, empty if there is none or none is close."""
    parameter = getattr(error, "param", None)
    if not isinstance(error, click.BadParameter) or parameter is None or "did you mean" in error.message:
        return ""
    choices: Iterable[Any] = getattr(parameter.type, "choices", ())
    typed = error.message.partition("'")[2].partition("'")[0]
    return did_you_mean(typed, map(str, choices)) if typed and error.message.startswith("'") else ""
