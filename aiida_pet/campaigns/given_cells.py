"""What is said of a launch whose crystals lack settings that it takes from the columns of their set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_pet.job.given_columns import GIVEN_COLUMNS, GivenColumn
from aiida_pet.job.input_columns import read_by
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable


def notes_on_columns(
    task: Task | str, chosen: Mapping[str, Any], table: Callable[[], StructureTable]
) -> list[str]:
    """Return sentences on settings that ``task`` takes from the set, and that crystals lack.

    :param chosen: parameters that the protocol or the user sets.
    :param table: reads the crystals, where the task may take anything from them.
    :raises ParameterError: for parameters that are none.
    """
    read = read_by(task)
    names = [name for name in (*read.rows, *read.ragged) if name in GIVEN_COLUMNS]
    parameters = parse_parameters(Task(task), dict(chosen)).model_dump(mode="json") if names else {}
    if not any(parameters.get(GIVEN_COLUMNS[name].asked_by) for name in names):
        return []
    return not_given(names, table(), parameters, chosen)


def not_given(
    names: Collection[str], table: StructureTable, parameters: Mapping[str, Any], asked: Collection[str]
) -> list[str]:
    """Return a sentence for each column with settings that crystals lack, and what is used instead.

    :param names: columns that the task reads, some of :data:`~aiida_pet.job.given_columns.GIVEN_COLUMNS`.
    :param table: the crystals of a launch.
    :param parameters: of the task, defaults filled in.
    :param asked: names of parameters that the protocol or the user sets. Where ``given_cells`` is true only by default,
        a set without any such column says nothing, but a set with only some of them does.
    """
    columns = {name: GIVEN_COLUMNS[name] for name in names if name in GIVEN_COLUMNS}
    columns = {
        name: column
        for name, column in columns.items()
        if parameters.get(column.asked_by)
        and (not column.overruled_by or parameters.get(column.overruled_by) is None)
    }
    there = {name: _has_value(table, name) for name in columns}
    has_some = any(found.any() for found in there.values())
    lines = []
    for name, column in columns.items():
        used = there[name] & there.get(column.needs, there[name])
        is_optional = not column.instead and column.shape is not None and not there[name].any()
        if used.all() or is_optional or not (has_some or column.asked_by in asked):
            continue
        lines.append(
            f"{column.asked_by}=true, but {_lacking(name, table, there[name], used)}: {_instead(column, parameters)}"
        )
    return lines


def _has_value(table: StructureTable, name: str) -> NDArray[np.bool_]:
    """Return (N,) flags: which rows have a value in column ``name``, NaN and zeros being none."""
    if name in table.ragged:
        return np.diff(table.ragged[name].offsets) > 0
    values = table.columns.get(name)
    if values is None or values.dtype.kind not in "iuf":
        return np.zeros(len(table), dtype=bool)
    flat = values.reshape(len(table), -1).astype(np.float64)
    found: NDArray[np.bool_] = np.isfinite(flat).all(axis=1) & flat.any(axis=1)
    return found


def _lacking(name: str, table: StructureTable, there: NDArray[np.bool_], used: NDArray[np.bool_]) -> str:
    if name not in table.columns and name not in table.ragged:
        return f"the set has no column {name}"
    count = f"{(~used).sum():,} of {len(table):,} crystals"
    if there.sum() > used.sum():
        return f"{count} lack {name} or {GIVEN_COLUMNS[name].needs}, which are used only together"
    return f"column {name} has no value for {count}"


def _instead(column: GivenColumn, parameters: Mapping[str, Any]) -> str:
    name = next((one for one in column.instead if parameters.get(one) is not None), "")
    return f"{name}={parameters[name]} is used instead" if name else "the task chooses instead"
