"""Every column of the catalogue is found wherever a user may name or meet one: conditions, show, results, the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.job.parameters import Output
from aiida_pet.job.stages import STAGES, stage_entry
from aiida_pet.tables.columns import COLUMNS, Column, Kind, Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import filter_frame
from aiida_pet.tables.ragged import Ragged
from aiida_pet.units import VOIGT
from aiida_pet.workchains.stages import check_stages

PAGE = Path(__file__).parents[2] / "docs" / "columns.md"
SYMPREC = 0.01
VALUES: dict[Kind, list[Any]] = {
    Kind.NUMBER: [1.5, 2.5],
    Kind.COUNT: [1, 2],
    Kind.FLAG: [True, False],
    Kind.TEXT: ["first", "second"],
}
CONDITIONS = {Kind.NUMBER: "{} > 2", Kind.COUNT: "{} > 1", Kind.FLAG: "not {}", Kind.TEXT: "{} == 'second'"}
# Parameters under which the columns of each task exist; what excludes each other is in two of them.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "relax": [
        {"averaging": "lebedev-3", "pressure": 5.0, "outputs": [*Output]},
        {"forces": "direct", "stress": "direct"},
    ],
    "phonons": [
        {"averaging": "lebedev-3", "pressure": 5.0, "outputs": [*Output], "supercell_check": 9.0},
        {"forces": "direct"},
    ],
    "elastic": [{"averaging": "lebedev-3", "pressure": 5.0, "outputs": [*Output]}, {"forces": "direct"}],
    "hull": [{}],
    "symmetry": [{}],
}


def columns_from(source: str) -> Iterator[tuple[str, Column]]:
    for column in COLUMNS:
        if source in column.sources:
            for name in column.names((SYMPREC,)):
                yield name, column


def scalars_from(source: str) -> Iterator[tuple[str, Kind]]:
    """What a data frame has of each column of a single value or of six."""
    for name, column in columns_from(source):
        names = [f"{name}_{component}" for component in VOIGT] if column.shape == ("6",) else [name]
        if column.shape in {(), ("6",)}:
            yield from ((one, column.kind) for one in names)


def table_from(source: str) -> StructureTable:
    """Two crystals of two atoms that have every column of `source`."""
    crystals = [(f"row-{i}", bulk("W", "bcc", a=3.2 + i / 10, cubic=True)) for i in range(2)]
    table = StructureTable.from_ase(crystals)
    for name, column in columns_from(source):
        shape = [int(length) if length.isdigit() else 3 for length in column.shape]
        values = np.array(VALUES[column.kind])
        full = np.broadcast_to(values.reshape(2, *[1] * len(shape)), (2, *shape)).copy()
        if column.shape[:1] == ("A",):
            atoms = np.broadcast_to(np.repeat(values, 2).reshape(4, *[1] * len(shape[1:])), (4, *shape[1:]))
            table = replace(table, atom_columns=table.atom_columns | {name: atoms.copy()})
            table.units[name] = column.unit
        elif column.shape[:1] == ("*",):
            ragged = Ragged.of([np.zeros((1 + i, *shape[1:])) for i in range(2)])
            table = replace(table, ragged=table.ragged | {name: ragged})
            table.units[name] = column.unit
        elif name != "n_atoms":
            table.set_column(name, full, column.unit or None)
    return table


@pytest.fixture(params=[source.value for source in Source])
def stored(request: pytest.FixtureRequest, aiida_profile: Any) -> tuple[str, Any]:
    """A source, and a set that has every column of it."""
    from aiida_pet.data.structures import StructureSetData

    return request.param, StructureSetData.from_table(table_from(request.param)).store()


def test_it_is_found_in_results_and_in_conditions_on_them(stored: tuple[str, Any], read: Any) -> None:
    source, node = stored
    scalars = dict(scalars_from(source))
    rows = read("results", node.pk, "--columns", ",".join(scalars))["rows"]
    assert set(scalars) <= set(rows[0])
    frame = node.to_dataframe()
    for name, kind in scalars.items():
        expected = ["row-1"] if name != "n_atoms" else ["row-0", "row-1"]
        assert filter_frame(frame, CONDITIONS[kind].format(name)).index.tolist() == expected, name


def test_it_is_shown_under_its_heading_with_its_unit(stored: tuple[str, Any], read: Any) -> None:
    source, node = stored
    sheet = read("show", node.pk, "row-0")
    headings = {
        heading: values
        for heading, values in sheet.items()
        if isinstance(values, dict) and heading not in ("units", "stages")
    }
    told = {name: heading for heading, values in headings.items() for name in values}
    for name, column in columns_from(source):
        assert name in told, name
        if column.unit:
            assert sheet["units"].get(name, column.unit) == column.unit
        if told[name] not in ("arrays", "structure"):
            assert told[name] == column.section, name


@pytest.mark.parametrize("stage", STAGES)
def test_a_condition_of_a_stage_may_name_it(stage: str) -> None:
    entry = stage_entry(stage)
    sources = [stage, *entry.may_write]
    modes: dict[str, Any] = {"mode": "constrained_then_free"} if stage == "relax" else {}
    plans = [modes | ({"parameters": parameters} if entry.task else {}) for parameters in VARIANTS[stage]]
    for source in sources:
        for name, kind in scalars_from(source):
            problems = [
                check_stages({stage: plan | {"keep": CONDITIONS[kind].format(name)}}, []) for plan in plans
            ]
            assert None in problems, problems[0]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_it_is_on_the_page(column: Column) -> None:
    assert any(
        line.startswith(f"| `{column.name}` | {column.unit} |") for line in PAGE.read_text().splitlines()
    )
