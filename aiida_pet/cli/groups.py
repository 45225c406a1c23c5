"""Groups of commands and lists of options that read well: sorted by what people want to do, with help for a slip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import click

from aiida_pet.words import close_names, did_you_mean, either


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
            ctx.fail(f"No such command {name!r}{_meant(name, ctx, self)}.")
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


OTHER_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("run", "submit", "start", "calculate"), "launch"),
    **dict.fromkeys(("ls", "processes", "history", "jobs"), "list"),
    **dict.fromkeys(("rm", "remove"), "delete"),
    **dict.fromkeys(("kill", "cancel", "abort"), "stop"),
    **dict.fromkeys(("continue", "restart", "retry"), "resume"),
    **dict.fromkeys(("log", "watch", "progress", "follow"), "status"),
    **dict.fromkeys(("init", "install", "configure"), "setup"),
    **dict.fromkeys(("check", "diagnose"), "doctor"),
    **dict.fromkeys(("search", "query"), "find"),
    **dict.fromkeys(("draw", "figure"), "plot"),
    **dict.fromkeys(("structures", "crystals", "sets"), "data list"),
    **dict.fromkeys(("models",), "model list"),
    **dict.fromkeys(("rename",), "label"),
    **dict.fromkeys(("protocols", "parameters", "options"), "params"),
    **dict.fromkeys(("help",), "--help"),
}
"""What people call a command of the program, where the words are not alike."""


def _meant(name: str, ctx: click.Context, group: click.Group) -> str:
    """Return which command ``name`` may be: one of its group, or of another group, there with its whole path."""
    root = ctx.find_root()
    program = str(root.info_name)
    if group is root.command and name.lower() in OTHER_WORDS:
        return f" (did you mean `{program} {OTHER_WORDS[name.lower()]}`?)"
    own = group.list_commands(ctx)
    paths = [path for path in _paths(root.command, root) if path[-1] not in own]
    elsewhere = [path for path in paths if path[-1] == name] or [
        path for path in paths if path[-1] in close_names(name, {one[-1] for one in paths})
    ]
    close = close_names(name, own)
    if not close or any(path[-1] == name for path in elsewhere):
        close = [f"`{' '.join([program, *path])}`" for path in elsewhere[:3]] or close
    return f" (did you mean {either(close)}?)" if close else ""


def _paths(
    command: click.Command, ctx: click.Context, before: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the names that lead to each command below ``command``."""
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield (*before, name)
            yield from _paths(command.get_command(ctx, name) or click.Command(name), ctx, (*before, name))


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
    if isinstance(error, click.NoSuchOption):
        close, error.possibilities = close_names(error.option_name, error.possibilities or ()), None
        return f" (did you mean {either(close)}?)" if close else ""
    parameter = getattr(error, "param", None)
    if not isinstance(error, click.BadParameter) or parameter is None or "did you mean" in error.message:
        return ""
    choices: Iterable[Any] = getattr(parameter.type, "choices", ())
    typed = error.message.partition("'")[2].partition("'")[0]
    return did_you_mean(typed, map(str, choices)) if typed and error.message.startswith("'") else ""
