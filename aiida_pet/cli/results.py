"""``aiida-pet results``: the table of a launch, chosen, sorted and written as you like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import Format, csv_text, note, plain, plural, table_text, write_or_echo
from aiida_pet.cli.session import Session, pass_session

if TYPE_CHECKING:
    import pandas as pd

    from aiida_pet.cli.rows import Rows

LOOKS = {
    "stage": (
        "formula",
        "stage",
        "reason",
        "heads",
        "e_above_hull",
        "formation_energy",
        "min_frequency",
        "bulk_modulus",
        "shear_modulus",
        "spacegroup_0_01",
    ),
    "min_frequency": (
        "formula",
        "status",
        "heads",
        "n_atoms_primitive",
        "min_frequency",
        "max_frequency",
        "is_dynamically_stable",
        "n_imaginary",
        "free_energy_300",
        "entropy_300",
        "heat_capacity_300",
        "spacegroup_0_01",
    ),
    "bulk_modulus": (
        "formula",
        "status",
        "heads",
        "bulk_modulus",
        "shear_modulus",
        "youngs_modulus",
        "poisson_ratio",
        "is_mechanically_stable",
        "debye_temperature",
        "fit_relative_residual",
        "laue_class",
        "spacegroup_0_01",
    ),
    "hull_status": ("hull_status", "e_above_hull", "formation_energy", "is_stable", "decomposition"),
    "status": (
        "formula",
        "status",
        "heads",
        "n_atoms",
        "energy",
        "volume",
        "fmax",
        "stress_max",
        "n_steps",
        "initial_spacegroup_0_01",
        "spacegroup_0_01",
        "symmetry_kept_0_01",
    ),
}
"""Columns of a table for people if none are asked for, by a column that tells what it is of; csv and json have all."""
TOLD = ("message", "hull_message", "symmetry_warning", "phonons_symmetry_warning", "elastic_symmetry_warning")
"""Columns that are printed beside these if they say something; ``reason`` repeats the messages."""
MOST_COLUMNS = 12
"""Columns of a set of crystals, which has none of those."""
FIRST_ROWS = 40
"""Rows of a table for people if no number is asked for."""


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
) -> None:
    """Print the rows of the launch (or set) PK: its results, or what of them there is so far.

    \b
    aiida-pet results 12 --where 'status != converged'
    aiida-pet results 12 --columns formula,energy,volume --sort energy --limit 10
    aiida-pet results 12 -o results.csv
    """
    from aiida_pet.cli.rows import load_rows
    from aiida_pet.data.filter import filter_frame

    chosen = _format(form, as_json, output)
    session.load()
    rows = load_rows(pk)
    frame = rows.node.to_dataframe()
    if where:
        frame = filter_frame(frame, where)
    if sort:
        frame = _sorted(frame, sort)
    found = len(frame)
    for_people = chosen is Format.TABLE and output is None
    most = (FIRST_ROWS if for_people else 0) if limit is None else limit
    frame = _with_columns(frame.head(most) if most else frame, columns, chosen)
    write_or_echo(_text(frame, rows, chosen, found), output)
    if where and not found:
        note(f"none of the {plural(len(rows.node), 'row')} fulfils {where!r}")
    if len(frame) < found and limit is None:
        note(f"{plural(found - len(frame), 'more row')}: --limit 0 for all, -o FILE for a file")
    if rows.missing:
        note(rows.missing)


def _format(form: str | None, as_json: bool, output: Path | None) -> Format:
    if as_json and form not in (None, Format.JSON):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    if form:
        return Format(form)
    suffix = output.suffix.lower().removeprefix(".") if output else ""
    if as_json or suffix == Format.JSON:
        return Format.JSON
    return Format.CSV if suffix == Format.CSV else Format.TABLE


def _known(frame: pd.DataFrame, name: str, option: str) -> str:
    names = ["id", *(str(column) for column in frame.columns if column != "id")]
    if name not in names:
        raise click.BadParameter(
            f"there is no column {name!r}: columns are {', '.join(names)}", param_hint=option
        )
    return name


def _sorted(frame: pd.DataFrame, sort: str) -> pd.DataFrame:
    name = _known(frame, sort.removeprefix("-"), "--sort")
    return frame.sort_values(name, ascending=not sort.startswith("-"), kind="stable")


def _with_columns(frame: pd.DataFrame, columns: str | None, form: Format) -> pd.DataFrame:
    """Return the columns that were asked for, ``id`` first and as a column."""
    frame = frame.reset_index()
    if columns == "all" or (columns is None and form is not Format.TABLE):
        return frame
    if columns is None:
        names = _first_look(frame)
        return frame[["id", *names]]
    wanted = [_known(frame, name.strip(), "--columns") for name in columns.split(",") if name.strip()]
    return frame[["id", *(name for name in wanted if name != "id")]]


def _first_look(frame: pd.DataFrame) -> list[str]:
    """Return the columns that people want to see first."""
    look = next((columns for marker, columns in LOOKS.items() if marker in frame.columns), None)
    if look is None:
        return [str(name) for name in frame.columns if name != "id"][:MOST_COLUMNS]
    told = [name for name in TOLD if name in frame.columns and (frame[name] != "").any()]
    if "reason" in look:
        told = [name for name in told if not name.endswith("message")]
    return [name for name in look if name in frame.columns] + told


def _text(frame: pd.DataFrame, rows: Rows, form: Format, found: int) -> str:
    import json

    names = [str(name) for name in frame.columns]
    values = list(frame.itertuples(index=False, name=None))
    units = _units(rows, names)
    if form is Format.CSV:
        return csv_text(values, names)
    if form is Format.TABLE:
        headers = [f"{name}\n{units[name]}" if name in units else name for name in names]
        return table_text(values, headers)
    document: dict[str, Any] = {
        "pk": rows.pk,
        "complete": not rows.missing,
        "n_rows": found,
        "units": units,
        "rows": [dict(zip(names, row, strict=True)) for row in values],
    }
    return json.dumps(plain(document), indent=2)


def _units(rows: Rows, names: list[str]) -> dict[str, str]:
    """Return the units of columns; a component such as ``stress_xx`` has that of its column."""
    known = rows.node.base.attributes.get("columns")
    found = {}
    for name in names:
        unit = known.get(name) or known.get(name.rpartition("_")[0])
        if unit and (name in known or name.rpartition("_")[0] in known):
            found[name] = unit
    return found
