"""What commands print: tables for people, JSON for programs.

Tables fit the terminal and round numbers (:mod:`aiida_pet.printed`); JSON carries all digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from aiida_pet.words import plain

if TYPE_CHECKING:
    from aiida_pet.computers.checks import Check
    from aiida_pet.computers.steps import Step
    from aiida_pet.printed.rows import RowsForPeople


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with ``--json``, passed as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(
        function
    )


def echo_json(document: Any) -> None:
    """Print ``document`` as indented JSON."""
    click.echo(json.dumps(plain(document), indent=2))


def terminal_width(stream: Literal["stdout", "stderr"] = "stdout") -> int | None:
    """Return the characters of a line of the terminal; None if ``stream`` goes into a file or another program."""
    import shutil

    return shutil.get_terminal_size().columns if click.get_text_stream(stream).isatty() else None


def wide_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with ``--wide``, passed as ``wide``."""
    text = "Show all columns and long texts, even if lines are wider than the terminal."
    return click.option("--wide", is_flag=True, help=text)(function)


def columns_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command with ``--columns``, passed as ``columns``: a list of names, None if it is not given."""
    return click.option(
        "--columns",
        metavar="A,B,...",
        callback=lambda _context, _parameter, value: names_in(value),
        help="Show these columns, in this order.",
    )(function)


def names_in(text: str | None) -> list[str] | None:
    """Return the names of ``A,B,...``; None for None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def echo_table(
    rows: Iterable[Sequence[Any]],
    headers: Sequence[str],
    *,
    units: Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
    wide: bool = False,
    once: bool = True,
    indent: str = "",
) -> None:
    """Print rows as a table that fits the terminal; what is the same in all is said once, what has no room is named.

    :param headers: names of the columns; those of the catalogue have their units.
    :param units: units of further columns.
    :param columns: those of ``headers`` that were asked for, in their order; all if None.
    :param wide: print everything, however wide.
    :param once: whether what is the same in all rows is said once.
    :param indent: before each line.
    :raises click.BadParameter: if a column was asked for that there is not.
    """
    data = [list(row) for row in rows]
    chosen = list(headers) if columns is None else [_known_column(name, headers) for name in columns]
    places = [headers.index(name) for name in chosen]
    if columns is not None and places[:1] != [0]:  # the first one names the rows
        places, chosen = (
            [0, *(i for i in places if i)],
            [headers[0], *(one for one in chosen if one != headers[0])],
        )
    echo_columns(
        {name: [row[place] for row in data] for name, place in zip(chosen, places, strict=True)},
        units,
        asked=columns is not None,
        wide=wide,
        once=once,
        indent=indent,
    )


def _known_column(name: str, known: Sequence[str]) -> str:
    from aiida_pet.words import unknown_name

    if name not in known:
        raise click.BadParameter(unknown_name(name, known), param_hint="--columns")
    return name


def echo_columns(
    columns: Mapping[str, Sequence[Any]],
    units: Mapping[str, str] | None = None,
    *,
    asked: bool = False,
    wide: bool = False,
    once: bool = True,
    indent: str = "",
    reasons_below: bool = False,
) -> RowsForPeople:
    """Print columns of values as :func:`echo_table` prints rows.

    :param asked: whether they were asked for by name.
    :param reasons_below: whether the caller tells below why rows lack values, where there is no room for it.
    :return: what was printed, which says what there was no room for.
    """
    from aiida_pet.printed.layout import said_left_out, said_once
    from aiida_pet.printed.rows import rows_for_people

    width = terminal_width()
    inner = None if width is None else width - len(indent)
    found = rows_for_people(
        columns, units, width=inner, asked=asked or not once, wide=wide, reasons_below=reasons_below
    )
    count = len(next(iter(columns.values()), ()))
    for line in said_once(found.laid.once, count):
        say(line)
    click.echo("\n".join(f"{indent}{line}" for line in found.laid.text.splitlines()))
    left_out = said_left_out(found.laid.left_out, found.laid.shortened, asked)
    if left_out:
        note(left_out)
    return found


def wrapped_table(rows: Iterable[Sequence[str]], headers: Sequence[str], *, wide: bool = False) -> str:
    """Return rows of text under ``headers`` within the width of the terminal; the last column goes on below itself."""
    from aiida_pet.printed.pairs import wrapped_rows

    return wrapped_rows([list(row) for row in rows], headers, None if wide else terminal_width())


def echo_pairs(
    pairs: Mapping[str, Any], units: Mapping[str, str] | None = None, *, wide: bool = False
) -> None:
    """Print ``name: value`` lines with the values aligned; long values go on below themselves.

    :param units: name -> unit, by which numbers are rounded.
    """
    from aiida_pet.printed.cells import shown
    from aiida_pet.printed.pairs import pair_lines

    texts = {name: shown(value, (units or {}).get(name, ""), name) for name, value in pairs.items()}
    for line in pair_lines(texts, None if wide else terminal_width()):
        click.echo(line)


def note(message: str) -> None:
    """Say something beside the data: on standard error, so that the data can be piped; long lines go on below."""
    for line in _wrapped(message.rstrip("\n"), 2, terminal_width("stderr")):
        click.echo(line, err=True)


def within_terminal(message: str, taken: int) -> str:
    """Return ``message`` in lines that fit the terminal of standard error.

    :param taken: characters that stand before it in its first line.
    """
    from aiida_pet.printed.pairs import hanging

    width = terminal_width("stderr")
    first, *others = message.split("\n")
    lines = [
        *hanging(" " * taken, first, 2, width),
        *(_wrapped("\n".join(others), 2, width) if others else ()),
    ]
    return "\n".join(lines).lstrip(" ")


def say(message: str, indent: int = 2) -> None:
    """Print sentences; a line that is longer than the terminal goes on below itself, ``indent`` further in."""
    for line in _wrapped(message, indent, terminal_width()):
        click.echo(line)


def _wrapped(message: str, indent: int, width: int | None) -> list[str]:
    from aiida_pet.printed.pairs import hanging

    lines: list[str] = []
    for line in message.split("\n"):
        start = len(line) - len(line.lstrip())
        lines += hanging(line[:start], line[start:], start + indent, width)
    return lines


def echo_check(check: Check) -> None:
    """Print one line of a check, and its remedy below it."""
    say(f"{check.what:<15} {'ok' if check.ok else 'problem':<8} {check.detail}", 25)
    if check.remedy:
        say(f"{'':<15} -> {check.remedy}", 3)


def echo_step(step: Step) -> None:
    """Print one line of the set-up."""
    pk = f" <{step.pk}>" if step.pk is not None else ""
    detail = f": {step.detail}" if step.detail else ""
    say(f"{step.what:<9} {step.state:<8} {step.name}{pk}{detail}", 19)
