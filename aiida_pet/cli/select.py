"""``aiida-pet select``: rows that a model is unsure of, for new reference calculations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_json, json_option, note, say
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    from aiida_pet.tables.crystals import StructureTable
    from aiida_pet.tables.table import Array

EXTENSIVE = ("energy", "uncertainty")  # columns that are taken per atom


@click.command()
@click.argument("pk")
@click.option(
    "--by",
    default="uncertainty",
    show_default=True,
    metavar="COLUMN",
    help="Column by which crystals are chosen, largest values first. Energies and uncertainties are divided by the "
    "number of atoms.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Number of crystals that are chosen.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Take only rows that fulfil this condition, such as 'e_above_hull < 0.1'.",
)
@click.option(
    "--pool",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Number of candidates for each crystal that is chosen. With 1 there is no selection by difference: the "
    "crystals with the largest values are chosen.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File for the crystals: .extxyz, .json, .cif, .vasp, .db.",
)
@force_option
@json_option
@pass_session
def select(
    session: Session,
    *,
    pk: str,
    by: str,
    count: int,
    where: str | None,
    pool: int,
    output: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Select crystals of the launch (or set) PK for new reference calculations, and write them to a file.

    By default the crystals with the largest uncertainty per atom are chosen, and among them crystals that differ from
    each other. To compute the uncertainty, launch with a model that has one and with `--set outputs=[uncertainty]`. The
    column `features`, or without it composition and volume, decides how much crystals differ.

    The file holds no energies, forces and stresses of the model, since a training would take them for labels.

    \b
    aiida-pet launch static pool.xyz --set 'outputs=[uncertainty,features]' --wait
    aiida-pet select 140 --by uncertainty --count 50 -o for-dft.extxyz
    """
    from aiida_pet.analysis.selection import descriptors_of, select_diverse
    from aiida_pet.campaigns import rows as rows_of
    from aiida_pet.io.writers import write_table
    from aiida_pet.tables.crystals import StructureTable

    check_target(output, force)
    _check_format(output)
    session.load()
    rows = rows_of(pk)
    table = rows.to_table(where)
    if not isinstance(table, StructureTable):
        raise click.ClickException(f"{pk} is a table without crystals: name a launch of a task, or a set")
    figure = _figure(table, by)
    places = select_diverse(figure, descriptors_of(table, table.columns.get("features")), count, pool)
    if not len(places):
        raise click.ClickException(
            f"no row of {pk} has a value of {by}" + (f" and fulfils {where!r}" if where else "")
        )
    chosen = _without_labels(table.take(places))
    chosen.set_column("selected_by", figure[places], _unit(table, by))
    left_out = write_table(chosen, output)
    if len(places) < count:
        condition = f" and fulfil {where!r}" if where else ""
        note(
            f"fewer than --count {count:,} were written: only {plural(len(places), 'row')} have a value of "
            f"{by}{condition}"
        )
    if as_json:
        echo_json({"ids": chosen.ids.tolist(), by: figure[places].tolist(), "file": str(output)})
        return
    say(
        f"{plural(len(chosen), 'row')} of {len(table):,} written to {output}: {by} from "
        f"{figure[places].max():.3g} to {figure[places].min():.3g} {_unit(table, by)}".rstrip()
    )
    if left_out:
        note(
            f"{plural(len(left_out), 'row')} not written, since the format cannot hold them: {shortened(left_out)}"
        )
    if rows.missing:
        note(rows.missing)


def _check_format(output: Path) -> None:
    """Check that the name of the file means a format that holds crystals.

    :raises click.BadParameter: if it does not; the message lists the suffixes.
    """
    from aiida_pet.io.formats import FORMATS
    from aiida_pet.io.writers import format_of

    try:
        holds_crystals = not format_of(output).is_table
    except ValueError:
        holds_crystals = False
    if not holds_crystals:
        suffixes = [suffix for one in FORMATS if one.writer and not one.is_table for suffix in one.written]
        raise click.BadParameter(
            f"{output} is no file of crystals: expected one of the suffixes {', '.join(suffixes)}",
            param_hint="--output",
        )


def _without_labels(table: StructureTable) -> StructureTable:
    """Return crystals without energies, forces and stresses, which a training would take for reference labels.

    What says of them how they were computed goes too: a reference calculation has a status and level of its own.
    """
    from dataclasses import replace

    from aiida_pet.io.input_results import TARGETS

    left_out = {*TARGETS, *(f"input_{name}" for name in TARGETS), "status", "message", "level_of_theory"}
    columns = {name: values for name, values in table.columns.items() if name not in left_out}
    atom_columns = {name: values for name, values in table.atom_columns.items() if name not in left_out}
    units = {name: unit for name, unit in table.units.items() if name in columns or name in atom_columns}
    return replace(table, columns=columns, atom_columns=atom_columns, units=units)


def _figure(table: StructureTable, by: str) -> Array:
    """Return (N,) the figure by which rows are wanted, NaN where there is none.

    :raises click.ClickException: if there is no such column, or it holds no numbers.
    """
    import numpy as np

    from aiida_pet.tables.filter import no_such_column

    if by not in table.columns:
        remedy = ""
        if by == "uncertainty":
            remedy = (
                ": launch it with a model that has an uncertainty (`aiida-pet launch calibrate` makes such a model) "
                "and `--set outputs=[uncertainty]`"
            )
        raise click.ClickException(no_such_column(by, list(table.columns)) + remedy)
    values: Any = np.asarray(table.columns[by])
    if values.ndim != 1 or values.dtype.kind not in "iufb":
        raise click.ClickException(f"column {by!r} does not hold a number for each row")
    values = values.astype(float)
    return values / np.maximum(table.n_atoms, 1) if by in EXTENSIVE else values


def _unit(table: StructureTable, by: str) -> str:
    unit = table.units.get(by, "")
    return f"{unit}/atom" if unit and by in EXTENSIVE else unit
