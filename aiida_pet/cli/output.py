"""What commands print: tables for people, JSON for programs.

Numbers are shortened in tables only (:func:`aiida_pet.words.cell`); JSON carries all digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.words import cell, plain

if TYPE_CHECKING:
    from aiida_pet.computers.checks import Check
    from aiida_pet.computers.steps import Step


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with ``--json``, passed as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(
        function
    )


def echo_json(document: Any) -> None:
    """Print ``document`` as indented JSON."""
    click.echo(json.dumps(plain(document), indent=2))


def table_text(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> str:
    """Return rows under ``headers``, in columns aligned with spaces; numbers to the right."""
    from tabulate import tabulate

    data = [list(row) for row in rows]
    numeric = [
        bool(data) and all(_is_number(row[column]) or plain(row[column]) is None for row in data)
        for column in range(len(headers))
    ]
    return str(
        tabulate(
            [[cell(value) for value in row] for row in data],
            headers=list(headers),
            tablefmt="simple",
            disable_numparse=True,
            colalign=["right" if right else "left" for right in numeric] if data else None,
        )
    )


def wrapped_table(rows: Iterable[Sequence[str]], headers: Sequence[str]) -> str:
    """Return rows of text under ``headers`` within the width of the terminal; the last column is wrapped.

    At least 30 characters are left for the last column, and the terminal counts for 120 at most.
    """
    import shutil

    from tabulate import tabulate

    data = [list(row) for row in rows]
    # tabulate keeps two more characters than a heading has
    widths = [
        max(len(heading) + 2, *(len(row[column]) for row in data))
        for column, heading in enumerate(headers[:-1])
    ]
    left = min(shutil.get_terminal_size().columns, 120) - sum(widths) - 2 * len(widths)
    return str(
        tabulate(
            data,
            headers=list(headers),
            tablefmt="simple",
            disable_numparse=True,
            maxcolwidths=[*[None] * len(widths), max(left, 30)],
        )
    )


def _is_number(value: Any) -> bool:
    value = plain(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def echo_pairs(pairs: Mapping[str, Any]) -> None:
    """Print ``name: value`` lines with the values aligned."""
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"{name + ':':<{width + 1}} {cell(value)}")


def note(message: str) -> None:
    """Say something beside the data: on standard error, so that the data can be piped."""
    click.echo(message, err=True)


def echo_check(check: Check) -> None:
    """Print one line of a check, and its remedy below it."""
    click.echo(f"{check.what:<15} {'ok' if check.ok else 'problem':<8} {check.detail}")
    if check.remedy:
        click.echo(f"{'':<15} -> {check.remedy}")


def echo_step(step: Step) -> None:
    """Print one line of the set-up."""
    pk = f" <{step.pk}>" if step.pk is not None else ""
    detail = f": {step.detail}" if step.detail else ""
    click.echo(f"{step.what:<9} {step.state:<8} {step.name}{pk}{detail}")
