"""Two campaigns on the same ids: another model, another protocol, another release. What differs, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from aiida import orm
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from aiida_pet.campaigns.errors import ComparisonError
from aiida_pet.campaigns.launches import models_of
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.data.lookup import frame_columns, read_columns, select_positions
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.columns import compared
from aiida_pet.tables.components import components_in, whole_of
from aiida_pet.words import shortened

PER_ATOM = {"energy_per_atom": "energy", "volume_per_atom": "volume"}
"""Columns that are made here, and of what."""
_SPACE_GROUP = "spacegroup_"


@dataclass(frozen=True)
class Difference:
    """How a column differs over the rows that have it in both; differences are second minus first.

    :ivar unit: unit of the column, empty if it has none.
    :ivar n_rows: rows with a value in both.
    :ivar n_different: number of rows whose values differ.
    :ivar mean: mean difference; this and the next three are NaN for a column that holds no numbers.
    :ivar mean_abs: mean absolute difference.
    :ivar median_abs: median absolute difference.
    :ivar max_abs: largest absolute difference.
    """

    column: str
    unit: str
    n_rows: int
    n_different: int
    mean: float
    mean_abs: float
    median_abs: float
    max_abs: float


@dataclass(frozen=True)
class Comparison:
    """What two tables have in common and in what they differ.

    :ivar n_common: rows that are in both and fulfil the condition.
    :ivar n_answered: number of rows that converged in both, over which the numbers are computed.
    :ivar only_first: ids that only the first has.
    :ivar only_second: ids that only the second has.
    :ivar statuses: (status in the first, in the second) -> rows, where they differ.
    :ivar differences: one entry for each column that was compared.
    :ivar rows: the rows that differ most in each column: ``column``, ``id``, ``formula`` (where it is known),
        ``first``, ``second``, ``difference`` (NaN if the values are no numbers).
    :ivar settings: model, task and parameters that differ: name -> (value in the first, value in the second), None if
        one of them does not have it.
    :ivar first: pk of the first.
    :ivar second: pk of the second.
    """

    n_common: int
    n_answered: int
    only_first: list[str]
    only_second: list[str]
    statuses: dict[tuple[str, str], int]
    differences: list[Difference]
    rows: pd.DataFrame
    settings: dict[str, tuple[Any, Any]]
    first: int | None = None
    second: int | None = None


def compare(
    first: Named,
    second: Named,
    *,
    columns: Iterable[str] = (),
    where: str | None = None,
    most: int = 5,
) -> Comparison:
    """Compare two campaigns row by row.

    :param first: a launch with results, or a table, by pk, uuid, label or as a node.
    :param columns: columns to compare. If not given, the columns that are marked as ``compared`` in the catalogue, and
        space groups, are compared if both launches have them.
    :param where: condition; only rows that fulfil it in the first launch are compared.
    :param most: number of rows to list for each column.
    :raises ComparisonError: if a launch has no results, if both launches have no common ids, or if a column is missing
        in one of them.
    :raises FilterError: if the condition is not understood.

    .. code-block:: python

        from aiida_pet.campaigns import compare

        found = compare("alloys, fmax 0.05", "alloys, fmax 0.01", columns=["energy"])
        print(found.settings, found.differences[0].max_abs)
    """
    launches = [load(named, orm.ProcessNode, TableData) for named in (first, second)]
    one, other = map(table_of, launches)
    chosen = one.ids[select_positions(one, where)]
    index, opposite = pd.Index(chosen), pd.Index(other.ids)
    common = index[index.isin(opposite)]
    if not len(common):
        raise ComparisonError("the two share no id: compare launches of the same crystals")
    places = pd.Index(one.ids).get_indexer(common), opposite.get_indexer(common)
    names = _columns_to_compare(_names(one), _names(other), list(columns))
    frames = _read(one, names, places[0]), _read(other, names, places[1])
    states = [_statuses(table, place) for table, place in zip((one, other), places, strict=True)]
    answered = np.logical_and(*(state == RowStatus.CONVERGED for state in states))
    found = [_difference(name, *_pair(frames, name, answered), _unit(one, name)) for name in names]
    worst = [_worst(name, *_pair(frames, name, answered), most) for name in names]
    rows = pd.concat(worst, ignore_index=True) if worst else pd.DataFrame()
    if "formula" in frame_columns(one) and len(rows):
        positions = pd.Index(one.ids).get_indexer(pd.Index(rows["id"]))
        rows.insert(2, "formula", read_columns(one, ["formula"], positions)["formula"].to_numpy())
    return Comparison(
        n_common=len(common),
        n_answered=int(answered.sum()),
        only_first=[str(name) for name in index[~index.isin(opposite)]],
        only_second=[str(name) for name in opposite[~opposite.isin(pd.Index(one.ids))]],
        statuses=_changes(*states),
        differences=found,
        rows=rows,
        settings=differing_settings(*launches),
        first=launches[0].pk,
        second=launches[1].pk,
    )


def table_of(node: orm.ProcessNode | TableData) -> TableData:
    """Return the rows of a launch.

    :raises ComparisonError: if it has none.
    """
    if isinstance(node, TableData):
        return node
    if "results" not in node.outputs:
        state = node.process_state.value if node.process_state else "created"
        raise ComparisonError(f"process <{node.pk}> is {state} and has no results")
    results: TableData = node.outputs.results
    return results


# -- columns -----------------------------------------------------------------------------------------------------------


def _names(table: TableData) -> list[str]:
    own = frame_columns(table)
    made = [name for name, source in PER_ATOM.items() if source in own and "n_atoms" in own]
    return [*made, *own]


def _columns_to_compare(first: Sequence[str], second: Sequence[str], wanted: list[str]) -> list[str]:
    """Return the columns that were asked for, else those that are compared by default and space groups that both have.

    :raises ComparisonError: if one that was asked for is not in both.
    """
    both = [name for name in first if name in set(second)]
    wholes = components_in(both)
    for name in wanted:
        if name not in both and name not in wholes:
            raise ComparisonError(f"column {name!r} is not in both: they share {shortened(both) or 'none'}")
    wanted = [one for name in wanted for one in ([name] if name in both else wholes[name])]
    made = [name for name in both if name in PER_ATOM]
    usual = [name for name in compared(both) if not name.startswith(_SPACE_GROUP)]
    groups = [name for name in both if name.startswith(_SPACE_GROUP)]
    return wanted or [*made, *usual, *groups]


def _read(table: TableData, names: Iterable[str], positions: NDArray[np.int64]) -> pd.DataFrame:
    own = frame_columns(table)
    made = [name for name in names if name not in own]
    sources = {PER_ATOM[name] for name in made} | ({"n_atoms"} if made else set())
    stored = dict.fromkeys([*(name for name in names if name in own), *sorted(sources)])
    frame = read_columns(table, stored, positions)
    for name in made:
        frame[name] = frame[PER_ATOM[name]] / frame["n_atoms"].where(frame["n_atoms"] > 0)
    return frame


def _unit(table: TableData, name: str) -> str:
    units = table.base.attributes.get("columns", {})
    if name in PER_ATOM and name not in units:
        unit = units.get(PER_ATOM[name], "")
        return f"{unit}/atom" if unit else ""
    return str(units.get(name) or units.get(whole_of(name)) or "")


def _statuses(table: TableData, positions: NDArray[np.int64]) -> NDArray[np.str_]:
    """Return how rows ended; where nothing says so they have an answer."""
    if "status" not in table.column_names:
        return np.full(len(positions), RowStatus.CONVERGED.value)
    return np.asarray(table.column("status"))[positions]


def _changes(first: NDArray[np.str_], second: NDArray[np.str_]) -> dict[tuple[str, str], int]:
    changed = first != second
    pairs = pd.Series(list(zip(first[changed].tolist(), second[changed].tolist(), strict=True)), dtype=object)
    return {pair: int(count) for pair, count in pairs.value_counts().items()}  # type: ignore[misc]


def _pair(
    frames: tuple[pd.DataFrame, pd.DataFrame], name: str, answered: NDArray[np.bool_]
) -> tuple[pd.Series, pd.Series]:
    """Return a column of both, over the rows that have a value in both."""
    first, second = (frame[name] for frame in frames)
    known = answered & first.notna().to_numpy() & second.notna().to_numpy()
    return first[known], second[known]


def _is_number(first: pd.Series, second: pd.Series, name: str) -> bool:
    numbers = all(is_numeric_dtype(values) and not is_bool_dtype(values) for values in (first, second))
    return numbers and not name.startswith(_SPACE_GROUP)


def _difference(name: str, first: pd.Series, second: pd.Series, unit: str) -> Difference:
    numbers = [np.nan] * 4
    if _is_number(first, second, name) and len(first):
        change = second.to_numpy(float) - first.to_numpy(float)
        size = np.abs(change)
        numbers = [float(f) for f in (change.mean(), size.mean(), np.median(size), size.max())]
    different = int((first.to_numpy() != second.to_numpy()).sum())
    return Difference(name, unit, len(first), different, *numbers)


def _worst(name: str, first: pd.Series, second: pd.Series, most: int) -> pd.DataFrame:
    """Return the rows that differ most, largest first; of what is no number the first that differ."""
    places = np.flatnonzero(first.to_numpy() != second.to_numpy())
    change = np.full(len(first), np.nan)
    if _is_number(first, second, name):
        change = second.to_numpy(float) - first.to_numpy(float)
        places = places[np.argsort(-np.abs(change[places]), kind="stable")]
    places = places[:most]
    return pd.DataFrame(
        {
            "column": name,
            "id": first.index[places],
            "first": first.to_numpy()[places].astype(object),
            "second": second.to_numpy()[places].astype(object),
            "difference": change[places],
        }
    )


# -- model and parameters ----------------------------------------------------------------------------------------------


def differing_settings(
    first: orm.ProcessNode | TableData, second: orm.ProcessNode | TableData
) -> dict[str, tuple[Any, Any]]:
    """Return of what two campaigns were computed with that which differs: name -> (first, second)."""
    one, other = settings_of(first), settings_of(second)
    names = dict.fromkeys([*one, *other])
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def settings_of(node: orm.ProcessNode | TableData) -> dict[str, Any]:
    """Return what decides the results of a campaign: workflow, model, parameters with their defaults, crystals.

    Nested parameters are named with dots. Of a table that no campaign made nothing is known.
    """
    if isinstance(node, TableData):
        return {}
    models = models_of([node.pk]).get(node.pk, [])
    known: dict[str, Any] = {
        "workflow": node.process_label,
        "task": node.inputs.task.value if "task" in node.inputs else None,
        "model": ", ".join(model.name for model in models),
        "model sha256": ", ".join(model.sha256 for model in models),
    }
    if "parameters" in node.inputs:
        known |= _flat("parameters", _with_defaults(known["task"], node.inputs.parameters.get_dict()))
    if "stages" in node.inputs and isinstance(node.inputs.stages, orm.Dict):
        known |= _flat("stages", node.inputs.stages.get_dict())
    if "structures" in node.inputs:
        known["crystals"] = node.inputs.structures.uuid
    return known


def _with_defaults(task: str | None, parameters: dict[str, Any]) -> dict[str, Any]:
    try:
        filled: dict[str, Any] = parse_parameters(Task(task or ""), parameters).model_dump(mode="json")
    except (ValueError, ParameterError):  # a hull, or parameters that another version took
        return parameters
    return filled


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(f"{name}.{key}", value) if isinstance(value, Mapping) else {f"{name}.{key}": value}
    return flat
