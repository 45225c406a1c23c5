"""Relaxation of positions and cells: each row on its own path, converged by its own forces and stress.

A row ends as soon as, before a step, its largest force norm is below ``fmax`` and the largest component of its free
stress below ``stress_max``. Held to its symmetry (``symmetry = constrained``), a row starts from the exactly symmetric
structure nearest to the one given, and forces and stress are projected onto its space group each step: it cannot leave
a symmetric saddle. The force and stress reported then are the projected ones, those that were converged. A slab is held
to its layer group, a wire or a molecule to the group it has in a box with vacuum (:mod:`aiida_pet.crystals.vacuum`).

Atoms that are held (:mod:`aiida_pet.tables.fixed_atoms`) keep those components of their coordinates, and forces on them
do not count; what is held stays where it was given even if that is off the symmetry by up to ``symprec``.

Averaged over rotations from ``average_from_fmax`` on, a row cannot converge before it is averaged; its
``initial_energy`` is the energy of the model without averaging.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.spacegroup import Groups, groups_of, kinds_of, operations_of_row
from aiida_pet.crystals.symmetry.warnings import symmetry_warnings
from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.symmetry.averaging import RowRotations
from aiida_pet.engine.symmetry.projection import SymmetryProjector
from aiida_pet.engine.symmetry.rotations_of_rows import EXACT
from aiida_pet.engine.tasks import row_state
from aiida_pet.engine.tasks.cell_filter import Coordinates, free_forces, free_stress, to_forces, to_geometry
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.engine.tasks.endings import Approach, Now, ends_of
from aiida_pet.engine.tasks.guards import faults_of_move
from aiida_pet.engine.tasks.optimizers import OPTIMIZERS, Fire, Lbfgs
from aiida_pet.engine.tasks.workload import USUAL_EVALUATIONS, steps_left
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import CellFilter, RelaxParameters, Symmetry
from aiida_pet.job.suitability import RELAXING, why_not_relaxed
from aiida_pet.tables.columns import symprec_label
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import (
    COLUMNS,
    allowed_directions,
    completed_cell,
)
from aiida_pet.tables.table import Array
from aiida_pet.tables.warnings import Warned
from aiida_pet.units import GPA


@dataclass
class _Rows:
    """What a relaxation keeps of the rows in flight, in the order of the batch; see
    :mod:`aiida_pet.engine.tasks.row_state`.

    :ivar x: coordinates.
    :ivar cells0: (N, 3, 3) cell at x.cell = 0, A.
    :ivar steps: (N,) int64, steps taken.
    :ivar energy0: (N,) eV, before the first step; NaN before the first evaluation.
    :ivar volume0: (N,) A^3, before the first step.
    :ivar averaged: (N,) bool, whether averaging over rotations, if any, has begun.
    :ivar approach: how near they have come to their bounds.
    :ivar optimizer: what the optimiser remembers.
    """

    x: Coordinates
    cells0: Tensor
    steps: Tensor
    energy0: Tensor
    volume0: Tensor
    averaged: Tensor
    approach: Approach
    optimizer: Fire | Lbfgs

    @staticmethod
    def start(batch: Batch, parameters: RelaxParameters) -> _Rows:
        """Return the state of rows that are about to begin."""
        at_once = parameters.average_from_fmax is None
        nothing = torch.full((len(batch),), torch.nan, dtype=torch.float64, device=batch.device)
        return _Rows(
            Coordinates(batch.positions, torch.zeros_like(batch.cells)),
            batch.cells,
            torch.zeros(len(batch), dtype=torch.long, device=batch.device),
            nothing,
            batch.volumes(),
            torch.full((len(batch),), at_once, device=batch.device),
            Approach.start(len(batch), batch.device),
            OPTIMIZERS[parameters.optimizer].start(batch),
        )


class Relax(Driver[RelaxParameters]):
    """Minimises the energy, or the enthalpy under ``pressure``, of each row."""

    def __init__(
        self, table: StructureTable, model: Any, parameters: RelaxParameters, **options: Any
    ) -> None:
        self.relaxes_cell = parameters.cell in RELAXING
        model.stress_of_slabs = parameters.cell is CellFilter.PLANE
        super().__init__(table, model, parameters, **options)
        self._state = _Rows.start(self.batch, parameters)
        self._operations: list[Operations | None] = []
        self._off_symmetry: set[int] = (
            set()
        )  # rows of the table with held atoms that are not where it wants them
        self._not_held: dict[
            int, Warned
        ] = {}  # row of the table -> what is to be said of the group it is held to
        self._stagnant: set[int] = set()  # rows of the table that ended at the noise of the model
        self._projector: SymmetryProjector | None = None
        self._resumed = table.take([])  # rows that wait to go on from their state, which is in the columns
        self._ended = np.zeros(2)  # rows that ended, and their evaluations

    # -- rows come and go ----------------------------------------------------------------------------------------

    def codes_of(self, rows: Array) -> list[set[str]]:
        """Return the codes of ``rows``: also of those that should be held to a group and have none, or are stagnant."""
        return [
            codes
            | ({self._not_held[row]} if row in self._not_held else set())
            | ({Warned.STAGNANT} if row in self._stagnant else set())
            for row, codes in zip(rows.tolist(), super().codes_of(rows), strict=True)
        ]

    def refusals(self) -> dict[int, str]:
        """Return row -> why it is not relaxed."""
        return super().refusals() | why_not_relaxed(self.table, self.parameters)

    def enter(self, rows: list[int], batch: Batch) -> Batch:
        """Return the geometry with which ``rows`` enter: symmetric if held to it, or where they were left."""
        batch, held = self._symmetric(rows, batch)
        state = self._going_on(rows, batch, _Rows.start(batch, self.parameters))
        batch = batch.moved(*to_geometry(state.x, state.cells0, batch))
        self._state = row_state.cat([self._state, state])
        self._operations += held
        self._projector = None
        return batch

    def _symmetric(self, rows: list[int], batch: Batch) -> tuple[Batch, list[Operations | None]]:
        """Return ``batch`` with exactly symmetric crystals where they are held to it, and their operations."""
        held: list[Operations | None] = [None] * len(rows)
        if self.parameters.symmetry is not Symmetry.CONSTRAINED:
            return batch, held
        positions, cells = batch.positions.clone(), batch.cells.clone()
        ends = torch.cumsum(batch.n_atoms, 0).tolist()
        for place, row in enumerate(rows):
            operations = operations_of_row(self.table, row, self.parameters.symprec, respects_fixed=True)
            code = self._what_is_not_held(row, operations)
            if code is not None:
                self._not_held[row] = code
            kept = self._where_held(row, operations)
            if np.abs(kept - operations.positions).max(initial=0.0) > EXACT:
                self._off_symmetry.add(row)
            cells[place] = torch.as_tensor(operations.cell)
            positions[ends[place] - len(kept) : ends[place]] = torch.as_tensor(kept)
            held[place] = operations
        return batch.moved(positions, cells), held

    def _what_is_not_held(self, row: int, operations: Operations) -> Warned | None:
        """Return the code of a row of which nothing is held, or less than there is at ``symprec``; else None."""
        if not operations.symprec:
            return Warned.SYMMETRY_NOT_HELD
        symprec = self.parameters.symprec
        if operations.symprec >= symprec * (1 - 1e-9) or self.table.pbc[row].sum() < 2:
            return None
        if self._has_fixed_atoms[row]:  # what is held has a group of its own
            return None
        (found,) = groups_of(self.table.take([row]), (symprec,)).values()
        return Warned.SYMMETRY_HELD_IN_PART if found.kind[0] not in (0, operations.number) else None

    def _where_held(self, row: int, operations: Operations) -> Array:
        """Return the positions (A, 3) of ``operations``, but what is held of ``row`` where it was given."""
        allowed = allowed_directions(self.table, row, operations.cell) if self._has_fixed_atoms[row] else None
        if allowed is None:
            return operations.positions
        pbc = self.table.pbc[row]
        deformation = np.linalg.solve(
            completed_cell(self.table.cells[row], pbc), completed_cell(operations.cell, pbc)
        )
        given = self.table.positions[self.table.atoms_of(row)] @ deformation
        kept: Array = given + np.einsum("aij,aj->ai", allowed, operations.positions - given)
        return kept

    def evaluations_left(self) -> Tensor:
        """Return how often each row of the batch is still to be evaluated, (N,)."""
        state, p = self._state, self.parameters
        return 1.0 + steps_left(state.approach.first, state.approach.least, state.steps, p.max_steps)

    def usual_evaluations(self) -> float:
        """Return how often a row is evaluated, as far as those that ended or are in flight tell."""
        rows, evaluations = self._ended
        rows += len(self.rows)
        evaluations += float((self._state.steps + self.evaluations_left()).sum())
        return evaluations / rows if rows else USUAL_EVALUATIONS

    def retire(self, ends: dict[int, tuple[RowStatus, str]], evaluation: Evaluation | None) -> Tensor:
        """Hand over the rows that end, and note how often they were evaluated."""
        self._ended += len(ends), float(self._state.steps[list(ends)].sum()) + len(ends)
        return super().retire(ends, evaluation)

    def reference_cells(self) -> Tensor:
        """Return the cells (N, 3, 3) at the origin of the coordinates."""
        return self._state.cells0

    def free_forces(self, evaluation: Evaluation) -> Tensor:
        """Return the forces (A, 3) without what acts on coordinates that are held."""
        if self._allowed is None:
            return evaluation.forces
        return free_forces(self._state.x, evaluation.forces, self._allowed, self.batch)

    def keep(self, kept: Tensor) -> None:
        """Forget what is kept of all rows but those at ``kept`` of the batch."""
        self._state = row_state.take(self._state, self.batch, kept)
        self._operations = [self._operations[place] for place in kept.tolist()]
        self._projector = None

    def rotations(self, place: int) -> RowRotations | None:
        """Return the rotations of the row at ``place``, reduced if it is held to its symmetry."""
        row, held = int(self.rows[place]), self._operations[place]
        if held is None or row in self._off_symmetry:
            return self.rotations_of_rows.free(row)
        return self.rotations_of_rows.held(row, held)

    def is_averaged(self) -> Tensor:
        """Return for which rows of the batch averaging has begun, (N,) bool."""
        return self._state.averaged

    # -- going on where a row was left ---------------------------------------------------------------------------

    def snapshot(self) -> StructureTable:
        """Return the rows that have begun, as given, with what is kept of each in the columns."""
        return StructureTable.concatenate([self._in_flight(), self._resumed])

    def restore(self, rows: StructureTable) -> None:
        """Let ``rows`` of a :meth:`snapshot` go on from there when they enter.

        :raises ValueError: if it is none of a relaxation like this one.
        """
        state = {name: values for name, values in rows.atom_columns.items() if name not in COLUMNS}
        row_state.from_columns(self._state, rows.columns, state)
        self._resumed = replace(rows, atom_columns=state)

    def _in_flight(self) -> StructureTable:
        columns, atom_columns = row_state.to_columns(self._state)
        given = self.table.take(self.rows.numpy())
        fixed = {name: given.atom_columns[name] for name in COLUMNS if name in given.atom_columns}
        return replace(given, columns=columns, atom_columns=atom_columns | fixed, units={})

    def _going_on(self, rows: list[int], batch: Batch, fresh: _Rows) -> _Rows:
        """Return ``fresh``, the state of ``rows`` that are about to begin, with those replaced that go on."""
        ids, waiting = self.table.ids[rows].tolist(), set(self._resumed.ids.tolist())
        places = [place for place, name in enumerate(ids) if name in waiting]
        if not places:
            return fresh
        going_on = self._resumed.select([ids[place] for place in places])
        rest = waiting - set(going_on.ids.tolist())
        self._resumed = self._resumed.take(
            [place for place, name in enumerate(self._resumed.ids.tolist()) if name in rest]
        )
        resumed = row_state.from_columns(fresh, going_on.columns, going_on.atom_columns)
        which = torch.tensor(places, device=batch.device)
        order = torch.arange(len(batch), device=batch.device)
        order[which] = torch.arange(len(batch), len(batch) + len(places), device=batch.device)
        return row_state.take(row_state.cat([fresh, resumed]), Batch.cat([batch, batch.take(which)]), order)

    # -- one step ------------------------------------------------------------------------------------------------

    def advance(self, evaluation: Evaluation) -> None:
        """Retire the rows that converged, diverged or took all their steps; move the others."""
        state = self._state
        state.energy0 = torch.where(state.steps == 0, evaluation.energy, state.energy0)
        evaluation = self._projected(evaluation)
        largest = self.batch.row_max(torch.linalg.vector_norm(self.free_forces(evaluation), dim=1))
        ends = self._judged(evaluation, largest)
        if ends:
            before = self.batch
            kept = self.retire(ends, evaluation)
            if not len(kept):
                return
            evaluation, largest = evaluation.take(before, kept), largest[kept]
        self._move(evaluation, largest)

    def _projected(self, evaluation: Evaluation) -> Evaluation:
        if self.parameters.symmetry is not Symmetry.CONSTRAINED:
            return evaluation
        if self._projector is None:
            self._projector = SymmetryProjector.build(
                self._operations, self.batch.n_atoms.cpu().numpy(), self.batch.device
            )
        return replace(
            evaluation,
            forces=self._projector.forces(evaluation.forces),
            stress=self._projector.stress(evaluation.stress),
        )

    def residual_stress(self, evaluation: Evaluation) -> Tensor:
        """Return the (N,) largest component of the free stress, GPa; of the whole stress where the cell is fixed."""
        free = free_stress(
            evaluation.stress, self.parameters.pressure / GPA, self.parameters.cell, self.batch
        )
        return free.abs().amax(dim=(1, 2)) * GPA

    def _judged(self, evaluation: Evaluation, largest: Tensor) -> dict[int, tuple[RowStatus, str]]:
        stress = self.residual_stress(evaluation)
        if self.parameters.cell is CellFilter.FIXED:
            stress = torch.zeros_like(stress)
        state = self._state
        now = Now(evaluation.energy, largest, stress, state.steps, state.averaged)
        is_noisy = self.model.dtype is not torch.float64
        ends = ends_of(now, state.approach, self.parameters, is_noisy=is_noisy)
        self._stagnant |= {int(self.rows[place]) for place, (_, _, warned) in ends.items() if warned}
        return {place: (status, why) for place, (status, why, _) in ends.items()}

    def _move(self, evaluation: Evaluation, largest: Tensor) -> None:
        p, state, batch = self.parameters, self._state, self.batch
        free = free_stress(evaluation.stress, p.pressure / GPA, p.cell, batch)
        forces = to_forces(state.x, evaluation.forces, free, batch, p.cell, allowed=self._allowed)
        state.x = state.x + state.optimizer.step(batch, state.x, forces, p.max_step)
        state.steps = state.steps + 1
        if p.average_from_fmax is not None:
            begins = ~state.averaged & (largest <= p.average_from_fmax)
            state.averaged = state.averaged | begins
            state.approach = Approach(
                torch.where(begins, torch.inf, state.approach.least),
                torch.where(begins, state.steps, state.approach.since),
                state.approach.first,
            )
            # the optimiser must not take the change of the model for one of the crystal
            state.optimizer.started = state.optimizer.started & ~begins
        positions, cells = to_geometry(state.x, state.cells0, batch)
        moved = batch.moved(positions, cells)
        self._retire_lost(moved)

    def _retire_lost(self, moved: Batch) -> None:
        """Take the step to ``moved``; rows that it would throw out of bounds end where they were."""
        faults = faults_of_move(
            moved,
            self._neighbors,
            self._state.volume0,
            volume_ratio_max=self.parameters.volume_ratio_max,
            min_distance=self.parameters.min_distance,
        )
        if faults:
            steps = self._state.steps.tolist()
            stay = self.retire(
                {
                    place: (RowStatus.DIVERGED, f"at step {steps[place]} {why}")
                    for place, why in faults.items()
                },
                None,
            )
            moved = moved.take(stay)
        self.batch = moved

    # -- results -------------------------------------------------------------------------------------------------

    def columns_of(
        self, places: Tensor, rows: Array, columns: dict[str, Array], groups: Mapping[str, Groups]
    ) -> dict[str, Array]:
        """Return where each row started and how many steps it took."""
        start = self.table.take(rows)
        initial = groups_of(start, self.parameters.symprecs)
        further: dict[str, Array] = {
            "initial_energy": self._state.energy0[places].cpu().numpy(),
            "initial_volume": self._state.volume0[places].cpu().numpy(),
            "n_steps": self._state.steps[places].cpu().numpy(),
        }
        if self.parameters.pressure:
            further["enthalpy"] = columns["energy"] + self.parameters.pressure / GPA * columns["volume"]
        # what the model never said anything of was not relaxed
        begun = np.isfinite(further["initial_energy"])
        for label, before in initial.items():
            further[f"initial_spacegroup_{label}"] = before.space
            if self.has_slabs:
                further[f"initial_layergroup_{label}"] = before.layer
            kept = (before.kind == groups[label].kind) & (before.kind > 0)
            further[f"symmetry_kept_{label}"] = kept if begun.all() else np.where(begun, kept, np.nan)
        if groups:
            further["symmetry_warning"] = symmetry_warnings(kinds_of(groups), kinds_of(initial), start.pbc)
        return further

    def columns_of_refused(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return the start of rows that never entered, which is where they still are.

        They have taken no step. Whether a relaxation would have kept their symmetry is not known.
        """
        nothing = np.full(len(columns["volume"]), np.nan)
        further: dict[str, Array] = {
            "initial_energy": nothing,
            "initial_volume": columns["volume"],
            "n_steps": np.zeros(len(nothing), dtype=np.int64),
        }
        if self.parameters.pressure:
            further["enthalpy"] = nothing
        for label in map(symprec_label, self.parameters.symprecs):
            further[f"initial_spacegroup_{label}"] = columns[f"spacegroup_{label}"]
            if self.has_slabs:
                further[f"initial_layergroup_{label}"] = columns[f"layergroup_{label}"]
            further[f"symmetry_kept_{label}"] = nothing
        return further
