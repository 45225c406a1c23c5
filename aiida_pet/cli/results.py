"""``aiida-pet results``: the table of a launch, chosen, sorted and written as you like."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from aiida_pet.cli.output import echo_columns, names_in, note, wide_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.io.row_formats import Format, format_by_name
from aiida_pet.tables import warnings
from aiida_pet.tables.columns import reasons, told_in_words
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    import pandas as pd

    from aiida_pet.campaigns.results import Rows
    from aiida_pet.printed.rows import RowsForPeople
    from aiida_pet.tables.table import Array, Table


FIRST_ROWS = 40
"""Rows of a table for people if no number is asked for."""
MOST_REASONS = 5
"""Reasons for missing values that are told below a table."""


@dataclass(frozen=True)
class Choice:
    """What of a table is written.

    :ivar positions: positions of the rows, in their order.
    :ivar columns: those that were asked for, ``all`` among them for all; None for the usual ones of the format.
    :ivar found: number of rows before they were limited.
    """

    positions: Array
    columns: list[str] | None
    found: int

    @property
    def columns_or_all(self) -> list[str] | None:
        """The columns, None for all that there are."""
        return None if self.columns in (None, ["all"]) else self.columns


@click.command()
@click.argument("pk")
@click.option(
    "--where",
    metavar="CONDITION",
    help="Show only rows that fulfil this condition, such as 'status != converged'.",
)
@click.option("--columns", metavar="A,B,...", help="Columns to show, in this order; 'all' shows all.")
@click.option(
    "--sort",
    metavar="COLUMN",
    help="Sort by this column, smallest values first; --sort=-COLUMN puts the largest values first.",
)
@click.option("--limit", type=click.IntRange(min=0), help="Number of rows to show; 0 shows all.")
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    metavar="NAME",
    help=f"{', '.join(form.value for form in Format)}. Default: table, or with -o the format for the suffix of the "
    "file.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@wide_option
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@force_option
@pass_session
def results(
    session: Session,
    *,
    pk: str,
    where: str | None,
    columns: str | None,
    sort: str | None,
    limit: int | None,
    form: str | None,
    as_json: bool,
    wide: bool,
    output: Path | None,
    force: bool,
) -> None:
    """Print the rows of the launch (or set) PK. If the launch is still running, the command prints the rows that are
    finished so far.

    \b
    aiida-pet results 12 --where 'status != converged'
    aiida-pet results 12 --columns formula,energy,volume --sort energy --limit 10
    aiida-pet results 12 -o results.csv
    aiida-pet results 12 -o relaxed.xyz.gz --where 'e_above_hull < 0.02'
    aiida-pet results 9 -o 2026-11-21-discovery.csv.gz --format matbench-discovery
    """
    from aiida_pet.campaigns import rows as rows_of
    from aiida_pet.io.frame_writers import check_parquet

    chosen = _format(form, as_json, output)
    if chosen.for_files and output is None:
        raise click.UsageError(f"{chosen.value} is a format of files: name a file with -o")
    if output is not None:
        for path in _files_of(chosen, output):
            check_target(path, force)
    if chosen is Format.PARQUET:
        check_parquet()
    session.load()
    rows = rows_of(pk)
    positions = rows.positions(where, sort)
    found = len(positions)
    for_people = chosen is Format.TABLE and output is None
    most = (FIRST_ROWS if for_people else 0) if limit is None else limit
    choice = Choice(positions[:most] if most else positions, names_in(columns), found)
    if where and not found:
        note(f"none of the {plural(len(rows), 'row')} fulfils {where!r}")
    printed: RowsForPeople | None = None
    if chosen.of_crystals and output is not None:
        _write_crystals(rows, choice, chosen, output)
    elif for_people:
        printed = _echo_rows(rows, choice, wide)
    else:
        _write_frame(rows, choice, chosen, output)
    if len(choice.positions) < found and limit is None:
        note(
            f"{plural(found - len(choice.positions), 'more row')}: --limit 0 shows all, -o FILE writes all to a file"
        )
    if printed is not None:
        _note_reasons(rows, positions, choice, printed)
        _note_warnings(rows, positions, printed.notes)
    if rows.missing:
        note(rows.missing)


def _note_reasons(rows: Rows, positions: Array, choice: Choice, printed: RowsForPeople) -> None:
    """Say why which of the rows at ``positions`` lack a value, where the table does not show it."""
    names = reasons(rows.column_names)
    if choice.columns is None:
        names = [name for name in names if name in printed.untold]
    elif choice.columns_or_all is None:
        names = []
    for name in names:
        if choice.columns is not None and (name in choice.columns or not _explained(name, choice.columns)):
            continue
        ids: dict[str, list[str]] = {}
        texts = rows.table.column(name)[positions].tolist()
        for row_id, text in zip(rows.table.ids[positions].tolist(), texts, strict=True):
            if text:
                ids.setdefault(str(text), []).append(str(row_id))
        if not ids:
            continue
        note(f"{name}: {plural(sum(map(len, ids.values())), 'row')}")
        for text in list(ids)[:MOST_REASONS]:
            note(f"  {shortened(ids[text], 5)}: {text}")
        if len(ids) > MOST_REASONS:
            left = sum(map(len, list(ids.values())[MOST_REASONS:]))
            note(f"  {plural(left, 'more row')}: --where \"{name} != ''\" --columns {name} shows all")


def _explained(reason: str, columns: Sequence[str]) -> bool:
    """Return whether one of ``columns`` may lack a value for what the column ``reason`` says."""
    return any(reason in reasons([reason], of=name) for name in columns)


def _note_warnings(rows: Rows, positions: Array, numbers: dict[str, int]) -> None:
    """Say how many of the rows at ``positions`` carry which code, and what it means.

    :param numbers: code -> the number that stands for it in the table.
    """
    if warnings.COLUMN not in rows.column_names:
        return
    counts = warnings.counted(rows.table.column(warnings.COLUMN)[positions].tolist())
    if counts:
        note(f"warnings: {warnings.told(counts)}")
    for code in sorted(counts, key=lambda one: numbers.get(one, 0)):
        mark = f"{numbers[code]} = " if code in numbers else ""
        note(f"  {mark}{code}: {warnings.meaning_of(code)}")


def _format(form: str | None, as_json: bool, output: Path | None) -> Format:
    if as_json and form not in (None, Format.JSON):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    if form:
        return Format(form)
    if as_json:
        return Format.JSON
    if output is None:
        return Format.TABLE
    try:
        return format_by_name(output)
    except ValueError as error:
        raise click.UsageError(f"{error}, or --format with one of {', '.join(Format)}") from error


def _files_of(form: Format, output: Path) -> tuple[Path, ...]:
    """Return the files that are written.

    :raises SubmissionError: if they cannot be called so.
    """
    if form is not Format.MATBENCH_DISCOVERY:
        return (output,)
    from aiida_pet.io.matbench_discovery import submission_paths

    return submission_paths(output)


# -- tables ------------------------------------------------------------------------------------------------------------


def _write_frame(rows: Rows, choice: Choice, form: Format, output: Path | None) -> None:
    """Write the columns of the chosen rows, ``id`` first."""
    from aiida_pet.io.frame_writers import stream_csv, stream_json, write_parquet

    names = rows.first_look() if form is Format.TABLE and choice.columns is None else choice.columns_or_all
    frame = rows.frame_at(choice.positions, names)
    units = frame.attrs.pop("units")
    frame.attrs.clear()  # of which the writers know nothing
    frame = frame.reset_index()
    if form is Format.PARQUET and output is not None:
        write_parquet(frame, output, units)
        note(f"wrote {output}")
        return
    with _target(output) as handle:
        if form is Format.CSV:
            stream_csv(frame, handle)
        elif form is Format.JSON:
            head = {"pk": rows.pk, "complete": not rows.missing, "n_rows": choice.found, "units": units}
            stream_json(frame, head, handle)
        else:
            handle.write(_table_text(frame, units) + "\n")


@contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    """Give what to write to: the file ``output``, whole or not at all, or what is printed."""
    from aiida_pet.io.whole_files import open_whole

    if output is None:
        text = io.StringIO()
        yield text
        click.echo(text.getvalue().removesuffix("\n"))
        return
    with open_whole(output) as handle:
        yield handle
    note(f"wrote {output}")


def _table_text(frame: pd.DataFrame, units: dict[str, str]) -> str:
    """Return the text of a table in a file, as wide as it takes."""
    from aiida_pet.printed.rows import rows_for_people

    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return rows_for_people(columns, units, wide=True).laid.text


def _echo_rows(rows: Rows, choice: Choice, wide: bool) -> RowsForPeople:
    """Print the chosen rows."""
    names = rows.first_look() if choice.columns is None else choice.columns_or_all
    frame = rows.frame_at(choice.positions, names)
    units = frame.attrs["units"]
    shown = told_where_it_says_something(frame) if choice.columns is None else list(frame.columns)
    columns = {"id": frame.index.tolist()} | {name: frame[name].tolist() for name in shown}
    asked = choice.columns is not None
    return echo_columns(columns, units, asked=asked, wide=wide, reasons_below=not asked)


def told_where_it_says_something(frame: pd.DataFrame) -> list[str]:
    """Return the columns of ``frame``, of those that speak in words only the ones that say something of a row."""
    in_words = told_in_words([str(name) for name in frame.columns])
    return [str(name) for name in frame.columns if name not in in_words or (frame[name] != "").any()]


# -- crystals ----------------------------------------------------------------------------------------------------------


def _write_crystals(rows: Rows, choice: Choice, form: Format, output: Path) -> None:
    from aiida_pet.io.writers import write_table
    from aiida_pet.tables.crystals import StructureTable

    if not len(choice.positions):
        raise click.ClickException("nothing to write: no row is left")
    table = rows.table_at(choice.positions, choice.columns_or_all)
    if form is Format.MATBENCH_DISCOVERY:
        _write_submission(rows, table, output)
        return
    file_format = "json" if form is Format.PYMATGEN else form.value
    if form is Format.PYMATGEN and not isinstance(table, StructureTable):
        raise click.ClickException("pymatgen needs crystals, but the table has none: use csv or json")
    try:
        left_out = write_table(table, output, file_format)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    note(f"wrote {output}")
    if left_out:
        note(
            f"{plural(len(left_out), 'row')} not written, since {file_format} cannot hold them: {shortened(left_out)}"
        )


def _write_submission(rows: Rows, table: Table, output: Path) -> None:
    """Write the two files of a submission to matbench-discovery, and say what is in them."""
    from aiida_pet.io.matbench_discovery import write_submission

    done = write_submission(table, rows.crystals(), output)
    note(
        f"wrote {done.energies} (pred_col e_form_per_atom): {plural(done.n_rows, 'row')}, {done.n_missing} of them "
        "without a formation energy"
    )
    note(
        f"wrote {done.structures} (struct_col structure): {plural(done.n_structures, 'crystal')}, "
        f"{done.n_unconverged} of them not converged"
    )
