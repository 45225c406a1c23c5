"""``aiida-pet show``: everything that is known of one crystal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.geometry import echo_geometry, shown
from aiida_pet.cli.output import echo_json, echo_pairs, json_option, note
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.tables import warnings
from aiida_pet.units import VOIGT
from aiida_pet.words import plain, shortened

if TYPE_CHECKING:
    from aiida_pet.campaigns.provenance import TraceStep
    from aiida_pet.campaigns.sheets import Sheet, StageSheet, Values


@click.command()
@click.argument("pk")
@click.argument("row_id", metavar="ID")
@json_option
@pass_session
def show(session: Session, *, pk: str, row_id: str, as_json: bool) -> None:
    """Print everything known of crystal ID of the launch, set or table PK.

    Its geometry; status, relaxation, symmetry, hull, phonons and elastic constants as far as they were computed, with
    units; of a screening what each stage has beside that; and the jobs that it comes from.
    """
    from aiida_pet.campaigns import sheet

    session.load()
    found = sheet(pk, row_id)
    if as_json:
        echo_json(found.to_dict())
        return
    _echo_sheet(found)
    _echo_stages(found.stages)
    _echo_way(found.provenance)
    if found.missing:
        note(found.missing)


def _echo_sheet(sheet: Sheet) -> None:
    geometry, sections, units = sheet.geometry, sheet.values.sections, sheet.values.units
    click.echo(f"{sheet.id}{f', {geometry.formula}' if geometry else ''}")
    for section, values in sections.items():
        _echo_values(section, values, units)
        if section == "status" and geometry:
            echo_geometry(geometry)
    if geometry and "status" not in sections:
        echo_geometry(geometry)
    if sheet.values.arrays:
        click.echo("\narrays")
        _echo_arrays(sheet.values)


def _echo_arrays(values: Values) -> None:
    echo_pairs({f"  {_named(name, values.units)}": _shape(shape) for name, shape in values.arrays.items()})


def _echo_values(section: str, values: Mapping[str, Any], units: Mapping[str, str]) -> None:
    values = {name: value for name, value in values.items() if value != ""}
    if not values:
        return
    click.echo(f"\n{section}")
    matrices = {name: value for name, value in values.items() if _is_voigt_matrix(value)}
    echo_pairs(
        {f"  {_named(name, units)}": shown(value) for name, value in values.items() if name not in matrices}
    )
    for code in warnings.codes_in(str(values.get(warnings.COLUMN, ""))):
        click.echo(f"  {code}: {warnings.meaning_of(code)}")
    for name, matrix in matrices.items():
        click.echo(f"  {_named(name, units)}:")
        click.echo("    " + " " * 4 + "".join(f"{axis:>10}" for axis in VOIGT))
        for axis, line in zip(VOIGT, plain(matrix), strict=True):
            click.echo(f"    {axis:<4}" + "".join(f"{_decimals(value):>10}" for value in line))


def _echo_stages(stages: Mapping[str, StageSheet]) -> None:
    for name, stage in stages.items():
        if stage.values is None:
            click.echo(f"\nstage {name} <{stage.pk}>: did not come to it")
            continue
        click.echo(f"\nstage {name} <{stage.pk}>")
        sections, units = stage.values.sections.values(), stage.values.units
        values = {key: value for section in sections for key, value in section.items() if value != ""}
        echo_pairs({f"  {_named(key, units)}": shown(value) for key, value in values.items()})
        _echo_arrays(stage.values)


def _echo_way(way: Sequence[TraceStep]) -> None:
    if way:
        click.echo("\nprovenance")
    for step in (one.to_dict() for one in way):
        label = f" {step['label']!r}" if step["label"] else ""
        note_ = f": {step['note']}" if step["note"] else ""
        files = [file["path"] for file in step["imported_from"] or []]
        from_ = f", imported from {shortened(files, 3)}" if files else ""
        click.echo(f"  {step['role']:<12} <{step['pk']}> {step['type']}{label}{note_}{from_}")


def _named(name: str, units: Mapping[str, str]) -> str:
    return f"{name} ({units[name]})" if units.get(name) else name


def _shape(shape: list[int]) -> str:
    return f"array {' x '.join(map(str, shape))}"


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _is_voigt_matrix(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 6
        and all(isinstance(v, list) and len(v) == 6 for v in value)
    )
