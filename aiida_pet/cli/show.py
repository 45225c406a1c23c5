"""``aiida-pet show``: everything that is known of one crystal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.data import IMPORTED_FROM
from aiida_pet.cli.geometry import echo_geometry, geometry_of, shown
from aiida_pet.cli.output import echo_json, echo_pairs, json_option, note, plain
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.tables import warnings
from aiida_pet.tables.columns import Section, section_of
from aiida_pet.units import VOIGT
from aiida_pet.words import shortened

if TYPE_CHECKING:
    from aiida.orm import Node

    from aiida_pet.cli.rows import Rows
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.data.table import TableData

# Arrays of at most so many values are shown, of larger ones their shape.
MOST_VALUES = 36
CLOSEST = 5
# Ids that are compared letter by letter with one that is not there.
MOST_ALIKE = 2000


@dataclass(frozen=True)
class Sheet:
    """What is known of one crystal, as plain values.

    :ivar structure: its geometry, None where no set of crystals is behind the row.
    :ivar sections: section -> column -> value; arrays of at most ``MOST_VALUES`` values are lists.
    :ivar arrays: larger arrays, column -> shape.
    :ivar units: of columns that have one.
    """

    structure: dict[str, Any] | None
    sections: dict[str, dict[str, Any]]
    arrays: dict[str, list[int]]
    units: dict[str, str]


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
    from aiida_pet.cli.rows import load_rows
    from aiida_pet.cli.session import load_any

    session.load()
    rows = load_rows(pk)
    place(rows.node, row_id)
    named = load_any(pk)
    crystals = crystals_behind(named, rows.node, row_id)
    sheet = sheet_of(rows.node, row_id, crystals)
    stages = stage_sheets(named, row_id, sheet)
    way = list(provenance_of(rows.node, row_id, crystals))
    if as_json:
        echo_json(_document(rows, row_id, sheet, stages, way))
        return
    _echo_sheet(row_id, sheet)
    _echo_stages(stages)
    _echo_way(way)
    if rows.missing:
        note(rows.missing)


def place(node: TableData, row_id: str) -> int:
    """Return the position of row ``row_id``.

    :raises click.ClickException: if there is no such row, naming the closest ids.
    """
    from difflib import get_close_matches

    try:
        return node.place(row_id)
    except KeyError as error:
        closest = get_close_matches(row_id, _alike(node, row_id), n=CLOSEST, cutoff=0.5)
        named = (
            f"closest are {', '.join(closest)}" if closest else f"there are {shortened(node.ids.tolist())}"
        )
        which = f"the {len(node)} of {type(node).__name__}<{node.pk}>"
        raise click.ClickException(f"no row {row_id!r} among {which}: {named}") from error


def _alike(node: TableData, row_id: str) -> list[str]:
    """Return ids to compare ``row_id`` with letter by letter: all, of a large table those beside it in the alphabet."""
    import numpy as np

    ids = node.ids
    if len(ids) > MOST_ALIKE:
        ids = np.sort(ids)
        place = int(np.searchsorted(ids, row_id))
        ids = ids[max(0, place - MOST_ALIKE // 2) : place + MOST_ALIKE // 2]
    return [str(name) for name in ids.tolist()]


# -- gathering ---------------------------------------------------------------------------------------------------------


def crystals_behind(named: Node, table: TableData, row_id: str) -> StructureSetData | None:
    """Return the set that has the geometry of a row: the table itself, else what it was computed from."""
    from aiida import orm

    from aiida_pet.data.structures import StructureSetData

    creator = table.creator if table.is_stored else None
    processes = [node for node in (creator, named) if isinstance(node, orm.ProcessNode)]
    sources = [process.inputs.structures for process in processes if "structures" in process.inputs]
    for node in (table, *sources):
        if isinstance(node, StructureSetData) and (node.ids == row_id).any():
            return node
    return None


def sheet_of(table: TableData, row_id: str, crystals: StructureSetData | None) -> Sheet:
    """Return what ``table`` has of a row.

    :param crystals: the set with its geometry.
    """
    index = table.place(row_id)
    sections: dict[str, dict[str, Any]] = {section.value: {} for section in Section}
    arrays = {name: list(table.ragged(name)[index].shape) for name in table.ragged_names}
    for name in table.column_names:
        value = table.column(name)[index]
        if value.size > MOST_VALUES:
            arrays[name] = list(value.shape)
        else:
            sections[section_of(name, table.column_names)][name] = _as_known(name, value.tolist())
    structure = None if crystals is None else geometry_of(crystals, row_id, sections["symmetry"])
    arrays |= _atom_columns(table, index)
    units = {
        name: table.unit(name) for name in (*table.column_names, *table.ragged_names) if table.unit(name)
    }
    return Sheet(structure, {name: values for name, values in sections.items() if values}, arrays, units)


def _as_known(name: str, value: Any) -> Any:
    """Return a flag or a count as such: where some row has none, a table has them as numbers, NaN where missing."""
    from aiida_pet.tables.columns import Kind, kinds_of

    kinds = kinds_of(name) if isinstance(value, float) else set()
    if Kind.FLAG in kinds and value in (0.0, 1.0):
        return bool(value)
    if Kind.COUNT in kinds and value.is_integer():
        return int(value)
    return value


def _atom_columns(table: TableData, index: int) -> dict[str, list[int]]:
    """Return the shape of each column per atom, of one row."""
    from aiida_pet.data.structures import StructureSetData

    if not isinstance(table, StructureSetData):
        return {}
    size = int(table.row_sizes()[index])
    return {name: [size, *shape[1:]] for name, shape in table.atom_column_shapes().items()}


def stage_sheets(named: Node, row_id: str, known: Sheet) -> dict[str, tuple[int | None, Sheet | None]]:
    """Return of each stage of a screening its table's pk and what it has beside the final table, None if it never came.

    :param known: the row of the final table.
    """
    from aiida import orm

    tables = named.outputs.stages if isinstance(named, orm.ProcessNode) and "stages" in named.outputs else {}
    told = {name for values in known.sections.values() for name in values} | set(known.arrays)
    found: dict[str, tuple[int | None, Sheet | None]] = {}
    for name in tables:
        table = tables[name]
        if not (table.ids == row_id).any():
            found[name] = (table.pk, None)
            continue
        sheet = sheet_of(table, row_id, None)
        sections = {
            section: kept
            for section, values in sheet.sections.items()
            if (
                kept := {
                    key: value for key, value in values.items() if key not in told or section == "status"
                }
            )
        }
        arrays = {key: shape for key, shape in sheet.arrays.items() if key not in told}
        found[name] = (table.pk, Sheet(None, sections, arrays, sheet.units))
    return found


def provenance_of(
    table: TableData, row_id: str, crystals: StructureSetData | None
) -> Iterator[dict[str, Any]]:
    """Yield the nodes on the way back from a row, as `aiida-pet trace` finds them.

    :param crystals: where the way begins if ``table`` has no history of its own.
    """
    from aiida_pet.campaigns.trace import trace
    from aiida_pet.data.structures import StructureSetData

    start: Any = table
    if not isinstance(table, StructureSetData):
        creator = table.creator
        start = creator if creator is not None and "results" in creator.outputs else crystals
    if start is None or not start.is_stored:
        return
    for step in trace(start, row_id):
        yield {
            "role": step.role,
            "pk": step.node.pk,
            "uuid": step.node.uuid,
            "type": type(step.node).__name__,
            "label": step.node.label,
            "note": "" if IMPORTED_FROM in step.note else step.note,
            "imported_from": step.node.base.extras.get(IMPORTED_FROM, None),
        }


# -- printing ----------------------------------------------------------------------------------------------------------


def _document(
    rows: Rows,
    row_id: str,
    sheet: Sheet,
    stages: dict[str, tuple[int | None, Sheet | None]],
    way: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "pk": rows.pk,
        "id": row_id,
        "complete": not rows.missing,
        "structure": sheet.structure,
        **sheet.sections,
        "arrays": sheet.arrays,
        "units": sheet.units,
        "stages": {
            name: {"pk": pk, "reached": found is not None}
            | ({} if found is None else found.sections | {"arrays": found.arrays, "units": found.units})
            for name, (pk, found) in stages.items()
        },
        "provenance": way,
    }


def _echo_sheet(row_id: str, sheet: Sheet) -> None:
    formula = f", {sheet.structure['formula']}" if sheet.structure else ""
    click.echo(f"{row_id}{formula}")
    for section, values in sheet.sections.items():
        _echo_values(section, values, sheet.units)
        if section == "status" and sheet.structure:
            echo_geometry(sheet.structure)
    if sheet.structure and "status" not in sheet.sections:
        echo_geometry(sheet.structure)
    if sheet.arrays:
        click.echo("\narrays")
        echo_pairs({f"  {_named(name, sheet.units)}": _shape(shape) for name, shape in sheet.arrays.items()})


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


def _echo_stages(stages: Mapping[str, tuple[int | None, Sheet | None]]) -> None:
    for name, (pk, sheet) in stages.items():
        if sheet is None:
            click.echo(f"\nstage {name} <{pk}>: did not come to it")
            continue
        click.echo(f"\nstage {name} <{pk}>")
        sections = sheet.sections.values()
        values = {key: value for section in sections for key, value in section.items() if value != ""}
        echo_pairs({f"  {_named(key, sheet.units)}": shown(value) for key, value in values.items()})
        echo_pairs({f"  {_named(key, sheet.units)}": _shape(shape) for key, shape in sheet.arrays.items()})


def _echo_way(way: list[dict[str, Any]]) -> None:
    if not way:
        return
    click.echo("\nprovenance")
    for step in way:
        label = f" {step['label']!r}" if step["label"] else ""
        told = f": {step['note']}" if step["note"] else ""
        files = [file["path"] for file in step["imported_from"] or []]
        from_ = f", imported from {shortened(files, 3)}" if files else ""
        click.echo(f"  {step['role']:<12} <{step['pk']}> {step['type']}{label}{told}{from_}")


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
