"""``aiida-pet data``: sets of crystals into the profile, out of it, and looked at."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.errors import in_options
from aiida_pet.cli.geometry import echo_vectors
from aiida_pet.cli.groups import SuggestingGroup
from aiida_pet.cli.listing import limit_option
from aiida_pet.cli.output import (
    columns_option,
    echo_json,
    echo_pairs,
    echo_table,
    json_option,
    note,
    say,
    wide_option,
)
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.io.formats import readable, writable
from aiida_pet.names import Sign, StressUnit, values_of
from aiida_pet.words import cell, duration, plain, plural, shortened

if TYPE_CHECKING:
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.io.crystal import ImportProblem


@click.group(cls=SuggestingGroup)
def data() -> None:
    """Import, show and export sets of crystals."""


@data.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--label", default="", help="Label of the set. Other commands accept the label in place of the pk."
)
@click.option("--skip-invalid", is_flag=True, help="Leave out broken structures and import the rest.")
@click.option("--id-key", help="Field of a structure that holds its id; with '' the structures are numbered.")
@click.option(
    "--structure-key",
    help="Field of a JSON record that holds the structure, if records have several structures.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(readable()),
    help="Format of all files. Without this option the name of each file says its format.",
)
@click.option(
    "--column-map",
    "column_map",
    metavar="FIELD=NAME",
    multiple=True,
    help="Read FIELD as energy, free_energy, forces, stress or virial, or as a column called NAME. May be "
    "repeated.",
)
@click.option(
    "--virial-sign",
    type=click.Choice(values_of(Sign)),
    help="Sign of the virials: a stress is this sign times the virial, divided by the volume.",
)
@click.option(
    "--stress-unit",
    type=click.Choice(values_of(StressUnit)),
    default="eV/A^3",
    help="Unit of the stresses in FILES.",
)
@click.option(
    "--stress-sign",
    type=click.Choice(values_of(Sign)),
    default="plus",
    help="Sign of the stresses in FILES: minus if a positive stress means compression.",
)
@json_option
@pass_session
def import_(
    session: Session,
    *,
    files: tuple[Path, ...],
    label: str,
    skip_invalid: bool,
    id_key: str | None,
    structure_key: str | None,
    file_format: str | None,
    column_map: tuple[str, ...],
    virial_sign: str | None,
    stress_unit: str,
    stress_sign: str,
    as_json: bool,
) -> None:
    """Import the crystals of FILES (files, zip archives, folders) as one set and print its pk.

    The formats are extxyz, CIF, POSCAR, ASE databases, JSON (of pymatgen, pandas or materials databases), csv and
    parquet with structures as text, and yaml (of phonopy or phono3py). Files may be compressed (.gz, .bz2, .xz), or be
    in a folder or a .zip. If a csv or parquet file has no structures, its columns are added to the crystals with the
    same ids. Ids come from the files and must be unique.
    """
    from aiida_pet.campaigns.results import Rows

    session.load()
    summary: list[str] = []
    begun = datetime.now(UTC)
    node, problems = import_files(
        files,
        label=label,
        summary=summary,
        skip_invalid=skip_invalid,
        id_key=id_key,
        structure_key=structure_key,
        file_format=file_format,
        column_map=_column_map(column_map),
        virial_sign=virial_sign,
        stress_unit=stress_unit,
        stress_sign=stress_sign,
    )
    is_new = node.ctime >= begun
    record = Rows(node, node).describe() | {
        "problems": [{"file": p.file, "id": p.id, "reason": p.reason} for p in problems],
        "summary": [in_options(line) for line in summary],
        "created": is_new,
    }
    if as_json:
        echo_json(record)
        return
    verb = "imported" if is_new else "the profile has this content already:"
    say(f"{verb} {_in_words(record)} as <{node.pk}>{f' {label!r}' if label else ''}")
    typed = shlex.quote(label) if label and not label.startswith("-") else str(node.pk)
    note(f"`aiida-pet data show {node.pk}` shows it, `aiida-pet launch relax {typed}` relaxes it")
    for problem in problems[:20]:
        say(f"not imported: {_problem_in_words(problem)}")
    if len(problems) > 20:
        click.echo(f"and {len(problems) - 20} more problems (--json lists all)")
    for line in summary:
        note(in_options(line))


def _column_map(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return field -> name of ``FIELD=NAME`` pairs.

    :raises click.BadParameter: naming the pair that is none, or a field that is given twice.
    """
    column_map: dict[str, str] = {}
    for pair in pairs:
        field, found, name = pair.rpartition("=")
        if not (found and field and name):
            raise click.BadParameter(f"{pair!r} is not FIELD=NAME", param_hint="--column-map")
        if field in column_map:
            raise click.BadParameter(f"{field} is given twice", param_hint="--column-map")
        column_map[field] = name
    return column_map


def _problem_in_words(problem: ImportProblem) -> str:
    remedy = in_options(problem.remedy)
    return f"{problem.sentence} ({remedy})" if remedy else problem.sentence


def import_files(files: Sequence[Path], **options: Any) -> tuple[StructureSetData, list[ImportProblem]]:
    """Return what :func:`aiida_pet.data.imports.import_files` does.

    :raises click.ClickException: if they cannot be imported; it names options, not arguments.
    """
    from aiida_pet.data import imports
    from aiida_pet.io.crystal import StructureFileError
    from aiida_pet.io.readers import DuplicateImportError

    try:
        return imports.import_files(files, **options)
    except (StructureFileError, DuplicateImportError) as error:
        remedy = f" ({in_options(error.remedy)})" if error.remedy else ""
        raise click.ClickException(f"{error.reason}{remedy}") from error


@data.command("show")
@click.argument("pk")
@click.argument("row_id", metavar="[ID]", required=False)
@wide_option
@json_option
@pass_session
def show(session: Session, *, pk: str, row_id: str | None, wide: bool, as_json: bool) -> None:
    """Show the content of the set PK, or a single crystal ID of the set."""
    from aiida_pet.campaigns.nodes import load
    from aiida_pet.campaigns.results import Rows
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.data.table import TableData

    session.load()
    node = load(pk, TableData)
    rows = Rows(node, node)
    if row_id is None:
        record = rows.describe()
        if as_json:
            echo_json(record)
        else:
            _echo_set(record, wide)
        return
    rows.place(row_id)
    row = node.row(row_id)
    if isinstance(node, StructureSetData):
        row["structure"] = _geometry(node, row_id)
    if as_json:
        echo_json({"pk": node.pk, "id": row_id} | row)
    else:
        _echo_row(row, node)


@data.command("export")
@click.argument("pk")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write, or a folder for cif and poscar.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Write only crystals that fulfil this condition, such as 'n_atoms < 10'.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(writable()),
    metavar="FORMAT",
    help=f"Format of the file: {', '.join(writable())}. Without this option the suffix of its name sets the format.",
)
@click.option("--overwrite", "force", is_flag=True, hidden=True)
@force_option
@json_option
@pass_session
def export(
    session: Session,
    *,
    pk: str,
    output: Path,
    where: str | None,
    file_format: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write the crystals of the set or launch PK with their columns to a file.

    The suffix of the name sets the format: .xyz or .extxyz, .json (pymatgen), .db (ASE database), .vasp or .poscar,
    .cif, .csv (columns only), .yaml (phonopy, one crystal), .parquet (columns only, needs pyarrow). All except .parquet
    may be followed by .gz, .bz2 or .xz. A name without a suffix is a folder of CIF files, or of POSCARs with --format
    poscar.
    """
    from aiida_pet.campaigns import rows as rows_of
    from aiida_pet.campaigns.forces import forces_behind
    from aiida_pet.io.writers import NothingWrittenError, format_of, write_table

    check_target(output, force)
    try:
        file_format = file_format or format_of(output).name
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    session.load()
    rows = rows_of(pk)
    table = rows.to_table(where)
    if not len(table):
        raise click.ClickException(f"nothing to write: no row of {pk} fulfils {where!r}")
    try:
        left_out = write_table(table, output, file_format)
    except NothingWrittenError as error:
        forces = forces_behind(rows.source) if file_format == "phono3py" else None
        hint = f": `aiida-pet data export {forces} --format phono3py` writes its forces" if forces else ""
        raise click.ClickException(f"{error}{hint}") from error
    if as_json:
        echo_json({"pk": rows.pk, "n_rows": len(table), "output": output, "left_out": left_out})
    else:
        say(f"wrote {plural(len(table) - len(left_out), 'row')} to {output}")
    if left_out:
        note(
            f"{plural(len(left_out), 'row')} not written, since {file_format} cannot hold them: {shortened(left_out)}"
        )
    if rows.missing:
        note(rows.missing)


@data.command("list")
@click.option("--made", is_flag=True, help="Also list the results of launches, not only imported sets.")
@limit_option
@columns_option
@wide_option
@json_option
@pass_session
def list_(
    session: Session, *, made: bool, limit: int, columns: list[str] | None, wide: bool, as_json: bool
) -> None:
    """List the sets of crystals of the profile, the newest first."""
    from dataclasses import asdict

    from aiida_pet.campaigns.listing import sets

    session.load()
    found = sets(limit or None, made=made)
    if as_json:
        echo_json([asdict(one) for one in found])
        return
    if not found:
        note("there is no set: `aiida-pet data import FILE` makes one")
        return
    headers = ("pk", "label", "crystals", "atoms", "elements", "n_columns", "age", "source")
    lines = [
        (
            one.pk,
            one.label or None,
            one.crystals,
            one.atoms,
            one.elements,
            one.columns,
            duration(one.age_s),
            one.source or None,
        )
        for one in found
    ]
    echo_table(lines, headers, columns=columns, wide=wide, once=False)
    if limit and len(found) == limit:
        note(f"these are the newest {limit}; --limit 0 shows all")


def _in_words(record: dict[str, Any]) -> str:
    elements = shortened(record.get("elements", []))
    return f"{plural(record['n_rows'], 'crystal')} of {plural(record['n_atoms'], 'atom')} ({elements})"


def _echo_set(record: dict[str, Any], wide: bool) -> None:
    shown = {key: value for key, value in record.items() if not isinstance(value, dict) and value != ""}
    shown = {key: shortened(v) if isinstance(v, list) else v for key, v in shown.items()}
    shown.pop("column_names", None)
    echo_pairs(shown)
    columns, ranges, counts = (record.get(key) or {} for key in ("columns", "ranges", "counts"))
    if not columns:
        return
    lines = []
    for name, unit in columns.items():
        low, high = ranges.get(name, (None, None))
        values = ", ".join(f"{value} {count}" for value, count in counts.get(name, {}).items())
        lines.append(
            (name, unit or "", values or (f"{cell(low)} ... {cell(high)}" if low is not None else ""))
        )
    click.echo()
    echo_table(lines, ("column", "unit", "values"), wide=wide, once=False)


def _geometry(node: StructureSetData, row_id: str) -> dict[str, Any]:
    atoms = node.get_ase(row_id)
    return {
        "formula": atoms.get_chemical_formula(),
        "symbols": atoms.get_chemical_symbols(),
        "cell_A": atoms.cell.array,
        "pbc": atoms.pbc,
        "positions_A": atoms.positions,
    }


def _echo_row(row: dict[str, Any], node: Any) -> None:
    geometry = row.pop("structure", None)
    units = node.base.attributes.get("columns", {})
    echo_pairs({f"{key} ({units[key]})" if units.get(key) else key: value for key, value in row.items()})
    if geometry is None:
        return
    click.echo()
    click.echo(f"{geometry['formula']}, cell (A):")
    echo_vectors(plain(geometry["cell_A"]), [""] * 3)
    click.echo("positions (A):")
    echo_vectors(plain(geometry["positions_A"]), [f"{symbol:<2}" for symbol in geometry["symbols"]])
