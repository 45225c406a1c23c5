"""``aiida-pet report``: a campaign as one page that opens offline."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_pet.cli.output import echo_json, json_option, note
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida_pet.report import Choices, Written

EVERY_S = 60


@click.command()
@click.argument("pks", metavar="PK...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="campaign.html",
    show_default=True,
    help="Write the page to this file.",
)
@click.option(
    "--title", help="Title of the page. Without this option the labels of the launches are the title."
)
@click.option(
    "--best",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="Number of best crystals that are shown with all their figures.",
)
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Column that decides which crystals are best. The smallest values are best, or with --sort=-COLUMN the "
    "largest.",
)
@click.option(
    "--id",
    "ids",
    multiple=True,
    metavar="ID",
    help="Id of a crystal that is shown with all its figures, before the best crystals. May be repeated.",
)
@click.option(
    "--rows",
    "most_rows",
    type=click.IntRange(min=1),
    default=5000,
    show_default=True,
    help="Number of rows in the table.",
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    metavar="A-B[-C]",
    help="Draw the hull of this chemical system, such as Mo-Ta. May be repeated.",
)
@click.option(
    "--reference",
    metavar="FILE|PK",
    help="Values to compare with: a csv, parquet or structure file, or another launch.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=REFERENCE",
    help="Compare the column NAME of the launch with the column REFERENCE of the references. If both columns have the "
    "same name, write NAME alone. Default: all important columns that both sides have.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Update the page until the launches have ended. A page that is open in a browser reloads itself.",
)
@click.option(
    "--interval",
    type=click.IntRange(min=5),
    default=EVERY_S,
    show_default=True,
    help="With --watch: seconds between two updates of the page.",
)
@force_option
@json_option
@pass_session
def report(
    session: Session,
    *,
    pks: tuple[str, ...],
    output: Path,
    title: str | None,
    best: int,
    sort: str | None,
    ids: tuple[str, ...],
    most_rows: int,
    systems: tuple[str, ...],
    reference: str | None,
    columns: tuple[str, ...],
    watch: bool,
    interval: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write a report of the launch PK as one html page, which opens offline in any browser and can be sent by mail.

    The page shows the task, the model, the parameters and the cost of the launch. It also shows the funnel, histograms,
    hulls, changes of symmetry, the periodic table, the best crystals and all rows. If several PKs are given, the page
    shows the first launch and compares it with the others. If the launch is still running, the page shows the rows that
    are finished so far.
    """
    session.load()
    check_target(output, force)
    from aiida_pet.report import Choices

    choices = Choices(
        title=title,
        best=best,
        sort=sort,
        ids=ids,
        most_rows=most_rows,
        systems=tuple(_system(one) for one in systems),
        reference=reference,
        pairs=dict(_pair(one) for one in columns),
        refresh_s=interval if watch else None,
    )
    written = _follow(pks, output, choices, interval) if watch else _write(pks, output, choices)
    if as_json:
        echo_json(
            {
                "path": str(written.path),
                "bytes": written.size,
                "rows": written.rows,
                "rows_total": written.total,
            }
        )
        return
    held = (
        f"{written.rows:,} of {written.total:,} rows"
        if written.rows < written.total
        else plural(written.rows, "row")
    )
    click.echo(f"wrote {written.path} ({written.size / 1e6:.1f} MB, {held}): open it in a browser")


def _write(pks: tuple[str, ...], output: Path, choices: Choices) -> Written:
    from aiida_pet.report import write_report

    return write_report(pks, output, choices)


def _follow(pks: tuple[str, ...], output: Path, choices: Choices, interval: int) -> Written:
    """Write the report until the launches have ended.

    The last one is of their end, and does not read itself again.
    """
    written = _write(pks, output, choices)
    note(
        f"{written.path} is written every {interval} s until the campaign has ended; Ctrl-C leaves it as it "
        "is"
    )
    while written.goes_on:
        try:
            time.sleep(interval)
        except KeyboardInterrupt:
            note("the campaign goes on; the page stays as it is")
            break
        written = _write(pks, output, choices)
    return written


def _system(text: str) -> tuple[str, ...]:
    found = tuple(part for part in text.replace(",", "-").split("-") if part)
    if len(found) not in (2, 3):
        raise click.BadParameter(
            f"{text!r} is no system of two or three elements, such as Mo-Ta", param_hint="--system"
        )
    return found


def _pair(text: str) -> tuple[str, str]:
    name, _, other = text.partition("=")
    return name, other or name
