"""``aiida-pet show``: everything that is known of one crystal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.geometry import echo_geometry, shown
from aiida_pet.cli.output import (
    columns_option,
    echo_columns,
    echo_json,
    echo_pairs,
    json_option,
    note,
    terminal_width,
    wide_option,
)
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import the_only_row
from aiida_pet.tables import warnings
from aiida_pet.units import VOIGT
from aiida_pet.words import plain, shortened, without_negative_zero

if TYPE_CHECKING:
    from aiida_pet.campaigns.provenance import TraceStep
    from aiida_pet.campaigns.results import Rows
    from aiida_pet.campaigns.sheets import Sheet, StageSheet, Values


FEW = 3
"""Values of a section that are printed one by one even if all are missing."""


@click.command()
@click.argument("pk")
@click.argument("row_id", metavar="[ID]", required=False)
@columns_option
@wide_option
@json_option
@pass_session
def show(
    session: Session, *, pk: str, row_id: str | None, columns: list[str] | None, wide: bool, as_json: bool
) -> None:
    """Print everything that is known about crystal ID of the launch, set or table PK. ID may be left out if there is
    only one crystal.

    The output shows the geometry, status, relaxation, symmetry, hull, phonons and elastic constants of the crystal, if
    they were computed. For a screening it also shows further columns of each stage. At the end it lists the jobs that
    computed the row.

    \b
    aiida-pet show 12 alloy-3
    aiida-pet show 12 alloy-3 --columns forces,stress
    """
    from aiida_pet.campaigns import rows, sheet

    session.load()
    found = rows(pk)
    one = row_id or the_only_row(found)
    if columns is not None:
        _show_columns(found, one, columns, wide, as_json)
        return
    known = sheet(found, one)
    if as_json:
        echo_json(known.to_dict())
        return
    _echo_sheet(known, wide)
    _echo_stages(known.stages, wide)
    _echo_way(known.provenance)
    if known.missing:
        note(known.missing)


def _show_columns(found: Rows, row_id: str, columns: list[str], wide: bool, as_json: bool) -> None:
    """Print the values of some columns of a row, arrays in full.

    :raises click.BadParameter: naming a column that there is not.
    """
    from aiida_pet.campaigns.sheets import unit_of_value, value_of
    from aiida_pet.tables.filter import no_such_column

    place = found.place(row_id)
    values: dict[str, Any] = {}
    for name in columns:
        try:
            values[name] = value_of(found.table, name, place)
        except KeyError as error:
            raise click.BadParameter(no_such_column(name, error.args[1]), param_hint="--columns") from error
    if as_json:
        echo_json({"pk": found.pk, "id": row_id} | values)
        return
    for name, value in plain(values).items():
        unit = unit_of_value(found.table, name)
        label = _named(name, {name: unit})
        if isinstance(value, list) and value and isinstance(value[0], list):
            click.echo(f"{label}:")
            _echo_array(value, unit)
        else:
            echo_pairs({label: shown(value, unit, name)}, wide=wide)


def _echo_array(value: list[Any], unit: str, indent: str = "  ") -> None:
    """Print nested lists, the innermost in lines."""
    for item in value:
        if isinstance(item, list) and item and isinstance(item[0], list):
            _echo_array(item, unit, indent)
            click.echo()
        else:
            click.echo(indent + "".join(f"{shown(one, unit):>12}" for one in item))


def _echo_sheet(sheet: Sheet, wide: bool) -> None:
    geometry, sections, units = sheet.geometry, sheet.values.sections, sheet.values.units
    curves = _curves(sections)
    click.echo(f"{sheet.id}{f', {geometry.formula}' if geometry else ''}")
    # said among the geometry
    said = {"n_atoms", "volume", *geometry.groups} if geometry else set()
    said |= {name for of_axis in curves.values() for name in of_axis}
    for section, values in sections.items():
        told = {name: value for name, value in values.items() if name not in said}
        own = {axis: of for axis, of in curves.items() if any(name in values for name in of if name != axis)}
        _echo_values(section, told, units, wide, own)
        if section == "status" and geometry:
            echo_geometry(geometry)
    if geometry and "status" not in sections:
        echo_geometry(geometry)
    if sheet.values.arrays:
        click.echo("\narrays (--columns NAME prints one)")
        _echo_arrays(sheet.values)


def _echo_arrays(values: Values) -> None:
    echo_pairs({f"  {_named(name, values.units)}": _shape(shape) for name, shape in values.arrays.items()})


def _curves(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Return axis -> columns of the curves that stand along it, the axis first, such as temperatures."""
    from aiida_pet.tables.columns import find_columns

    known = {name: value for values in sections.values() for name, value in values.items()}
    found: dict[str, dict[str, list[Any]]] = {}
    for name, value in known.items():
        for axis in {column.along for column in find_columns(name)} & set(known):
            if isinstance(value, list) and isinstance(known[axis], list) and len(value) == len(known[axis]):
                found.setdefault(axis, {axis: known[axis]})[name] = value
    return found


def _echo_values(
    section: str,
    values: Mapping[str, Any],
    units: Mapping[str, str],
    wide: bool,
    curves: Mapping[str, Mapping[str, list[Any]]],
) -> None:
    """Print the values of a section, its curves as tables.

    :param curves: those that belong to the section, by their axes.
    """
    values = {name: value for name, value in values.items() if value != ""}
    if not values and not curves:
        return
    click.echo(f"\n{section}")
    if len(values) > FEW and all(map(_is_missing, values.values())) and not curves:
        click.echo("  no value: this was not computed, or has no answer")
        return
    matrices = {
        name: value for name, value in values.items() if _is_voigt_matrix(value) and not _is_missing(value)
    }
    _echo_named({name: value for name, value in values.items() if name not in matrices}, units, wide)
    for code in warnings.codes_in(str(values.get(warnings.COLUMN, ""))):
        echo_pairs({f"  {code}": warnings.meaning_of(code)}, wide=wide)
    for name, matrix in matrices.items():
        click.echo(f"  {_named(name, units)}:")
        click.echo("    " + " " * 4 + "".join(f"{axis:>10}" for axis in VOIGT))
        for axis, line in zip(VOIGT, plain(matrix), strict=True):
            click.echo(f"    {axis:<4}" + "".join(f"{_decimals(value):>10}" for value in line))
    for along in curves.values():
        click.echo()
        echo_columns(along, units, wide=wide, once=False, indent="  ")


def _is_missing(value: Any) -> bool:
    """Return whether there is no value, or none in an array."""
    value = plain(value)
    return all(map(_is_missing, value)) if isinstance(value, list) else value is None


def _echo_named(values: Mapping[str, Any], units: Mapping[str, str], wide: bool) -> None:
    echo_pairs(
        {
            f"  {_named(name, units)}": "-" if _is_missing(value) else shown(value, units.get(name, ""), name)
            for name, value in values.items()
        },
        wide=wide,
    )


def _echo_stages(stages: Mapping[str, StageSheet], wide: bool) -> None:
    for name, stage in stages.items():
        if stage.values is None:
            click.echo(f"\nstage {name} <{stage.pk}>: the row did not reach it")
            continue
        click.echo(f"\nstage {name} <{stage.pk}>")
        sections, units = stage.values.sections.values(), stage.values.units
        values = {key: value for section in sections for key, value in section.items() if value != ""}
        _echo_named(values, units, wide)
        _echo_arrays(stage.values)


def _echo_way(way: Sequence[TraceStep]) -> None:
    from aiida_pet.printed.pairs import hanging

    if way:
        click.echo("\nprovenance")
    for step in (one.to_dict() for one in way):
        label = f" {step['label']!r}" if step["label"] else ""
        note_ = f": {step['note']}" if step["note"] else ""
        files = [file["path"] for file in step["imported_from"] or []]
        from_ = f", imported from {shortened(files, 3)}" if files else ""
        head = f"  {step['role']:<12} "
        told = f"<{step['pk']}> {step['type']}{label}{note_}{from_}"
        for line in hanging(head, told, len(head), terminal_width()):
            click.echo(line)


def _named(name: str, units: Mapping[str, str]) -> str:
    return f"{name} ({units[name]})" if units.get(name) else name


def _shape(shape: list[int]) -> str:
    return f"array {' x '.join(map(str, shape))}"


def _decimals(value: float | None) -> str:
    return "-" if value is None else without_negative_zero(f"{value:.2f}")


def _is_voigt_matrix(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 6
        and all(isinstance(v, list) and len(v) == 6 for v in value)
    )
