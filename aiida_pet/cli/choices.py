"""Choices among names that installed packages add to: they are looked up when a command runs, not before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from aiida_pet.names import PROTOCOL_FILES
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


class ProtocolName(click.Choice):  # type: ignore[type-arg]
    """A protocol by its name, or the file of one.

    :param or_file: whether a file may be named.
    """

    def __init__(self, names: Sequence[str], *, or_file: bool) -> None:
        super().__init__(names)
        self._or_file = or_file

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the name, or the whole path of the file."""
        if self._or_file and str(value).endswith(PROTOCOL_FILES):
            if not Path(value).is_file():
                self.fail(f"there is no file {value}", param, ctx)
            return str(Path(value).resolve())
        return super().convert(value, param, ctx)
