"""The rows behind a name: of a set or table, or of what a launch has produced so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from aiida.orm import Node, ProcessNode
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_pet.campaigns.errors import NoCrystalsError, NoRowsError, NoSuchColumnError, NoSuchRowError
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.training import errors_of
from aiida_pet.data.lookup import frame_columns, read_columns, select_positions
from aiida_pet.data.speaking import html_of, line_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.closest import closest_to
from aiida_pet.tables.columns import first_look, told_in_words
from aiida_pet.tables.components import components_in, whole_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import no_such_column
from aiida_pet.tables.table import Table
from aiida_pet.words import plural, shortened
from aiida_pet.workchains.jobs import jobs_of

MOST_COLUMNS = 12
"""Columns of a set of crystals that are shown first, where none of them is meant to be."""


@dataclass(frozen=True)
class Rows:
    """Rows of a set, a table or a launch. Nodes are loaded once; a column is read when it is asked for.

    :ivar source: what was named: a table, a set of crystals, or the process of a launch.
    :ivar table: the rows; this node is not stored if the rows come from the jobs of a launch that still runs.
    :ivar missing: sentence on what the table lacks; empty if it is complete.
    """

    source: Node
    table: TableData
    missing: str = ""

    @property
    def pk(self) -> int | None:
        """The pk of what was named."""
        return self.source.pk

    @property
    def is_complete(self) -> bool:
        """Whether these are all rows; a launch that still runs has more to come."""
        return not self.missing

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        label = f" {self.source.label!r}" if self.source.label else ""
        kind = getattr(self.source, "process_label", None) or type(self.source).__name__
        missing = f"; {self.missing}" if self.missing else ""
        return f"<Rows of {kind} {self.pk}{label}: {line_of(self.table)}{missing}>"

    def _repr_html_(self) -> str:
        return html_of(self.table, repr(self))

    @property
    def ids(self) -> list[str]:
        """The ids, in the order of the rows."""
        return [str(row_id) for row_id in self.table.ids.tolist()]

    @property
    def column_names(self) -> list[str]:
        """The columns that :meth:`frame` has, beside ``id``."""
        return [name for name in frame_columns(self.table) if name != "id"]

    def units_of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the units of those of ``names`` that have one; ``stress_xx`` has that of its column ``stress``."""
        known = self.table.base.attributes.get("columns")
        found = {name: known.get(name) or known.get(whole_of(name)) for name in names}
        return {name: unit for name, unit in found.items() if unit}

    @property
    def units(self) -> dict[str, str]:
        """The unit of each column that has one."""
        return self.units_of(self.column_names)

    def positions(self, where: str | None = None, sort: str | None = None) -> NDArray[np.int64]:
        """Return the positions (M,) of the rows that fulfil a condition.

        :param where: such as ``status == converged and n_atoms < 20``; all rows if not given.
        :param sort: sort by this column; with a minus before it, largest first.
        :raises FilterError: if it is no condition on the columns that there are.
        :raises NoSuchColumnError: if there is no column to sort by.
        """
        chosen = select_positions(self.table, where)
        if not sort:
            return chosen
        name = self.known(sort.removeprefix("-"), "sort")
        values = self.table.ids if name == "id" else read_columns(self.table, [name])[name].to_numpy()
        by = pd.Series(values[chosen], index=chosen)
        return by.sort_values(ascending=not sort.startswith("-"), kind="stable").index.to_numpy()

    def known(self, name: str, argument: str = "columns") -> str:
        """Return ``name`` if it is ``id`` or a column.

        :param argument: that named it, for the error.
        :raises NoSuchColumnError: if it is neither; the message names those that it may be a slip of.
        """
        names = ["id", *self.column_names]
        if name not in names:
            raise NoSuchColumnError(no_such_column(name, names), argument)
        return name

    def named(self, name: str) -> list[str]:
        """Return ``name`` if it is ``id`` or a column, and the components of a column that has several values per row.

        :raises NoSuchColumnError: if it is neither; the message names those that it may be a slip of.
        """
        names = self.column_names
        return [name] if name in names else components_in(names).get(name) or [self.known(name)]

    def frame(
        self,
        where: str | None = None,
        columns: Iterable[str] | None = None,
        sort: str | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Return rows as a data frame indexed by id; only the columns that are asked for are read.

        :param where: only rows that fulfil this condition.
        :param columns: columns to return, in this order; all if not given. ``stress`` stands for its components
            ``stress_xx``, ``stress_yy``, ...
        :param sort: sort by this column; with a minus before it, largest first.
        :param limit: largest number of rows.
        :return: ``attrs`` says the ``units`` of columns, the ``pk`` and ``missing``.
        :raises FilterError: if it is no condition on the columns that there are.
        :raises NoSuchColumnError: naming a column that there is not.
        """
        return self.frame_at(self.positions(where, sort)[:limit], columns)

    def frame_at(self, positions: NDArray[np.int64], columns: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the rows at ``positions`` as :meth:`frame` does."""
        asked = (
            self.column_names if columns is None else [one for name in columns for one in self.named(name)]
        )
        names = list(dict.fromkeys(name for name in asked if name != "id"))
        found = read_columns(self.table, names, positions)
        found.attrs |= {"units": self.units_of(names), "pk": self.pk, "missing": self.missing}
        return found

    def first_look(self) -> list[str]:
        """Return the columns that people want to see first; if a set has no such columns, its first columns.

        Columns of texts that are empty in all rows are left out.
        """
        names = self.column_names
        look = first_look(names)
        if not look:
            return names[:MOST_COLUMNS]
        counts = self.table.base.attributes.get("counts", {})
        words = [name for name in told_in_words(names) if list(counts.get(name, ())) != [""]]
        if "reason" in look:  # which repeats the messages
            words = [name for name in words if not name.endswith("message")]
        return look + words

    def to_table(self, where: str | None = None) -> Table:
        """Return rows as arrays, with crystals where the table has them.

        :raises FilterError: if ``where`` is no condition on the columns that there are.
        """
        whole = self.table.to_table()
        return whole if where is None else whole.take(self.positions(where))

    def table_at(self, positions: NDArray[np.int64], columns: Iterable[str] | None = None) -> Table:
        """Return the rows at ``positions`` as arrays, with crystals where the table has them.

        :param columns: these beside the crystals; all if not given. A component such as ``stress_xx`` stands for its
            column.
        :raises NoSuchColumnError: naming a column that there is not.
        """
        part = self.table.to_table().take(positions)
        if columns is None:
            return part
        per_atom = part.atom_columns if isinstance(part, StructureTable) else {}
        there = [*part.columns, *per_atom, "formula", "n_atoms"]
        wanted = set()
        for name in columns:
            column = name if name in there else whole_of(name)
            wanted.add(column if column in there else self.known(name))
        for held in (part.columns, per_atom):
            for name in set(held) - wanted:
                del held[name]
        return part

    def crystals(self) -> StructureTable:
        """Return the crystals of the rows: their own, else those that the launch was given.

        :raises NoCrystalsError: if there are none behind a table.
        """
        if isinstance(self.table, StructureSetData):
            return self.table.to_table()
        if isinstance(self.source, ProcessNode) and "structures" in self.source.inputs:
            given: StructureSetData = self.source.inputs.structures
            return given.to_table()
        raise NoCrystalsError(
            f"there are no crystals behind <{self.pk}>: name the launch that made the table"
        )

    def describe(self) -> dict[str, Any]:
        """Return what the table holds, as plain values: pk, uuid, label, creation time and its attributes.

        Among the attributes are the units of ``columns``, and their ``ranges`` and ``counts``.
        """
        node, attributes = self.table, dict(self.table.base.attributes.all)
        numbers = attributes.get("elements")
        if isinstance(numbers, list):
            attributes["elements"] = [chemical_symbols[n] if isinstance(n, int) else n for n in numbers]
        record = {"pk": node.pk, "uuid": node.uuid, "label": node.label, "created": node.ctime.isoformat()}
        return record | {key: value for key, value in attributes.items() if not key.startswith("array|")}

    def place(self, row_id: str) -> int:
        """Return the position of row ``row_id``.

        :raises NoSuchRowError: if there is no such row, naming the closest ids.
        """
        try:
            return self.table.place(row_id)
        except KeyError as error:
            closest = closest_to(row_id, self.table.ids)
            named = f"closest are {', '.join(closest)}" if closest else f"there are {shortened(self.ids)}"
            which = f"the {len(self)} of {type(self.table).__name__}<{self.table.pk}>"
            raise NoSuchRowError(f"no row {row_id!r} among {which}: {named}", self.pk) from error


def rows(named: Named | Rows) -> Rows:
    """Return the rows of a set, a table or a launch. If the launch is still running, return the rows of the jobs that
    have ended.

    The rows of a training are the errors of its last stage.

    :param named: pk, uuid, label or node. Rows that this function returned before may be given too.
    :raises NoSuchNodeError: if there is no such node, or several.
    :raises WrongNodeError: if it is no set, table or launch.
    :raises NoRowsError: for a process without any result yet.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        frame = rows("alloys").frame(where="status == converged", columns=["formula", "energy"], sort="energy")
        print(frame, frame.attrs["units"])
    """
    if isinstance(named, Rows):
        return named
    node: Any = load(named, TableData, ProcessNode)
    if isinstance(node, TableData):
        return Rows(node, node)
    if "results" in node.outputs:
        return Rows(node, node.outputs.results)
    errors = errors_of(node)
    if errors is not None:
        return Rows(node, errors)
    return _so_far(node)


def _so_far(node: ProcessNode) -> Rows:
    """Return what the finished jobs of a process have, which has no results of its own (yet)."""
    state = node.process_state.value if node.process_state else "created"
    stage = _last_stage(node)
    jobs = jobs_of(stage)
    tables = _each_row_once([job.outputs.results.to_table() for job in jobs if "results" in job.outputs])
    if not tables:
        raise NoRowsError(node.pk, state, node.exit_message)
    table = StructureTable.concatenate(tables)
    of_stage = "" if stage.pk == node.pk else f" of {stage.process_label} <{stage.pk}>"
    missing = (
        f"process <{node.pk}> is {state}: these are the {plural(len(table), 'row')} of "
        f"{len(tables)} of {plural(len(jobs), 'job')}{of_stage} so far"
    )
    return Rows(node, StructureSetData.from_table(table), missing)


def _each_row_once(tables: list[StructureTable]) -> list[StructureTable]:
    """Return ``tables`` without rows that one before has: a worker killed at the wrong moment has jobs done twice."""
    known = np.array([], dtype=str)
    kept = []
    for table in tables:
        is_new = ~np.isin(table.ids, known)
        kept.append(table if is_new.all() else table.take(np.flatnonzero(is_new)))
        known = np.concatenate([known, table.ids])
    return kept


def _last_stage(node: ProcessNode) -> ProcessNode:
    """Return the last process below a screening that has results of jobs: stages hold the same ids; else ``node``."""
    if "stages" not in node.inputs:
        return node
    stages = sorted(node.called, key=lambda called: (called.ctime, called.pk), reverse=True)
    with_rows = [one for one in stages if any("results" in job.outputs for job in jobs_of(one))]
    return with_rows[0] if with_rows else node
