"""Everything that is known of one crystal: geometry, values by section, stages of a screening, and its way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiida import orm

from aiida_pet.campaigns.geometry import Geometry, geometry_of
from aiida_pet.campaigns.nodes import Named
from aiida_pet.campaigns.provenance import TraceStep, trace
from aiida_pet.campaigns.results import Rows, rows
from aiida_pet.data.lookup import frame_columns, read_columns
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.columns import Kind, Section, kinds_of, section_of
from aiida_pet.tables.columns import sections as section_names
from aiida_pet.tables.components import whole_of

MOST_VALUES = 36
"""Arrays of at most so many values are shown, of larger ones their shape."""


@dataclass(frozen=True)
class Values:
    """The values that a table has of one row.

    :ivar sections: section -> column -> value; arrays of at most :data:`MOST_VALUES` values are lists.
    :ivar arrays: larger arrays, column -> shape.
    :ivar units: units of columns that have one.
    """

    sections: dict[str, dict[str, Any]]
    arrays: dict[str, list[int]]
    units: dict[str, str]

    def names(self) -> set[str]:
        """Return the names of the columns."""
        return {name for values in self.sections.values() for name in values} | set(self.arrays)

    def beside(self, known: set[str]) -> Values:
        """Return what has not been said yet: the status, and columns that are not among ``known``."""
        sections = {
            section: {
                name: value for name, value in values.items() if name not in known or section == "status"
            }
            for section, values in self.sections.items()
        }
        arrays = {name: shape for name, shape in self.arrays.items() if name not in known}
        return Values({name: values for name, values in sections.items() if values}, arrays, self.units)


@dataclass(frozen=True)
class StageSheet:
    """Values that a stage of a screening has for the crystal.

    :ivar pk: pk of the table of the stage.
    :ivar values: values that are not in the final table; None if the crystal did not reach the stage.
    """

    pk: int | None
    values: Values | None


@dataclass(frozen=True)
class Sheet:
    """Everything that is known about one crystal, as plain values.

    :ivar pk: pk of the set, table or launch that was named.
    :ivar id: id of the crystal.
    :ivar missing: what the table lacks, in words; empty if it is whole.
    :ivar geometry: None if there is no set of crystals to which the row belongs.
    :ivar values: values of the row.
    :ivar stages: stages of a screening, by name, in their order.
    :ivar provenance: steps from the row back to its origin, the row itself first; empty if it has no history.
    """

    pk: int | None
    id: str
    missing: str
    geometry: Geometry | None
    values: Values
    stages: dict[str, StageSheet] = field(default_factory=dict)
    provenance: list[TraceStep] = field(default_factory=list)

    def __getitem__(self, column: str) -> Any:
        """Return the value of a column.

        :raises KeyError: if there is none, or only its shape is here.
        """
        for values in self.values.sections.values():
            if column in values:
                return values[column]
        raise KeyError(
            f"no value {column!r} of {self.id}: there are {', '.join(sorted(self.values.names()))}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values; sections stand beside ``id`` by their names."""
        return {
            "pk": self.pk,
            "id": self.id,
            "complete": not self.missing,
            "structure": None if self.geometry is None else self.geometry.to_dict(),
            **self.values.sections,
            "arrays": self.values.arrays,
            "units": self.values.units,
            "stages": {
                name: {"pk": stage.pk, "reached": stage.values is not None}
                | (
                    {}
                    if stage.values is None
                    else stage.values.sections | {"arrays": stage.values.arrays, "units": stage.values.units}
                )
                for name, stage in self.stages.items()
            },
            "provenance": [step.to_dict() for step in self.provenance],
        }


def sheet(named: Named | Rows, row_id: str) -> Sheet:
    """Return everything that is known about crystal ``row_id`` of a set, a table or a launch.

    :param named: pk, uuid, label, node, or what :func:`~aiida_pet.campaigns.results.rows` returned.
    :raises NoSuchRowError: if there is no such row, naming the closest ids.
    :raises CampaignError: if there are no rows; see :func:`~aiida_pet.campaigns.results.rows`.

    .. code-block:: python

        from aiida_pet.campaigns import sheet

        crystal = sheet("alloys", "MoTa-0013")
        print(crystal["energy"], crystal.geometry.formula)
    """
    found = rows(named)
    index = found.place(row_id)
    values = values_of(found.table, index)
    crystals = _crystals_behind(found, row_id)
    symmetry = values.sections.get(Section.SYMMETRY.value, {})
    return Sheet(
        pk=found.pk,
        id=row_id,
        missing=found.missing,
        geometry=None if crystals is None else geometry_of(crystals, row_id, symmetry),
        values=values,
        stages=_stages_of(found.source, row_id, values.names()),
        provenance=_way_back(found.table, row_id, crystals),
    )


def values_of(table: TableData, index: int) -> Values:
    """Return what ``table`` has of the row at ``index``."""
    sections: dict[str, dict[str, Any]] = {section: {} for section in section_names()}
    arrays = {name: list(table.ragged(name)[index].shape) for name in table.ragged_names}
    names = table.column_names
    for name in names:
        value = table.column(name)[index]
        if value.size > MOST_VALUES:
            arrays[name] = list(value.shape)
        else:
            sections[section_of(name, names)][name] = _as_known(name, value.tolist())
    arrays |= _atom_columns(table, index)
    units = {name: unit for name in (*names, *table.ragged_names) if (unit := table.unit(name))}
    return Values({name: values for name, values in sections.items() if values}, arrays, units)


def value_of(table: TableData, name: str, index: int) -> Any:
    """Return the value of column ``name`` in the row at ``index``, whatever its shape.

    :param name: a column, one of its components such as ``stress_xx``, a column per atom, or one whose rows differ in
        length.
    :raises KeyError: with ``name`` and the names of all columns, if there is none.
    """
    if name in table.column_names:
        return _as_known(name, table.column(name)[index].tolist())
    if name in table.ragged_names:
        return table.ragged(name)[index].tolist()
    per_atom = table.atom_column_shapes() if isinstance(table, StructureSetData) else {}
    if name in per_atom:
        start = int(table.row_sizes()[:index].sum())
        return table.atom_column(name)[start : start + int(table.row_sizes()[index])].tolist()
    flat = frame_columns(table)
    if name in flat:
        return _as_known(name, read_columns(table, [name], np.array([index]))[name].iloc[0])
    raise KeyError(name, [*dict.fromkeys([*table.column_names, *table.ragged_names, *per_atom, *flat])])


def unit_of_value(table: TableData, name: str) -> str:
    """Return the unit of what :func:`value_of` returns, empty for what has none."""
    attributes = table.base.attributes.all
    for key in ("columns", "ragged", "atom_columns"):
        known = attributes.get(key) or {}
        if name in known or (key == "columns" and whole_of(name) in known):
            return str(known.get(name) or known.get(whole_of(name)) or "")
    return ""


def _as_known(name: str, value: Any) -> Any:
    """Return a flag or a count as such: where some row has none, a table has them as numbers, NaN where missing."""
    kinds = kinds_of(name) if isinstance(value, float) else set()
    if Kind.FLAG in kinds and value in (0.0, 1.0):
        return bool(value)
    if Kind.COUNT in kinds and value.is_integer():
        return int(value)
    return value


def _atom_columns(table: TableData, index: int) -> dict[str, list[int]]:
    """Return the shape of each column per atom, of one row."""
    if not isinstance(table, StructureSetData):
        return {}
    size = int(table.row_sizes()[index])
    return {name: [size, *shape[1:]] for name, shape in table.atom_column_shapes().items()}


def _crystals_behind(found: Rows, row_id: str) -> StructureSetData | None:
    """Return the set that has the geometry of a row: the table itself, else what it was computed from."""
    creator = found.table.creator if found.table.is_stored else None
    processes = [node for node in (creator, found.source) if isinstance(node, orm.ProcessNode)]
    sources = [process.inputs.structures for process in processes if "structures" in process.inputs]
    for node in (found.table, *sources):
        if isinstance(node, StructureSetData) and (node.ids == row_id).any():
            return node
    return None


def _stages_of(source: orm.Node, row_id: str, known: set[str]) -> dict[str, StageSheet]:
    """Return what each stage of a screening has of a row beside the columns ``known``."""
    is_screening = isinstance(source, orm.ProcessNode) and "stages" in source.outputs
    tables: Mapping[str, TableData] = source.outputs.stages if is_screening else {}  # type: ignore[attr-defined]
    found: dict[str, StageSheet] = {}
    for name in tables:
        table = tables[name]
        has_row = bool((table.ids == row_id).any())
        values = values_of(table, table.place(row_id)).beside(known) if has_row else None
        found[name] = StageSheet(table.pk, values)
    return found


def _way_back(table: TableData, row_id: str, crystals: StructureSetData | None) -> list[TraceStep]:
    """Return the nodes on the way back from a row.

    :param crystals: where the way begins if ``table`` has no history of its own.
    """
    start: Any = table
    if not isinstance(table, StructureSetData):
        creator = table.creator
        start = creator if creator is not None and "results" in creator.outputs else crystals
    return trace(start, row_id) if start is not None and start.is_stored else []
