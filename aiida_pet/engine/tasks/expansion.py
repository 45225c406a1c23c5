"""Tasks whose rows are each evaluated as many other crystals: displaced supercells, strained cells.

A row is relaxed (or evaluated) first, by the driver of that task; then it is expanded into its children. The children
of many rows wait together and go through one driver as rows of one queue, and a row is finished as soon as the last of
its children is. A row that does not relax ends as it would in a relaxation; one of whose children ends otherwise than
converged, ends like that child.

A crystal may have thousands of children. The snapshot of a row keeps the forces of those that are done, so that a job
that is killed, or ends before its walltime, does not evaluate them again.
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.runner import Counters, Runner
from aiida_pet.engine.tasks.static import Static
from aiida_pet.engine.tasks.workload import Work
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import RelaxParameters, StaticParameters, TightRelaxParameters
from aiida_pet.job.suitability import why_charges_do_not_fit, why_not_derived
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.columns import units_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.missing_columns import with_missing
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.warnings import COLUMN, Warned, codes_in, joined

logger = logging.getLogger(__name__)

OF_CHILDREN = (Warned.MESH_COARSE, Warned.BORN_SUM_RULE)
"""Codes that hold for a row if they hold for one of its children."""
_STAGE = "relaxed"  # column of a snapshot: whether the row is relaxed and waits for its children
_RELAXED = "relaxed."  # before the names of what is known of such a row
_KEPT = "children."  # before the names of what a snapshot keeps of a row's children
_SHARE = 4  # atoms of children that go through the queue at once: the tokens in flight over this


@dataclass(frozen=True)
class Reduced:
    """What the children of a row say of it.

    :ivar columns: name -> value, or array of a shape that is the same for all rows.
    :ivar ragged: name -> (M, ...) array whose length may differ from row to row.
    """

    columns: Mapping[str, Any]
    ragged: Mapping[str, Array] = field(default_factory=dict)


@dataclass
class _Open[Plan]:
    """A relaxed row whose children are not all finished.

    :ivar crystal: the row with its columns.
    :ivar plan: what the task wants to know when it reduces.
    :ivar children: the children, each a table of one row, None until it is finished.
    :ivar made: what identifies the children, as they were made.
    """

    crystal: StructureTable
    plan: Plan
    children: list[StructureTable | None]
    made: str


@dataclass(frozen=True)
class _Kept:
    """The children of a row that were done when a snapshot was made.

    :ivar numbers: (k,) which of its children they are, rising.
    :ivar forces: (atoms of all k, 3) float64, eV/A.
    :ivar made: what identifies the children that the row then had.
    """

    numbers: Array
    forces: Array
    made: str

    def answers(self, children: StructureTable) -> dict[int, StructureTable]:
        """Return those of ``children`` that are done, each a table of one row; none if the row had other children."""
        sizes = children.n_atoms[self.numbers] if self.made == _identified(children) else np.zeros(0, int)
        if sizes.sum() != len(self.forces):
            return {}
        parts = np.split(self.forces, np.cumsum(sizes)[:-1])
        done: dict[int, StructureTable] = {}
        for number, forces in zip(self.numbers.tolist(), parts, strict=True):
            columns = {"status": np.array([RowStatus.CONVERGED.value]), "message": np.array([""])}
            child = children.take([number])
            done[number] = replace(child, columns=columns, atom_columns={"forces": forces})
        return done


@dataclass(frozen=True)
class _Place:
    """Where a child belongs.

    :ivar row: id of the row that it was made of.
    :ivar number: number of the child among those of its row, from 0.
    """

    row: str
    number: int


class Expansion[P: TightRelaxParameters, Plan](ABC):
    """Runs such a task over the rows of a table: a :class:`~aiida_pet.engine.tasks.runner.Runner`.

    :param table: the rows of the job, as given.
    :param model: the model.
    :param parameters: parameters of the task.
    :param finished: called with each set of rows that finished, statuses and results in their columns.
    :param proceed: called before each step; False stops the run and leaves what is in flight.
    """

    SOURCE: ClassVar[str]
    #: Atoms that a run evaluates for each atom of a child: more than one where children are expanded themselves.
    WORK_OF_A_CHILD: ClassVar[int] = 1
    #: Whether the forces of a child are all that :meth:`reduce` wants of it, so that a snapshot keeps them.
    ONLY_FORCES: ClassVar[bool] = False

    def __init__(
        self,
        table: StructureTable,
        model: BatchModel,
        parameters: P,
        *,
        finished: Callable[[StructureTable], None],
        proceed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.table = table
        self.model = model
        self.parameters = parameters
        self._finished = finished
        self._ask = proceed
        self._stopped = False
        self._relaxed = table.take([])  # rows of a snapshot that wait to be expanded
        self._relaxing: StructureTable | None = None  # rows of a snapshot that the first stage takes up
        self._kept: dict[str, _Kept] = {}  # of rows of a snapshot that wait to be expanded
        self._open: dict[str, _Open[Plan]] = {}
        self._queue: list[StructureTable] = []
        self._places: dict[str, _Place] = {}  # id of a child -> where it belongs
        self._first: Driver | None = None
        self._children: Runner | None = None
        self._done_before = Counters()
        self._work_before = 0.0  # of children that ended
        self._expanded = np.zeros(2)  # rows, and atoms of their children
        self._evaluated = 0  # atoms of the children that were given to a runner

    # -- for tasks -----------------------------------------------------------------------------------------------

    @abstractmethod
    def expand(self, crystal: StructureTable) -> tuple[StructureTable, Plan]:
        """Return the children of a row, and what :meth:`reduce` wants to know of them.

        :param crystal: the one row, relaxed, with the columns of the first stage.
        :return: children: their geometry, under any unique ids.
        :raises ValueError: if it cannot be expanded; the row is ``failed`` then, with the text as message.
        """

    @abstractmethod
    def reduce(self, crystal: StructureTable, plan: Plan, children: StructureTable) -> Reduced:
        """Return what the ``children`` say of the row.

        :param children: in the order of :meth:`expand`, with the columns of their task.
        :raises ValueError: if they say nothing; the row is ``failed`` then, with the text as message.
        """

    def make_children(self, table: StructureTable, **options: Any) -> Runner:
        """Return the driver of children: they are displaced supercells, evaluated once, unless a task does otherwise.

        Their atoms are not looked at for short distances again, which for supercells costs as much as a twentieth of
        the model: the row they are made of was. Their neighbours are counted once for each supercell of a row, which
        costs as much.
        """
        parameters = self.static_parameters(symprecs=(), outputs=(), min_distance=0.0)
        names = [self._places[name].row for name in table.ids.tolist()]
        first: dict[tuple[str, int], int] = {}
        supercells = enumerate(zip(names, table.n_atoms.tolist(), strict=True))
        stand_in = np.array([first.setdefault(supercell, row) for row, supercell in supercells])
        return Static(table, self.model, parameters, stand_in=stand_in, **options)

    def usual_evaluations(self) -> float:
        """Return how often the atoms of a child are evaluated, before a child tells."""
        return float(self.WORK_OF_A_CHILD)

    def static_parameters(self, **changes: Any) -> StaticParameters:
        """Return the parameters of an evaluation as the task's say, with ``changes``."""
        return part_of(StaticParameters, self.parameters, changes)

    def relax_parameters(self, **changes: Any) -> RelaxParameters:
        """Return the parameters of a relaxation as the task's say, with ``changes``."""
        return part_of(RelaxParameters, self.parameters, changes)

    def sizes(self) -> dict[str, int]:
        """Return the lengths of dimensions that the catalogue of columns names by a letter."""
        return {}

    def columns_of_the_set(self) -> tuple[str, ...]:
        """Return the columns that the task makes since the set has what they need."""
        return ()

    def codes_of(self, columns: Mapping[str, Any]) -> set[str]:
        """Return the codes of :class:`~aiida_pet.tables.warnings.Warned` of a row, given what its children said."""
        return set()

    # -- the run -------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Rows being worked on."""
        return len(self._open) + (self._first.in_flight if self._first else 0)

    @property
    def counters(self) -> Counters:
        """Steps and evaluations of both stages."""
        parts = [self._done_before, *(d.counters for d in (self._first, self._children) if d)]
        return Counters(sum(part.steps for part in parts), sum(part.evaluations for part in parts))

    @property
    def work(self) -> Work:
        """What is done and what is left; the latter is not known before a row was expanded."""
        none = Work(0.0, 0.0)
        first = self._first.work if self._first else none
        now = self._children.work if self._children else none
        done = first.done + self._work_before + now.done
        rows, atoms = self._expanded
        if first.left is None or now.left is None or not rows:
            return Work(done, None)
        to_come = float(sum(len(children.numbers) for children in self._queue))
        to_come += atoms / rows * (self._first.unfinished if self._first else 0)
        children = self._work_before + now.done + now.left
        each = children / self._evaluated if self._evaluated else self.usual_evaluations()
        return Work(done, first.left + now.left + to_come * each)

    def run(self) -> bool:
        """Work until every row is finished.

        :return: False if ``proceed`` said stop while rows were left.
        """
        waiting = set(self._relaxed.ids.tolist())
        rest = [place for place, name in enumerate(self.table.ids.tolist()) if name not in waiting]
        self._take_relaxed(self._relaxed)
        self._relaxed = self._relaxed.take([])
        if rest and not self._stopped:
            self._first = self._make_first(self.table.take(rest))
            self._first.run()
        if not self._stopped:
            self._evaluate_children()
        return not self._stopped

    def _make_first(self, table: StructureTable) -> Driver:
        options: dict[str, Any] = {
            "finished": self._take_relaxed,
            "proceed": self._proceed_with_first,
            "refused": why_charges_do_not_fit(table, self.parameters)
            | why_not_derived(table, type(self).__name__.lower()),
        }
        if not self.parameters.relax_first:
            return Static(table, self.model, self.static_parameters(), **options)
        relax = Relax(table, self.model, self.relax_parameters(), **options)
        if self._relaxing is not None:
            relax.restore(self._relaxing)
            self._relaxing = None
        return relax

    def _proceed(self) -> bool:
        self._stopped = self._stopped or not self._ask()
        return not self._stopped

    def _proceed_with_first(self) -> bool:
        """Evaluate the children when there are enough: between steps, when no row stands in both stages."""
        atoms = self.WORK_OF_A_CHILD * sum(len(children.numbers) for children in self._queue)
        if atoms > self.model.tokens_in_flight / _SHARE:
            self._evaluate_children()
        return self._proceed()

    def _take_relaxed(self, rows: StructureTable) -> None:
        """Expand the rows that the first stage finished."""
        ok = rows.columns["status"] == RowStatus.CONVERGED.value if len(rows) else np.zeros(0, bool)
        if not ok.all():
            self._finished(self._without_answer(rows.take(np.flatnonzero(~ok))))
        for place in np.flatnonzero(ok).tolist():
            crystal = rows.take([place])
            try:
                children, plan = self.expand(crystal)
            except ValueError as error:
                self._finished(self._ended(crystal, RowStatus.FAILED, str(error)))
                continue
            name = str(crystal.ids[0])
            kept = self._kept.pop(name, None)
            done = {} if kept is None else kept.answers(children)
            row = _Open(
                crystal, plan, [done.get(number) for number in range(len(children))], _identified(children)
            )
            if done and len(done) == len(children):
                self._finished(self._reduced(row, StructureTable.concatenate(list(done.values()))))
                continue
            self._open[name] = row
            left = [number for number in range(len(children)) if number not in done]
            children = children.take(left)
            self._expanded += 1, len(children.numbers)
            places = {f"{number} {name}": _Place(name, number) for number in left}
            self._places |= places
            self._queue.append(replace(children, ids=np.array(list(places), dtype=str)))

    def _evaluate_children(self) -> None:
        if not self._queue:
            return
        table = StructureTable.concatenate(self._queue)
        self._queue = []
        self._evaluated += len(table.numbers)
        self._children = self.make_children(table, finished=self._take_children, proceed=self._proceed)
        self._children.run()
        self._done_before.steps += self._children.counters.steps
        self._done_before.evaluations += self._children.counters.evaluations
        self._work_before += self._children.work.done
        self._children = None

    def _take_children(self, rows: StructureTable) -> None:
        places = [self._places.pop(child) for child in rows.ids.tolist()]
        for index, place in enumerate(places):
            self._open[place.row].children[place.number] = rows.take([index])
        for name in dict.fromkeys(place.row for place in places):
            children = [child for child in self._open[name].children if child is not None]
            if len(children) == len(self._open[name].children):
                self._finished(self._reduced(self._open.pop(name), StructureTable.concatenate(children)))

    def _reduced(self, row: _Open[Plan], children: StructureTable) -> StructureTable:
        for number, (status, message) in enumerate(
            zip(children.columns["status"].tolist(), children.columns["message"].tolist(), strict=True)
        ):
            if status != RowStatus.CONVERGED:
                text = (
                    f"crystal {number + 1} of the {len(children)} crystals that were made from this row: "
                    f"{message or status}"
                )
                return self._ended(row.crystal, RowStatus(status), text)
        try:
            reduced = self.reduce(row.crystal, row.plan, children)
        except ValueError as error:
            return self._ended(row.crystal, RowStatus.FAILED, str(error))
        columns = {name: np.asarray(value)[None] for name, value in reduced.columns.items()}
        codes = codes_in(str(row.crystal.columns[COLUMN][0])) if COLUMN in row.crystal.columns else []
        told = {code for text in children.columns.get(COLUMN, ()) for code in codes_in(str(text))}
        codes += [code for code in OF_CHILDREN if code in told]
        columns[COLUMN] = np.array([joined([*codes, *self.codes_of(reduced.columns)])])
        named: Iterable[str] = (*reduced.columns, *reduced.ragged)
        return replace(
            row.crystal,
            columns=row.crystal.columns | columns,
            ragged={name: Ragged.of([values]) for name, values in reduced.ragged.items()},
            units=row.crystal.units | units_of(named),
        )

    def _ended(self, crystal: StructureTable, status: RowStatus, message: str) -> StructureTable:
        """Return the row with what is known of it by now, as one that ended like this."""
        columns = crystal.columns | {"status": np.array([status.value]), "message": np.array([message])}
        return self._without_answer(replace(crystal, columns=columns))

    def _without_answer(self, rows: StructureTable) -> StructureTable:
        """Return ``rows`` with the columns of the task, in which there is nothing."""
        return with_missing(rows, self.SOURCE, self.parameters, self.sizes(), self.columns_of_the_set())

    # -- going on where it was left ------------------------------------------------------------------------------

    def attach(self, folder: Path) -> None:
        """Write no files."""

    def snapshot(self) -> StructureTable | None:
        """Return the rows that have begun, as given: those that relax with their state, the others relaxed."""
        parts = []
        relaxing = self._first.snapshot() if self._first else self._relaxing
        if relaxing is not None and len(relaxing):
            stages = {_STAGE: np.zeros(len(relaxing), bool)}
            parts.append(replace(relaxing, columns=relaxing.columns | stages))
        for name, row in self._open.items():
            crystal = row.crystal
            given = self.table.select([name])
            known: dict[str, Array] = {_RELAXED + key: values for key, values in crystal.columns.items()}
            known |= {_RELAXED + "cells": crystal.cells, _STAGE: np.ones(1, bool)}
            atoms = {_RELAXED + key: values for key, values in crystal.atom_columns.items()}
            atoms[_RELAXED + "positions"] = crystal.positions
            units = {_RELAXED + key: unit for key, unit in crystal.units.items()}
            ragged = self._kept_of(row)
            if ragged:
                known[_KEPT + "made"] = np.array([row.made])
            parts.append(replace(given, columns=known, atom_columns=atoms, units=units, ragged=ragged))
        return StructureTable.concatenate(parts) if parts else None

    def _kept_of(self, row: _Open[Plan]) -> dict[str, Ragged]:
        """Return what a snapshot keeps of the children of a row that are done."""
        if not self.ONLY_FORCES:
            return {}
        done = [
            (number, child)
            for number, child in enumerate(row.children)
            if child is not None and child.columns["status"][0] == RowStatus.CONVERGED.value
        ]
        if not done:
            return {}
        return {
            _KEPT + "numbers": Ragged.of([np.array([number for number, _ in done])]),
            _KEPT + "forces": Ragged.of(
                [np.concatenate([child.atom_columns["forces"] for _, child in done])]
            ),
        }

    def restore(self, rows: StructureTable) -> None:
        """Let ``rows`` of a :meth:`snapshot` go on from there.

        :raises ValueError: if it is none of a task like this one.
        """
        if _STAGE not in rows.columns:
            raise ValueError(f"it holds {sorted(rows.columns)}, expected {_STAGE} among them")
        is_relaxed = rows.columns[_STAGE]
        relaxing = rows.take(np.flatnonzero(~is_relaxed))
        if len(relaxing):
            self._relaxing = replace(
                relaxing,
                columns={
                    key: values
                    for key, values in relaxing.columns.items()
                    if key != _STAGE and not key.startswith(_RELAXED)
                },
                atom_columns={
                    key: values
                    for key, values in relaxing.atom_columns.items()
                    if not key.startswith(_RELAXED)
                },
                units={},
                ragged={},
            )
        relaxed = rows.take(np.flatnonzero(is_relaxed))
        if not len(relaxed):
            return
        if _KEPT + "made" in relaxed.columns:
            numbers, forces = (relaxed.ragged[_KEPT + name] for name in ("numbers", "forces"))
            made = relaxed.columns[_KEPT + "made"]
            self._kept = {
                name: _Kept(numbers[row], forces[row], str(made[row]))
                for row, name in enumerate(relaxed.ids.tolist())
                if len(numbers[row])
            }
        columns, atoms = (_unprefixed(known) for known in (relaxed.columns, relaxed.atom_columns))
        self._relaxed = replace(
            relaxed,
            cells=columns.pop("cells"),
            positions=atoms.pop("positions"),
            columns=columns,
            atom_columns=atoms,
            units=_unprefixed(relaxed.units),
            ragged={},
        )


def part_of[P: StaticParameters](schema: type[P], parameters: StaticParameters, changes: dict[str, Any]) -> P:
    """Return the parameters of ``schema``, a base class of the schema of ``parameters``, with ``changes``."""
    known = {name: getattr(parameters, name) for name in schema.model_fields}
    return schema.model_validate(known | changes)


def _identified(children: StructureTable) -> str:
    """Return what differs between any two sets of children."""
    content = hashlib.sha256()
    for values in (children.numbers, children.positions, children.cells, children.offsets):
        content.update(np.ascontiguousarray(values).tobytes())
    return content.hexdigest()


def _unprefixed[T](known: Mapping[str, T]) -> dict[str, T]:
    return {key.removeprefix(_RELAXED): value for key, value in known.items() if key.startswith(_RELAXED)}
