"""``aiida-pet columns``: what each column of the results means."""

from __future__ import annotations

import click

from aiida_pet.cli.choices import NamesOf
from aiida_pet.cli.output import echo_json, json_option, wide_option, wrapped_table
from aiida_pet.tables.columns import Column, all_columns, sections, source_names


@click.command()
@click.argument("source", metavar="[TASK]", type=NamesOf(source_names), required=False)
@wide_option
@json_option
def columns(source: str | None, wide: bool, as_json: bool) -> None:
    """Print the columns that TASK writes, or without TASK all columns, with their units and meanings.

    TASK is static, relax, phonons, elastic, conductivity, eos, qha, md, hull, symmetry, combined (a constrained and
    then a free relaxation), modes (crystals displaced along their imaginary modes), screen, or a task or stage of
    another package. A name with {symprec} stands for one column per tolerance: spacegroup_0_01 is the space group at
    0.01 A.
    """
    chosen = [one for one in all_columns() if source is None or source in one.sources]
    if as_json:
        echo_json([record_of(one) for one in chosen])
        return
    for section in sections():
        rows = [(one.name, one.unit, one.meaning) for one in chosen if one.section == section]
        if rows:
            click.echo(f"{section}\n{wrapped_table(rows, ('column', 'unit', 'meaning'), wide=wide)}\n")


def record_of(column: Column) -> dict[str, object]:
    """Return what the catalogue says of ``column`` as plain values."""
    return {
        "name": column.name,
        "unit": column.unit or None,
        "shape": list(column.shape),
        "kind": column.kind.value,
        "section": str(column.section),
        "sources": [str(source) for source in column.sources],
        "meaning": column.meaning,
    }
