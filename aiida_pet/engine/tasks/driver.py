"""The loop that every batched task shares: rows enter, are evaluated together, and leave each with its own status.

A row is checked before it enters (:mod:`~aiida_pet.crystals.validity`), so nothing that is known to be bad reaches the
model. Rows enter sorted by neighbour count, as many as the model evaluates well together; it cuts them into chunks that
fit into memory, and a row that does not fit alone is ``too_large``. What a task does with an evaluation is its
:meth:`Driver.advance`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from aiida_pet.crystals.gaps import LARGEST_GAP, gap_of
from aiida_pet.crystals.symmetry.spacegroup import Groups, groups_of, kinds_of
from aiida_pet.crystals.symmetry.warnings import symmetry_warnings
from aiida_pet.crystals.validity import check_geometry
from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList, Pairs
from aiida_pet.engine.batch.pair_search import why_not_searched
from aiida_pet.engine.model.base import BatchModel, RowTooLargeError
from aiida_pet.engine.symmetry.averaging import DEVIATIONS, Rotations, RowRotations
from aiida_pet.engine.symmetry.rotations_of_rows import RotationsOfRows
from aiida_pet.engine.tasks.runner import Counters
from aiida_pet.engine.tasks.waiting import WaitingRows, neighbor_counts
from aiida_pet.engine.tasks.workload import Work
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import Averaging, StaticParameters, heads_in_words
from aiida_pet.tables.columns import units_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import allowed_directions, rows_with_fixed_atoms
from aiida_pet.tables.row_warnings import row_warnings
from aiida_pet.tables.table import Array
from aiida_pet.tables.warnings import COLUMN, Warned
from aiida_pet.units import GPA, VOIGT_PAIRS

logger = logging.getLogger(__name__)


class Driver[P: StaticParameters](ABC):
    """Runs a task over the rows of a table: a :class:`~aiida_pet.engine.tasks.runner.Runner`.

    :param table: the rows of the job, as given.
    :param model: the model.
    :param parameters: parameters of the task.
    :param finished: called with each set of rows that finished, statuses and results in their columns.
    :param proceed: called before each step; False stops the run and leaves what is in flight.
    :param refused: row of the table -> why the task does not take it: it is ``failed``.
    :param stand_in: (N,) row whose neighbours are counted in place of those of each row, where rows are almost the same
        crystal; None for each row itself. Counts decide only which rows go together.
    """

    relaxes_cell = False
    #: Skin of the neighbour lists, A.
    SKIN: ClassVar[float] = 0.5

    def __init__(
        self,
        table: StructureTable,
        model: BatchModel,
        parameters: P,
        *,
        finished: Callable[[StructureTable], None],
        proceed: Callable[[], bool] = lambda: True,
        refused: Mapping[int, str] | None = None,
        stand_in: Array | None = None,
    ) -> None:
        self.table = table
        self.model = model
        self.parameters = parameters
        self.counters = Counters()
        self.rows = torch.zeros(0, dtype=torch.long)  # of the table, in the order of the batch
        self.batch = Batch.from_table(table.take([]), model.device)
        self._finished = finished
        self._proceed = proceed
        self._refused = refused or {}
        self._stand_in = stand_in
        #: whether a row is periodic in exactly two directions, so that there are layer groups to report
        self.has_slabs = bool((table.pbc.sum(axis=1) == 2).any())
        self._has_fixed_atoms = rows_with_fixed_atoms(table)
        # (A, 3, 3) projectors on the directions in which the atoms of the batch may move; None where all may
        self._allowed: Tensor | None = (
            self.batch.positions.new_zeros(0, 3, 3) if self._has_fixed_atoms.any() else None
        )
        self._neighbors = NeighborList(model.cutoff, self.SKIN)
        self.rotations_of_rows = RotationsOfRows(table, self.parameters)
        self._row_rotations: list[RowRotations | None] = []  # in the order of the batch
        self._rotations: Rotations | None = None  # made of them when they have changed
        #: filled by run, with the rows that nothing is wrong with
        self._waiting = WaitingRows(table.n_atoms, np.zeros(len(table)), ())
        self._done = 0.0  # evaluations times atoms

    @property
    def in_flight(self) -> int:
        """Rows being worked on."""
        return len(self.rows)

    @property
    def unfinished(self) -> int:
        """Rows that are being worked on or wait."""
        return len(self.rows) + len(self._waiting)

    @property
    def work(self) -> Work:
        """What is done and what is left."""
        flying = float((self.batch.n_atoms * self.evaluations_left()).sum())
        return Work(self._done, flying + self._waiting.n_atoms * self.usual_evaluations())

    def run(self) -> bool:
        """Work until every row is finished.

        :return: False if ``proceed`` said stop while rows were left.
        """
        self._enqueue_valid()
        while len(self.rows) or len(self._waiting):
            if not self._proceed():
                return False
            self._admit()
            pairs = self._neighbors.update(self.batch)
            if not bool(pairs.searched.all()):
                self._retire_unsearched(pairs)
                continue
            rotations = self._rotations_now()
            try:
                evaluation = self.model.evaluate(self.batch, pairs, rotations)
            except RowTooLargeError as error:
                logger.warning("row %s %s", self.table.ids[self.rows[error.place]], error)
                self.retire({error.place: (RowStatus.TOO_LARGE, str(error))}, None)
                continue
            self.counters.steps += 1
            self.counters.evaluations += len(self.rows) if rotations is None else int(rotations.counts.sum())
            self._done += len(self.batch.numbers)
            self.advance(evaluation)
        return True

    # -- for tasks -----------------------------------------------------------------------------------------------

    @abstractmethod
    def advance(self, evaluation: Evaluation) -> None:
        """Judge each row in flight by its ``evaluation``, retire those that end, move the others."""

    def evaluations_left(self) -> Tensor:
        """Return how often each row of the batch is still to be evaluated, (N,); averages count once."""
        return torch.ones(len(self.rows), device=self.batch.device)

    def usual_evaluations(self) -> float:
        """Return how often a row that waits will be evaluated."""
        return 1.0

    def enter(self, rows: list[int], batch: Batch) -> Batch:
        """Return the geometry with which ``rows`` enter, and take up what the task keeps of them."""
        return batch

    def listed(self, batch: Batch) -> Batch:
        """Return the rows of ``batch``, which just entered, where their neighbours are to be looked for."""
        return batch

    def attach(self, folder: Path) -> None:
        """Let the task write files of its own into ``folder``; called before it runs, if there is one."""

    def keep(self, kept: Tensor) -> None:
        """Forget what the task keeps of all rows but those at ``kept`` of the batch."""

    def rotations(self, place: int) -> RowRotations | None:
        """Return the rotations over which the model is averaged for the row at ``place`` that just entered."""
        return self.rotations_of_rows.free(int(self.rows[place]))

    def is_averaged(self) -> Tensor | None:
        """Return for which rows of the batch averaging is on by now, (N,) bool; None for all."""
        return None

    def codes_of(self, rows: Array) -> list[set[str]]:
        """Return the codes of :class:`~aiida_pet.tables.warnings.Warned` of each of ``rows`` of the table."""
        lacking = self.rotations_of_rows.without_group
        found: list[set[str]] = [
            {Warned.SYMMETRY_NOT_HELD} if row in lacking else set() for row in rows.tolist()
        ]
        for row, codes in zip(rows.tolist(), found, strict=True):
            if self.table.pbc[row].all() and self._has_vacuum(row):
                codes.add(Warned.VACUUM)
        known = self.model.trained_pairs
        for row, codes in zip(rows.tolist(), found, strict=True):
            if known is not None and not pairs_among(self.table.numbers[self.table.atoms_of(row)]) <= known:
                codes.add(Warned.EXTRAPOLATED)
        return found

    def _has_vacuum(self, row: int) -> bool:
        cell, positions = self.table.cells[row], self.table.positions[self.table.atoms_of(row)]
        if not (np.isfinite(cell).all() and np.isfinite(positions).all() and abs(np.linalg.det(cell)) > 0):
            return False
        return gap_of(cell, positions) > LARGEST_GAP

    def refusals(self) -> dict[int, str]:
        """Return row -> why the task does not take it, for rows of the table whose geometry is good."""
        return dict(self._refused)

    def reference_cells(self) -> Tensor:
        """Return the cells (N, 3, 3) of the batch along whose vectors atoms are held."""
        return self.batch.cells

    def free_forces(self, evaluation: Evaluation) -> Tensor:
        """Return the forces (A, 3) on the batch without what acts on components that are held."""
        if self._allowed is None:
            return evaluation.forces
        return torch.einsum("aij,aj->ai", self._allowed, evaluation.forces)

    def snapshot(self) -> StructureTable | None:
        """Return the rows that have begun, as given, with their state in the columns; None if a task keeps none."""
        return None

    def restore(self, rows: StructureTable) -> None:
        """Let ``rows`` of a :meth:`snapshot` go on from there when they enter."""

    def retire(self, ends: dict[int, tuple[RowStatus, str]], evaluation: Evaluation | None) -> Tensor:
        """Hand over the rows that end and take them out of the batch.

        :param ends: place in the batch -> (status, why).
        :param evaluation: evaluation of the batch; None if there is none.
        :return: places of the rows that stay.
        """
        leaving = sorted(ends)
        places = torch.tensor(leaving, dtype=torch.long, device=self.batch.device)
        self._hand_over(places, [ends[place] for place in leaving], evaluation)
        stay = torch.ones(len(self.rows), dtype=torch.bool)
        stay[leaving] = False
        kept = stay.nonzero().flatten().to(self.batch.device)
        self._take_out(kept)
        return kept

    def columns_of(
        self, places: Tensor, rows: Array, columns: dict[str, Array], groups: Mapping[str, Groups]
    ) -> dict[str, Array]:
        """Return further columns for the rows at ``places`` of the batch, which are ``rows`` of the table.

        :param columns: those that all tasks have, of these rows.
        :param groups: label of a tolerance -> the groups of these rows.
        """
        return {}

    def columns_of_refused(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return further columns for rows that never entered, given those that all tasks have."""
        return {}

    # -- inside --------------------------------------------------------------------------------------------------

    def _enqueue_valid(self) -> None:
        problems = check_geometry(
            self.table,
            self.model.atomic_numbers,
            self.parameters.min_distance,
            relaxes_cell=self.relaxes_cell,
        )
        for row, why in self.refusals().items():
            if problems[row][0] is None:
                problems[row] = (RowStatus.FAILED, why)
        bad = [row for row, (status, _) in enumerate(problems) if status is not None]
        if bad:
            self._hand_over_invalid(bad, [problems[row] for row in bad])
        good = np.setdiff1d(np.arange(len(self.table)), bad).tolist()
        model = self.model
        stand_in = np.arange(len(self.table)) if self._stand_in is None else self._stand_in
        looked_at = np.unique(stand_in[good]).tolist()
        counts = neighbor_counts(self.table, model.cutoff, looked_at, model.device)[stand_in]
        self._waiting = WaitingRows(self.table.n_atoms, model.cost.per_atom(counts), good)

    def _hand_over_invalid(self, rows: list[int], problems: list[tuple[RowStatus | None, str]]) -> None:
        part = self.table.take(rows)
        nothing = self._nothing(Batch.from_table(part))
        ends = [(status or RowStatus.INVALID_GEOMETRY, message) for status, message in problems]
        groups = groups_of(part, self.parameters.symprecs)
        residual = torch.full((len(part),), torch.nan)
        columns = self._columns(ends, part, nothing, residual=residual, free=nothing.forces, groups=groups)
        columns |= self.columns_of_refused(columns)
        columns[COLUMN] = np.full(len(part), "", dtype=str)
        self._finished(_result(part, columns, nothing))

    def _admit(self) -> None:
        admitted = self._waiting.admit(self.rows.tolist(), self.model.tokens_in_flight)
        if not admitted:
            return
        fresh = self.enter(admitted, Batch.from_table(self.table.take(admitted), self.model.device))
        self._neighbors.append(self.listed(fresh))
        self.batch = Batch.cat([self.batch, fresh])
        self.rows = torch.cat([self.rows, torch.tensor(admitted)])
        self._hold(admitted)
        entered = range(len(self.rows) - len(admitted), len(self.rows))
        self._row_rotations += [self.rotations(place) for place in entered]
        self._rotations = None

    def _retire_unsearched(self, pairs: Pairs) -> None:
        """End the rows whose neighbours could not be looked for: they are not free atoms."""
        reach = self._neighbors.cutoff + self._neighbors.skin
        ends = {
            place: why_not_searched(self.batch, place, reach)
            for place in (~pairs.searched).nonzero().flatten().tolist()
        }
        for place, (_, message) in ends.items():
            logger.warning("row %s: %s", self.table.ids[self.rows[place]], message)
        self.retire(ends, None)

    def _hold(self, admitted: list[int]) -> None:
        """Take up what of the atoms of the rows that just entered, the last of the batch, is held."""
        if self._allowed is None:
            return
        cells = self.reference_cells()[-len(admitted) :].cpu().numpy()
        parts = [self._allowed]
        for row, cell in zip(admitted, cells, strict=True):
            allowed = allowed_directions(self.table, row, cell)
            size = int(self.table.n_atoms[row])
            parts.append(
                torch.as_tensor(np.tile(np.eye(3), (size, 1, 1)) if allowed is None else allowed).to(
                    self._allowed
                )
            )
        self._allowed = torch.cat(parts)

    def _rotations_now(self) -> Rotations | None:
        """Return the rotations of the batch, the same object as long as they are the same."""
        match self.parameters.averaging:
            case Averaging.NONE:
                return None
            case Averaging.RANDOM:
                return Rotations(self.rotations_of_rows.random(self.rows.tolist(), self.counters.steps))
        on = self.is_averaged()
        switches = np.ones(len(self.rows), dtype=bool) if on is None else on.cpu().numpy()
        pairs = zip(self._row_rotations, switches.tolist(), strict=True)
        wanted = [row if is_on else None for row, is_on in pairs]
        turned = [row is not None for row in wanted]
        if self._rotations is None or not np.array_equal(self._rotations.turned, turned):
            self._rotations = Rotations(wanted)
        return self._rotations

    def _take_out(self, kept: Tensor) -> None:
        self._neighbors.keep(self.batch, kept)
        self.keep(kept)
        if self._allowed is not None:
            self._allowed = self._allowed[self.batch.atoms_of(kept)]
        self.batch = self.batch.take(kept)
        self.rows = self.rows[kept.cpu()]
        self._row_rotations = [self._row_rotations[place] for place in kept.tolist()]
        self._rotations = None

    def _hand_over(
        self, places: Tensor, ends: list[tuple[RowStatus, str]], evaluation: Evaluation | None
    ) -> None:
        part = self.batch.take(places)
        rows = self.rows[places.cpu()].numpy()
        original = self.table.take(rows)
        final = StructureTable(
            **_geometry(original)
            | {"positions": part.positions.detach().cpu().numpy(), "cells": part.cells.detach().cpu().numpy()}
        )
        evaluation = evaluation or self._nothing(self.batch)
        mine = evaluation.take(self.batch, places).cpu()
        free = self.free_forces(evaluation)[self.batch.atoms_of(places)].cpu()
        codes = self.codes_of(rows)
        ends = [_with_notes(end, its) for end, its in zip(ends, codes, strict=True)]
        groups = groups_of(final, self.parameters.symprecs)
        residual = self.residual_stress(evaluation)[places].cpu()
        columns = self._columns(ends, final, mine, residual=residual, free=free, groups=groups)
        columns |= self.columns_of(places, rows, columns, groups)
        columns[COLUMN] = row_warnings(columns, codes, self.model.uncertainty_limit)
        self._finished(_result(final, columns, mine))

    def _nothing(self, batch: Batch) -> Evaluation:
        """Return NaN for all that would be written of the rows of ``batch``."""
        rows = self.model.row_shapes
        if self.parameters.averaging != Averaging.NONE:
            rows |= dict.fromkeys(DEVIATIONS, ())
        return Evaluation.nothing(batch, rows, self.model.atom_shapes)

    def residual_stress(self, evaluation: Evaluation) -> Tensor:
        """Return the (N,) largest component of the stress that the task would relax, GPa."""
        return evaluation.stress.abs().amax(dim=(1, 2)) * GPA

    def _columns(
        self,
        ends: list[tuple[RowStatus, str]],
        final: StructureTable,
        evaluation: Evaluation,
        *,
        residual: Tensor,
        free: Tensor,
        groups: Mapping[str, Groups],
    ) -> dict[str, Array]:
        norms = np.linalg.norm(free.numpy(), axis=1)
        fmax = [norms[final.atoms_of(i)].max(initial=0.0) for i in range(len(final))]
        columns: dict[str, Array] = {
            "status": np.array([status.value for status, _ in ends], dtype=str),
            "message": np.array([message for _, message in ends], dtype=str),
            "energy": evaluation.energy.numpy(),
            "n_atoms": final.n_atoms,
            "volume": final.volumes(),
            "stress": np.stack([evaluation.stress[:, i, j].numpy() for i, j in VOIGT_PAIRS], axis=1),
            "fmax": np.array(fmax, dtype=float),
            "stress_max": residual.numpy(),
            **{name: values.numpy() for name, values in evaluation.rows.items()},
        }
        columns["heads"] = np.full(len(final), heads_in_words(self.parameters))
        if groups:
            columns["symmetry_warning"] = symmetry_warnings(kinds_of(groups), None, final.pbc)
        if self.has_slabs:
            columns |= {f"layergroup_{label}": found.layer for label, found in groups.items()}
        return columns | {f"spacegroup_{label}": found.space for label, found in groups.items()}


def _with_notes(end: tuple[RowStatus, str], codes: set[str]) -> tuple[RowStatus, str]:
    """Return status and message of a row, with a word on symmetry that was asked for and could not be held."""
    if Warned.SYMMETRY_NOT_HELD not in codes:
        return end
    note = (
        "no symmetry could be held or averaged over: at tolerances from symprec down to a hundredth of symprec, none "
        "was found"
    )
    return end[0], f"{end[1]}; {note}" if end[1] else note


def pairs_among(numbers: Array) -> set[tuple[int, int]]:
    """Return the pairs of different atomic numbers among ``numbers``, the smaller first."""
    return set(combinations(np.unique(numbers).tolist(), 2))


def _geometry(table: StructureTable) -> dict[str, Any]:
    return {name: getattr(table, name) for name in ("ids", "numbers", "positions", "cells", "pbc", "offsets")}


def _result(table: StructureTable, columns: dict[str, Array], evaluation: Evaluation) -> StructureTable:
    """Return the geometry of ``table`` with ``columns``, what ``evaluation`` says of the atoms, and their units."""
    atoms = {
        name: values.numpy() for name, values in {"forces": evaluation.forces, **evaluation.atoms}.items()
    }
    return StructureTable(
        **_geometry(table),
        columns=columns,
        atom_columns=atoms,
        units=units_of((*columns, *atoms)),
    )
