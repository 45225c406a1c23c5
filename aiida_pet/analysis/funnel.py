"""A funnel of stages: one table that grows by the columns of each, and the reason why a row left.

Every row of the input is in the table at the end. ``stage`` is the stage at which it left, or ``done``; ``reason``
says why: it has no answer there (its status and message), or it fails a condition (the part of it that fails, and the
value).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.data.filter import conjuncts, filter_frame
from aiida_pet.data.frame import frame_of
from aiida_pet.engine.table import Array, StructureTable, Table
from aiida_pet.tables.columns import INPUT, REPEATED

DONE = "done"
OK_STATUSES = ("converged", "ok")
_STATUS = ("status", "hull_status")
_MESSAGE = {"status": "message", "hull_status": "hull_message"}


# Longest side of an array column that goes into the table: vectors, tensors, Voigt matrices.
_LONGEST = 6


@dataclass(frozen=True)
class Stage:
    """A stage that ran.

    :ivar name: of the stage.
    :ivar result: its table, of the rows that came to it.
    :ivar keep: condition under which a row goes on, as :mod:`aiida_pet.data.filter` understands it; None for none.
    :ivar moves: whether the crystals of ``result`` take the place of those of the table.
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


@dataclass(frozen=True)
class Funnel:
    """A funnel as far as it ran.

    :ivar table: all rows with the columns of all stages.
    :ivar verdicts: one for each stage.
    :ivar passing: (M,) str, ids of the rows that are still in.
    """

    table: StructureTable
    verdicts: tuple[Verdict, ...]
    passing: Array


def run_funnel(structures: StructureTable, stages: Sequence[Stage]) -> Funnel:
    """Return what ``stages``, one after the other, make of ``structures``.

    A column of ``structures`` whose name a stage uses becomes ``input_<name>``.

    :raises KeyError: if a stage holds rows that are none of ``structures``.
    :raises FilterError: if a condition is not understood or names no column.
    """
    table = _without_clashes(structures, stages)
    passing: Array = table.ids
    verdicts = []
    for stage in stages:
        table = add_stage(table, stage)
        # a hull holds rows that are no longer in: they are phases all the same
        places = np.flatnonzero(np.isin(stage.result.ids, passing))
        verdict = judge(table, stage.result.take(places), stage.keep)
        verdicts.append(verdict)
        passing = verdict.ids[verdict.passes]
    return Funnel(table, tuple(verdicts), passing)


def add_stage(table: StructureTable, stage: Stage) -> StructureTable:
    """Return ``table`` with the columns of ``stage``, which holds some of its rows.

    Where a name is taken, status, message and symmetry warning get that of the stage before them, ``phonons_status``;
    what else the table has already, arrays over temperatures or frequencies, columns per atom and of any length stay
    with the stage. Rows that did not come to it get NaN, 0, False or nothing.

    :raises KeyError: if the stage holds rows that are none of the table's.
    """
    result = stage.result
    places = table.positions_of(result.ids)
    columns, units = dict(table.columns), dict(table.units)
    for name, values in result.columns.items():
        taken = name in table.columns
        if (taken and name not in REPEATED) or any(side > _LONGEST for side in values.shape[1:]):
            continue
        free = f"{stage.name}_{name}" if taken else name
        filled = _nothing(len(table), values)
        filled[places] = values
        columns[free] = filled
        if name in result.units:
            units[free] = result.units[name]
    grown = replace(table, columns=columns, units=units, atom_columns={}, ragged={})
    return _moved(grown, result) if stage.moves and isinstance(result, StructureTable) else grown


def judge(table: StructureTable, result: Table, condition: str | None) -> Verdict:
    """Return which rows of ``result`` go on.

    A row without an answer in the stage does not, whatever the condition.

    :param table: all rows with the columns of all stages up to this one, as :func:`add_stage` makes it.
    :param condition: on columns of ``table``, as :mod:`aiida_pet.data.filter` understands it; None for none.
    :raises FilterError: if the condition is not understood or names no column.
    """
    frame = frame_of(table.take(table.positions_of(result.ids)))
    reasons = _without_answer(result)
    if condition:
        holds = frame.index.isin(filter_frame(frame, condition).index)
        failing = _failing_parts(frame, condition)
        for row in np.flatnonzero(~holds & (reasons == "")).tolist():
            reasons[row] = failing(row)
    reasons = reasons.astype(str)
    return Verdict(result.ids, reasons == "", reasons)


def final_table(table: StructureTable, stages: Sequence[str], verdicts: Sequence[Verdict]) -> StructureTable:
    """Return ``table`` with the columns ``stage``, ``passed`` and ``reason``, these first.

    :param stages: names in order; the later ones may be missing in ``verdicts`` if no row came to them.
    :param verdicts: of the stages that ran.
    """
    left = np.full(len(table), DONE, dtype=object)
    reasons = np.full(len(table), "", dtype=object)
    for stage, verdict in zip(stages, verdicts, strict=False):
        places = table.positions_of(verdict.ids[~verdict.passes])
        left[places] = stage
        reasons[places] = verdict.reasons[~verdict.passes]
    first: dict[str, Array] = {
        "stage": left.astype(str),
        "passed": left == DONE,
        "reason": reasons.astype(str),
    }
    return replace(table, columns=first | table.columns)


def _without_clashes(structures: StructureTable, stages: Sequence[Stage]) -> StructureTable:
    """Return ``structures`` without columns per atom, and with columns that no stage has."""
    made = {name for stage in stages for name in stage.result.columns}
    names = {name: f"{INPUT}{name}" if name in made else name for name in structures.columns}
    return replace(
        structures,
        columns={names[name]: values for name, values in structures.columns.items()},
        units={names.get(name, name): unit for name, unit in structures.units.items()},
        atom_columns={},
        ragged={},
    )


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


def _failing_parts(frame: pd.DataFrame, condition: str) -> Callable[[int], str]:
    """Return a function of a row that says which part of ``condition`` fails, with the values there."""
    parts = conjuncts(condition, frame)
    holds = [frame.index.isin(filter_frame(frame, part).index) for part, _ in parts]

    def reason(row: int) -> str:
        texts = []
        for (part, columns), holding in zip(parts, holds, strict=True):
            if not holding[row]:
                values = ", ".join(f"{name} = {_shown(_value(frame, name, row))}" for name in columns)
                texts.append(f"not {part} ({values})" if values else f"not {part}")
        return "; ".join(texts) or f"not {condition}"

    return reason


def _value(frame: pd.DataFrame, name: str, row: int) -> Any:
    return frame.index[row] if name == frame.index.name else frame[name].iloc[row]


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def _nothing(size: int, like: Array) -> Array:
    if like.dtype.kind == "f":
        return np.full((size, *like.shape[1:]), np.nan, dtype=like.dtype)
    return np.zeros((size, *like.shape[1:]), dtype=like.dtype)


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
