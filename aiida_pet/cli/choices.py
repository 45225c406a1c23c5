"""Choices among names that installed packages add to: they are looked up when a command runs, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from aiida_pet.words import did_you_mean


class NamesOf(click.ParamType):
    """One of the names that a function returns.

    :param names: called when a value is to be checked.
    """

    name = "choice"

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names as the usage line shows them."""
        return "{" + "|".join(self._names()) + "}" if isinstance(param, click.Argument) else "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return ``value`` if it is one of the names."""
        names = list(self._names())
        if value not in names:
            hint = did_you_mean(value, names)
            self.fail(f"{value!r} is not one of {', '.join(map(repr, names))}{hint}", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin with ``incomplete``."""
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]
