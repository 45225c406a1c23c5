"""``aiida-pet find``: rows of all campaigns of a profile, by id, formula, elements or a condition."""

from __future__ import annotations

import click

from aiida_pet.cli.output import columns_option, echo_columns, json_option, note, wide_option
from aiida_pet.cli.session import Session, pass_session

FIRST_ROWS = 40
"""Rows of a table for people if no number is asked for."""


@click.command()
@click.option(
    "--id",
    "ids",
    metavar="ID",
    multiple=True,
    help="Find rows with this id. If the option is repeated, rows with any of the ids are found.",
)
@click.option(
    "--formula",
    "formulas",
    metavar="F",
    multiple=True,
    help="Find crystals of this composition, in a cell of any size. If the option is repeated, crystals of any of the "
    "compositions are found.",
)
@click.option(
    "--element",
    "elements",
    metavar="E",
    multiple=True,
    help="Find crystals with this element. If the option is repeated, only crystals with all of the elements are "
    "found.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Find rows that fulfil this condition, such as 'e_above_hull < 0.02'.",
)
@click.option(
    "--campaign",
    "campaigns",
    metavar="PK",
    multiple=True,
    help="Search only in this launch. May be repeated.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    help=f"Number of rows to print; 0 prints all. Default {FIRST_ROWS}.",
)
@columns_option
@wide_option
@json_option
@pass_session
def find(
    session: Session,
    *,
    ids: tuple[str, ...],
    formulas: tuple[str, ...],
    elements: tuple[str, ...],
    where: str | None,
    campaigns: tuple[str, ...],
    limit: int | None,
    columns: list[str] | None,
    wide: bool,
    as_json: bool,
) -> None:
    """Find rows in the results of all launches of the profile. Rows of the newest launch come first.

    \b
    aiida-pet find --id wbm-1-7
    aiida-pet find --formula MoTa --where 'status == converged'
    aiida-pet find --element Mo --element Ta --where 'e_above_hull < 0.02'
    """
    from aiida_pet.campaigns import find as find_rows
    from aiida_pet.io.frame_writers import iter_records, stream_json

    if not (ids or formulas or elements or where):
        raise click.UsageError("say what to find: --id, --formula, --element or --where")
    session.load()
    most = (None if as_json else FIRST_ROWS) if limit is None else (limit or None)
    frame = find_rows(
        ids=ids,
        formulas=formulas,
        elements=elements,
        where=where,
        campaigns=campaigns or None,
        columns=columns,
        limit=None if most is None else most + 1,
    )
    more = most is not None and len(frame) > most
    frame = frame.iloc[:most]
    if as_json:
        stream_json(frame, {"n_rows": len(frame), "complete": not more}, click.get_text_stream("stdout"))
        return
    if not len(frame):
        note("no row of any launch fulfils all options")
        return
    records = list(iter_records(frame))
    names = [str(name) for name in frame.columns]
    units = frame.attrs.get("units")
    values = {name: [row[name] for row in records] for name in ("id", *(one for one in names if one != "id"))}
    echo_columns(values, units, asked=columns is not None, wide=wide)
    if more and limit is None:
        note(f"these are the first {most}; --limit 0 shows all")
