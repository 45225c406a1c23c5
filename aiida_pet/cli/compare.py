"""``aiida-pet compare``: two launches on the same ids, by model, protocol or release."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from aiida_pet.cli.output import echo_columns, echo_json, echo_table, json_option, say, wide_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    from aiida_pet.campaigns.comparison import Comparison

ROWS_EACH = 5
"""Rows that are named of each column."""


@click.command()
@click.argument("first", metavar="PK1")
@click.argument("second", metavar="PK2")
@click.option("--column", "columns", metavar="C", multiple=True, help="Compare this column. May be repeated.")
@click.option("--where", metavar="CONDITION", help="Compare only rows that fulfil this condition in PK1.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=ROWS_EACH,
    show_default=True,
    help="Number of rows to print for each column, largest differences first.",
)
@wide_option
@json_option
@pass_session
def compare(
    session: Session,
    *,
    first: str,
    second: str,
    columns: tuple[str, ...],
    where: str | None,
    limit: int,
    wide: bool,
    as_json: bool,
) -> None:
    """Compare the results of launches PK1 and PK2 (or sets) row by row, by id.

    Differences are values of PK2 minus values of PK1, over the rows that converged in both.

    \b
    aiida-pet compare 12 31
    aiida-pet compare 12 31 --column e_above_hull --where 'n_atoms < 20'
    """
    from aiida_pet.campaigns import compare as compare_campaigns

    session.load()
    found = compare_campaigns(first, second, columns=columns, where=where, most=limit)
    if as_json:
        echo_json({"first": found.first, "second": found.second} | _document(found))
        return
    _echo(found, wide)


def _document(found: Comparison) -> dict[str, object]:
    from aiida_pet.io.frame_writers import iter_records

    return {
        "n_common": found.n_common,
        "n_answered": found.n_answered,
        "only_first": found.only_first,
        "only_second": found.only_second,
        "statuses": [
            {"first": one, "second": other, "n_rows": count} for (one, other), count in found.statuses.items()
        ],
        "columns": [asdict(difference) for difference in found.differences],
        "rows": list(iter_records(found.rows)),
        "settings": {name: {"first": pair[0], "second": pair[1]} for name, pair in found.settings.items()},
    }


def _echo(found: Comparison, wide: bool) -> None:
    say(f"{plural(found.n_common, 'row')} in both, {found.n_answered} converged in both")
    for which, ids in (("first", found.only_first), ("second", found.only_second)):
        if ids:
            say(f"{plural(len(ids), 'row')} only in the {which}: {shortened(ids)}")
    if found.settings:
        rows = [(name, *pair) for name, pair in found.settings.items()]
        click.echo("\ndifferences in workflow, model and parameters")
        echo_table(rows, ("setting", "first", "second"), wide=wide, once=False)
    else:
        say("no difference in workflow, model and parameters is known")
    if found.statuses:
        states = [(one, other, count) for (one, other), count in found.statuses.items()]
        click.echo("\nstatuses that differ")
        echo_table(states, ("first", "second", "rows"), wide=wide, once=False)
    if found.differences:
        headers = ("column", "unit", "rows", "different", "mean", "mean |.|", "median |.|", "max |.|")
        columns = [tuple(asdict(difference).values()) for difference in found.differences]
        click.echo("\ndifferences, second minus first")
        echo_table(columns, headers, wide=wide, once=False)
    if len(found.rows):
        click.echo("\nrows that differ most")
        values = {str(name): found.rows[name].tolist() for name in found.rows.columns}
        echo_columns(values, asked=True, wide=wide)
