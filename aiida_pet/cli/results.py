"""``aiida-pet results``: the table of a launch, chosen, sorted and written as you like."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from aiida_pet.cli.output import note, table_text
from aiida_pet.cli.session import Session, load_any, pass_session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.tables import warnings
from aiida_pet.tables.columns import first_look, told_in_words
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    import pandas as pd

    from aiida_pet.cli.rows import Rows
    from aiida_pet.data.table import TableData
    from aiida_pet.tables.crystals import StructureTable
    from aiida_pet.tables.table import Array, Table


class Format(StrEnum):
    """How rows are written; those from ``extxyz`` on need crystals."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    EXTXYZ = "extxyz"
    ASE_DATABASE = "ase-db"
    CIF = "cif"
    POSCAR = "poscar"
    PYMATGEN = "pymatgen"
    MATBENCH_DISCOVERY = "matbench-discovery"

    @property
    def of_crystals(self) -> bool:
        """Whether geometries are written beside the columns."""
        return self not in (Format.TABLE, Format.CSV, Format.JSON, Format.PARQUET)

    @property
    def for_files(self) -> bool:
        """Whether it cannot be printed."""
        return self.of_crystals or self is Format.PARQUET


SUFFIXES = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".parquet": Format.PARQUET,
    ".xyz": Format.EXTXYZ,
    ".extxyz": Format.EXTXYZ,
    ".db": Format.ASE_DATABASE,
    ".cif": Format.CIF,
    ".vasp": Format.POSCAR,
    ".poscar": Format.POSCAR,
    ".txt": Format.TABLE,
}
COMPRESSED = (".gz", ".bz2", ".xz")

MOST_COLUMNS = 12
"""Columns of a set of crystals, which has none of those."""
FIRST_ROWS = 40
"""Rows of a table for people if no number is asked for."""


@dataclass(frozen=True)
class Choice:
    """What of a table is written.

    :ivar positions: of the rows, in their order.
    :ivar columns: as they were asked for; None for the usual ones of the format.
    :ivar found: number of rows before they were limited.
    """

    positions: Array
    columns: str | None
    found: int


@click.command()
@click.argument("pk")
@click.option("--where", metavar="CONDITION", help="Only rows that fulfil it, such as 'status != converged'.")
@click.option("--columns", metavar="A,B,...", help="These columns, in this order; 'all' for all.")
@click.option("--sort", metavar="COLUMN", help="Sort by this column; with a minus before it, largest first.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows; 0 for all.")
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in Format]),
    help="Default: table, or what -o says.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
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
    output: Path | None,
    force: bool,
) -> None:
    """Print the rows of the launch (or set) PK: its results, or what of them there is so far.

    \b
    aiida-pet results 12 --where 'status != converged'
    aiida-pet results 12 --columns formula,energy,volume --sort energy --limit 10
    aiida-pet results 12 -o results.csv
    aiida-pet results 12 -o relaxed.xyz.gz --where 'e_above_hull < 0.02'
    aiida-pet results 12 -o 2026-11-21-discovery.csv.gz --format matbench-discovery
    """
    from aiida_pet.cli.rows import load_rows
    from aiida_pet.data.lookup import select_positions
    from aiida_pet.io.frame_writers import check_parquet

    chosen = _format(form, as_json, output)
    if chosen.for_files and output is None:
        raise click.UsageError(f"{chosen.value} is a format of files: name one with -o")
    if output is not None:
        for path in _files_of(chosen, output):
            check_target(path, force)
    if chosen is Format.PARQUET:
        check_parquet()
    session.load()
    rows = load_rows(pk)
    positions = select_positions(rows.node, where)
    if sort:
        positions = _sorted(rows.node, positions, sort)
    found = len(positions)
    for_people = chosen is Format.TABLE and output is None
    most = (FIRST_ROWS if for_people else 0) if limit is None else limit
    choice = Choice(positions[:most] if most else positions, columns, found)
    if where and not found:
        note(f"none of the {plural(len(rows.node), 'row')} fulfils {where!r}")
    if chosen.of_crystals and output is not None:
        table = _crystals(rows, choice)
        if chosen is Format.MATBENCH_DISCOVERY:
            _write_submission(pk, rows, table, output)
        else:
            _write_crystals(table, chosen, output)
    else:
        _write_frame(rows, choice, chosen, output)
    if len(choice.positions) < found and limit is None:
        note(f"{plural(found - len(choice.positions), 'more row')}: --limit 0 for all, -o FILE for a file")
    _note_warnings(rows.node, positions if for_people else positions[:0])
    if rows.missing:
        note(rows.missing)


def _note_warnings(node: TableData, positions: Array) -> None:
    """Say how many of the rows at ``positions`` carry which code, and what it means."""
    if warnings.COLUMN not in node.column_names:
        return
    counts = warnings.counted(node.column(warnings.COLUMN)[positions].tolist())
    if counts:
        note(f"warnings: {warnings.told(counts)}")
    for code in counts:
        note(f"  {code}: {warnings.meaning_of(code)}")


def _format(form: str | None, as_json: bool, output: Path | None) -> Format:
    if as_json and form not in (None, Format.JSON):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    if form:
        return Format(form)
    if as_json:
        return Format.JSON
    if output is None:
        return Format.TABLE
    suffixes = [suffix.lower() for suffix in output.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in SUFFIXES:
        raise click.UsageError(
            f"{output}: its name tells no format: expected {', '.join(SUFFIXES)}, or --format with one of "
            f"{', '.join(Format)}"
        )
    return SUFFIXES[suffixes[-1]]


def _files_of(form: Format, output: Path) -> tuple[Path, ...]:
    """Return the files that are written.

    :raises click.ClickException: if they cannot be called so.
    """
    if form is not Format.MATBENCH_DISCOVERY:
        return (output,)
    from aiida_pet.io.matbench_discovery import SubmissionError, submission_paths

    try:
        return submission_paths(output)
    except SubmissionError as error:
        raise click.ClickException(str(error)) from error


def _known(names: list[str], name: str, option: str) -> str:
    known = ["id", *(column for column in names if column != "id")]
    if name not in known:
        from aiida_pet.tables.filter import no_such_column

        raise click.BadParameter(no_such_column(name, known), param_hint=option)
    return name


def _sorted(node: TableData, positions: Array, sort: str) -> Array:
    import pandas as pd

    from aiida_pet.data.lookup import frame_columns, read_columns

    name = _known(frame_columns(node), sort.removeprefix("-"), "--sort")
    values = node.ids if name == "id" else read_columns(node, [name])[name].to_numpy()
    chosen = pd.Series(values[positions], index=positions)
    return chosen.sort_values(ascending=not sort.startswith("-"), kind="stable").index.to_numpy()


# -- tables ------------------------------------------------------------------------------------------------------------


def _write_frame(rows: Rows, choice: Choice, form: Format, output: Path | None) -> None:
    """Write the columns of the chosen rows, ``id`` first."""
    from aiida_pet.data.lookup import read_columns
    from aiida_pet.io.frame_writers import stream_csv, stream_json, write_parquet

    names = _columns(rows.node, choice, form)
    frame = read_columns(rows.node, names, choice.positions).reset_index()
    if form is Format.TABLE and choice.columns is None:
        # what is told in words is only shown where it says something
        frame = frame[
            [name for name in frame if name not in told_in_words([str(name)]) or (frame[name] != "").any()]
        ]
    units = _units(rows, [str(name) for name in frame.columns])
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


def _columns(node: TableData, choice: Choice, form: Format) -> list[str]:
    """Return the columns to write beside ``id``."""
    from aiida_pet.data.lookup import frame_columns

    known = [name for name in frame_columns(node) if name != "id"]
    if choice.columns == "all" or (choice.columns is None and form is not Format.TABLE):
        return known
    if choice.columns is None:
        return _first_look(node, known)
    wanted = [name.strip() for name in choice.columns.split(",") if name.strip()]
    return [name for name in wanted if _known(known, name, "--columns") != "id"]


def _first_look(node: TableData, known: list[str]) -> list[str]:
    """Return the columns that people want to see first."""
    look = first_look(known)
    if not look:
        return known[:MOST_COLUMNS]
    counts = node.base.attributes.get("counts", {})
    told = [name for name in told_in_words(known) if list(counts.get(name, ())) != [""]]
    if "reason" in look:  # which repeats the messages
        told = [name for name in told if not name.endswith("message")]
    return look + told


def _table_text(frame: pd.DataFrame, units: dict[str, str]) -> str:
    names = [str(name) for name in frame.columns]
    headers = [f"{name}\n{units[name]}" if name in units else name for name in names]
    return table_text(frame.itertuples(index=False, name=None), headers)


def _units(rows: Rows, names: list[str]) -> dict[str, str]:
    """Return the units of columns; a component such as ``stress_xx`` has that of its column."""
    known = rows.node.base.attributes.get("columns")
    found = {}
    for name in names:
        unit = known.get(name) or known.get(name.rpartition("_")[0])
        if unit and (name in known or name.rpartition("_")[0] in known):
            found[name] = unit
    return found


# -- crystals ----------------------------------------------------------------------------------------------------------


def _write_crystals(table: Table, form: Format, output: Path) -> None:
    from aiida_pet.io.writers import write_table
    from aiida_pet.tables.crystals import StructureTable

    file_format = "json" if form is Format.PYMATGEN else form.value
    if form is Format.PYMATGEN and not isinstance(table, StructureTable):
        raise click.ClickException("pymatgen needs crystals, but the table has none: use csv or json")
    try:
        left_out = write_table(table, output, file_format)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    note(f"wrote {output}")
    if left_out:
        note(f"not written, since {file_format} cannot hold them: {shortened(left_out)}")


def _write_submission(pk: str, rows: Rows, table: Table, output: Path) -> None:
    """Write the two files of a submission to matbench-discovery, and say what is in them."""
    from aiida_pet.io.matbench_discovery import SubmissionError, write_submission

    try:
        done = write_submission(table, _crystals_of(pk, rows), output)
    except SubmissionError as error:
        raise click.ClickException(str(error)) from error
    note(
        f"wrote {done.energies}, pred_col e_form_per_atom, {plural(done.n_rows, 'row')}, {done.n_missing} without a "
        "formation energy"
    )
    note(
        f"wrote {done.structures}, struct_col structure, {plural(done.n_structures, 'crystal')}, "
        f"{done.n_unconverged} of them not converged"
    )


def _crystals(rows: Rows, choice: Choice) -> Table:
    """Return the chosen rows, with the columns that were asked for; a component stands for its column.

    :raises click.ClickException: if there are none.
    """
    from aiida_pet.tables.crystals import StructureTable

    if not len(choice.positions):
        raise click.ClickException("nothing to write: no row is left")
    part = rows.node.to_table().take(choice.positions)
    if choice.columns in (None, "all"):
        return part
    per_atom = part.atom_columns if isinstance(part, StructureTable) else {}
    known = [*part.columns, *per_atom, "formula", "n_atoms"]
    wanted = set()
    for name in filter(None, (name.strip() for name in str(choice.columns).split(","))):
        column = name if name in known else name.rpartition("_")[0]
        wanted.add(column if column in known else _known(known, name, "--columns"))
    for columns in (part.columns, per_atom):
        for name in set(columns) - wanted:
            del columns[name]
    return part


def _crystals_of(pk: str, rows: Rows) -> StructureTable:
    """Return the crystals of the rows: their own, else those that the launch was given."""
    from aiida import orm

    from aiida_pet.data.structures import StructureSetData

    if isinstance(rows.node, StructureSetData):
        return rows.node.to_table()
    named = load_any(pk)
    if isinstance(named, orm.ProcessNode) and "structures" in named.inputs:
        crystals: StructureSetData = named.inputs.structures
        return crystals.to_table()
    raise click.ClickException(f"there are no crystals behind {pk}: name the launch that made the table")
