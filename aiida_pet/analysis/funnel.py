"""A funnel of stages: one table that grows by the columns of each, and the reason why a row left.

Every row of the input is in the table at the end. ``stage`` is the stage at which it left, or ``done``; ``reason``
says why: it has no answer there (its status and message), it fails a condition (the part of it that fails, and the
value), or a stage that was planned did not run.

Names are settled before the first stage runs: a column of the input is called ``input_<name>`` from the start if a
stage that is planned makes ``<name>``. Each stage is judged once, on the table as it is then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.job.input_columns import carried_columns
from aiida_pet.tables.columns import INPUT, REPEATED, Kind, find_columns
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import FilterError, conjuncts, filter_frame
from aiida_pet.tables.frame import frame_of
from aiida_pet.tables.table import Array, Table
from aiida_pet.tables.warnings import COLUMN as WARNINGS
from aiida_pet.tables.warnings import codes_in, joined

DONE = "done"
OK_STATUSES = ("converged", "ok")
_STATUS = ("status", "hull_status")
_MESSAGE = {"status": "message", "hull_status": "hull_message"}


# Longest side of an array column that goes into the table: vectors, tensors, Voigt matrices.
LONGEST = 6
# Columns that every data frame of crystals or the final table has.
_OF_THE_FUNNEL = ("id", "formula", "n_atoms", "stage", "passed", "reason")
# What a data frame has of a column that is missing in all rows: value and type.
_MISSING: dict[Kind, tuple[Any, str]] = {
    Kind.NUMBER: (np.nan, "float64"),
    Kind.COUNT: (pd.NA, "Int64"),
    Kind.FLAG: (pd.NA, "boolean"),
    Kind.TEXT: ("", "object"),
}


@dataclass(frozen=True)
class Stage:
    """A stage that ran.

    :ivar name: name of the stage.
    :ivar result: table of the stage, with the rows that came to it.
    :ivar keep: condition under which a row goes on, as :mod:`aiida_pet.tables.filter` understands it; None for none.
    :ivar moves: whether the crystals of ``result`` replace the crystals of the table.
    """

    name: str
    result: Table
    keep: str | None = None
    moves: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a stage says of its rows.

    :ivar ids: (M,) str, of the rows that came to the stage.
    :ivar passes: (M,) bool.
    :ivar reasons: (M,) str, empty for those that pass.
    """

    ids: Array
    passes: Array
    reasons: Array


def settle_names(columns: Iterable[str], made: Collection[str]) -> dict[str, str]:
    """Return what each of the input's ``columns`` is called in the funnel, whether the stages have run or not.

    :param made: names of all columns that the planned stages may make.
    """
    given, travelling = list(columns), carried_columns().rows
    taken = {*given, *made, *_OF_THE_FUNNEL} - set(travelling)
    settled = {}
    for name in given:
        free = name
        if name not in travelling and (name in made or name in _OF_THE_FUNNEL):
            free = f"{INPUT}{name}"
            while free in taken:
                free = f"{INPUT}{free}"
            taken.add(free)
        settled[name] = free
    return settled


def begin(structures: StructureTable, names: Mapping[str, str]) -> StructureTable:
    """Return ``structures`` without columns per atom, its columns called as ``names`` says."""
    return replace(
        structures,
        columns={names.get(name, name): values for name, values in structures.columns.items()},
        units={names.get(name, name): unit for name, unit in structures.units.items()},
        atom_columns={},
        ragged={},
    )


def came_to(result: Table, passing: Array) -> Table:
    """Return those rows of a stage's ``result`` that were still in.

    A hull holds rows that are no longer in: they are phases all the same.
    """
    return result.take(np.flatnonzero(np.isin(result.ids, passing)))


def add_stage(table: StructureTable, stage: Stage, own: Collection[str] = ()) -> StructureTable:
    """Return ``table`` with the columns of ``stage``, which holds some of its rows.

    Where a name is taken, status, message and symmetry warning get that of the stage before them, ``phonons_status``,
    and so does what the input has under a name that nobody foresaw; ``warnings`` holds the codes of all stages. What
    else the table has already, arrays over temperatures or frequencies, columns per atom and of any length stay with
    the stage. Rows that did not come to it get nothing, which is NaN, of flags and counts too, or an empty text.

    :param own: names of the input's columns in ``table``.
    :raises KeyError: if the stage holds rows that are none of the table's.
    """
    result = stage.result
    places = table.positions_of(result.ids)
    columns, units = dict(table.columns), dict(table.units)
    for name, values in result.columns.items():
        if any(side > LONGEST for side in values.shape[1:]):
            continue
        taken = name in table.columns
        if taken and name == WARNINGS and name not in own:
            columns[name] = _joined_at(columns[name], places, values)
            continue
        is_own = name in own and name not in carried_columns().rows
        if taken and name not in REPEATED and not is_own:
            continue
        free = f"{stage.name}_{name}" if taken else name
        filled = _nothing(len(table), values)
        filled[places] = values
        columns[free] = filled
        if name in result.units:
            units[free] = result.units[name]
    grown = replace(table, columns=columns, units=units, atom_columns={}, ragged={})
    return _moved(grown, result) if stage.moves and isinstance(result, StructureTable) else grown


def judge(
    table: StructureTable, result: Table, condition: str | None, known: Collection[str] = ()
) -> Verdict:
    """Return which rows of ``result`` go on.

    A row without an answer in the stage does not, whatever the condition. A column that a stage was to make and nobody
    has is missing in all rows.

    :param table: all rows with the columns of all stages up to this one, as :func:`add_stage` makes it.
    :param condition: on columns of ``table``, as :mod:`aiida_pet.tables.filter` understands it; None for none.
    :param known: columns that the stages up to this one may make, as a data frame names them.
    :raises FilterError: if the condition is not understood or names no column.
    """
    reasons = _without_answer(result)
    if condition:
        frame = frame_of(table.take(table.positions_of(result.ids)))
        there, named = {frame.index.name, *frame.columns}, set(re.findall(r"\w+", condition))
        missing = [name for name in dict.fromkeys(known) if name in named and name not in there]
        for name in missing:
            value, dtype = _MISSING[_kind_of(name)]
            frame[name] = pd.Series(value, index=frame.index, dtype=dtype)
        holds = frame.index.isin(filter_frame(frame, condition).index)
        failing = _failing_parts(frame, condition, missing)
        for row in np.flatnonzero(~holds & (reasons == "")).tolist():
            reasons[row] = failing(row)
    reasons = reasons.astype(str)
    return Verdict(result.ids, reasons == "", reasons)


def not_judged(result: Table, error: FilterError) -> Verdict:
    """Return that no row of ``result`` goes on, since the condition of the stage cannot be applied."""
    reasons = _without_answer(result)
    reasons[reasons == ""] = f"the condition cannot be applied: {error}"
    reasons = reasons.astype(str)
    return Verdict(result.ids, reasons == "", reasons)


def final_table(
    table: StructureTable, stages: Sequence[str], verdicts: Sequence[Verdict], why: str = ""
) -> StructureTable:
    """Return ``table`` with the columns ``stage``, ``passed`` and ``reason``, these first.

    :param stages: names in order; the later ones are missing in ``verdicts`` if they did not run.
    :param verdicts: verdicts of the stages that ran.
    :param why: why the stages that are missing did not run.
    """
    left = np.full(len(table), DONE, dtype=object)
    reasons = np.full(len(table), "", dtype=object)
    for stage, verdict in zip(stages, verdicts, strict=False):
        places = table.positions_of(verdict.ids[~verdict.passes])
        left[places] = stage
        reasons[places] = verdict.reasons[~verdict.passes]
    if len(verdicts) < len(stages):
        still_in = left == DONE
        left[still_in] = stages[len(verdicts)]
        reasons[still_in] = f"not reached: {why}" if why else "not reached"
    first: dict[str, Array] = {
        "stage": left.astype(str),
        "passed": left == DONE,
        "reason": reasons.astype(str),
    }
    rest = {name: values for name, values in table.columns.items() if name not in first}
    return replace(table, columns=first | rest)


def _kind_of(name: str) -> Kind:
    return next((column.kind for column in find_columns(name)), Kind.NUMBER)


def _joined_at(texts: Array, places: Array, more: Array) -> Array:
    """Return ``texts``, codes of each row, with ``more`` of the rows at ``places``."""
    both = texts.astype(object)
    for place, codes in zip(places.tolist(), more.tolist(), strict=True):
        if codes:
            both[place] = joined([*codes_in(both[place]), *codes_in(codes)])
    return both.astype(str)


def _without_answer(result: Table) -> Array:
    """Return (M,) why rows have no answer, empty for those that have."""
    reasons = np.full(len(result), "", dtype=object)
    name = next((name for name in _STATUS if name in result.columns), None)
    if name is None:
        return reasons
    messages = result.columns.get(_MESSAGE[name], np.full(len(result), ""))
    for row, status in enumerate(result.columns[name].tolist()):
        if status not in OK_STATUSES:
            reasons[row] = f"{status}: {messages[row]}" if str(messages[row]) else str(status)
    return reasons


def _failing_parts(
    frame: pd.DataFrame, condition: str, missing: Collection[str] = ()
) -> Callable[[int], str]:
    """Return a function of a row that says which part of ``condition`` fails, with the values there.

    :param missing: columns that nobody has.
    """
    parts = conjuncts(condition, frame)
    holds = [frame.index.isin(filter_frame(frame, part).index) for part, _ in parts]

    def reason(row: int) -> str:
        texts = []
        for (part, columns), holding in zip(parts, holds, strict=True):
            if not holding[row]:
                values = ", ".join(
                    f"{name} is missing"
                    if name in missing or pd.isna(_value(frame, name, row))
                    else f"{name} = {_shown(_value(frame, name, row))}"
                    for name in columns
                )
                texts.append(f"not {part} ({values})" if values else f"not {part}")
        return "; ".join(texts) or f"not {condition}"

    return reason


def _value(frame: pd.DataFrame, name: str, row: int) -> Any:
    return frame.index[row] if name == frame.index.name else frame[name].iloc[row]


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _nothing(size: int, like: Array) -> Array:
    """Return (size, ...) in which there is nothing: empty texts or NaN, which makes numbers of flags and counts."""
    shape = (size, *like.shape[1:])
    if like.dtype.kind == "f" or (like.dtype.kind in "biu" and len(like) < size):
        return np.full(shape, np.nan, dtype=like.dtype if like.dtype.kind == "f" else np.float64)
    return np.zeros(shape, dtype=like.dtype)


def _moved(table: StructureTable, result: StructureTable) -> StructureTable:
    """Return ``table`` with the geometry of the rows of ``result``, which may have other numbers of atoms."""
    rest = np.setdiff1d(table.ids, result.ids)
    bare = [
        replace(part, columns={}, units={}, atom_columns={}, ragged={})
        for part in (result, table.select(rest))
        if len(part)
    ]
    geometry = StructureTable.concatenate(bare).select(table.ids)
    return replace(
        table,
        numbers=geometry.numbers,
        positions=geometry.positions,
        cells=geometry.cells,
        pbc=geometry.pbc,
        offsets=geometry.offsets,
    )
