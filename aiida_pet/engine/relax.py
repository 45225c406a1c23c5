"""Relaxation of positions and cells: each row on its own path, converged by its own forces and stress.

A row ends as soon as, before a step, its largest force norm is below ``fmax`` and the largest component of its free
stress below ``stress_max``. Held to its symmetry (``symmetry = constrained``), a row starts from the exactly symmetric
structure nearest to the one given, and forces and stress are projected onto its space group each step: it cannot leave
a symmetric saddle. The force and stress reported then are the projected ones, those that were converged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch import Batch, Tensor
from aiida_pet.engine.cellfilter import Coordinates, free_stress, to_forces, to_geometry
from aiida_pet.engine.driver import GPA, Driver
from aiida_pet.engine.evaluation import Evaluation
from aiida_pet.engine.job import RowStatus
from aiida_pet.engine.operations import Operations
from aiida_pet.engine.optimizers import make_optimizer
from aiida_pet.engine.parameters import CellFilter, RelaxParameters, Symmetry, symprec_label
from aiida_pet.engine.projection import SymmetryProjector
from aiida_pet.engine.spacegroup import find_operations, spacegroup_numbers
from aiida_pet.engine.table import Array, StructureTable


@dataclass
class _Rows:
    """What a relaxation keeps of the rows in flight, in the order of the batch."""

    x: Coordinates
    cells0: Tensor  # (N, 3, 3) cell at x.cell = 0, A
    steps: Tensor  # (N,)
    energy0: Tensor  # (N,) eV, NaN before the first evaluation
    volume0: Tensor  # (N,) A^3

    def take(self, batch: Batch, rows: Tensor) -> _Rows:
        return _Rows(
            Coordinates(self.x.atoms[batch.atoms_of(rows)], self.x.cell[rows]),
            self.cells0[rows], self.steps[rows], self.energy0[rows], self.volume0[rows],
        )  # fmt: skip

    @staticmethod
    def cat(parts: list[_Rows]) -> _Rows:
        return _Rows(
            Coordinates(torch.cat([p.x.atoms for p in parts]), torch.cat([p.x.cell for p in parts])),
            torch.cat([p.cells0 for p in parts]),
            torch.cat([p.steps for p in parts]),
            torch.cat([p.energy0 for p in parts]),
            torch.cat([p.volume0 for p in parts]),
        )

    @staticmethod
    def start(batch: Batch) -> _Rows:
        nothing = torch.full((len(batch),), torch.nan, dtype=torch.float64, device=batch.device)
        return _Rows(
            Coordinates(batch.positions.clone(), torch.zeros_like(batch.cells)),
            batch.cells.clone(),
            torch.zeros(len(batch), dtype=torch.long, device=batch.device),
            nothing,
            batch.volumes(),
        )


class Relax(Driver):
    """Minimises the energy, or the enthalpy under ``pressure``, of each row."""

    parameters: RelaxParameters

    def __init__(
        self, table: StructureTable, model: Any, parameters: RelaxParameters, **options: Any
    ) -> None:
        self.relaxes_cell = parameters.cell is not CellFilter.FIXED
        super().__init__(table, model, parameters, **options)
        self._optimizer = make_optimizer(parameters.optimizer, parameters.max_step, model.device)
        self._state = _Rows.start(self.batch)
        self._operations: list[Operations | None] = []
        self._projector: SymmetryProjector | None = None

    # -- rows come and go ----------------------------------------------------------------------------------------

    def enter(self, rows: list[int], batch: Batch) -> Batch:
        """Return the geometry with which ``rows`` enter: exactly symmetric if held to it."""
        positions, cells = batch.positions.clone(), batch.cells.clone()
        ends = torch.cumsum(batch.n_atoms, 0).tolist()
        parts = [slice(end - size, end) for end, size in zip(ends, batch.n_atoms.tolist(), strict=True)]
        held: list[Operations | None] = [None] * len(rows)
        for place, row in enumerate(rows):
            if self._is_held(row):
                atoms = self.table.atoms_of(row)
                operations = find_operations(
                    self.table.cells[row],
                    self.table.positions[atoms],
                    self.table.numbers[atoms],
                    self.parameters.symprec,
                )
                cells[place] = torch.as_tensor(operations.cell)
                positions[parts[place]] = torch.as_tensor(operations.positions)
                held[place] = operations
        fresh = _Rows.start(batch.moved(positions, cells))
        batch = batch.moved(*to_geometry(fresh.x, fresh.cells0, batch))
        self._state = _Rows.cat([self._state, fresh])
        self._operations += held
        self._optimizer.append(batch)
        self._projector = None
        return batch

    def _is_held(self, row: int) -> bool:
        return self.parameters.symmetry is Symmetry.CONSTRAINED and bool(self.table.pbc[row].all())

    def keep(self, kept: Tensor) -> None:
        """Forget what is kept of all rows but those at ``kept`` of the batch."""
        self._state = self._state.take(self.batch, kept)
        self._optimizer.keep(self.batch, kept)
        self._operations = [self._operations[place] for place in kept.tolist()]
        self._projector = None

    # -- one step ------------------------------------------------------------------------------------------------

    def advance(self, evaluation: Evaluation) -> None:
        """Retire the rows that converged, diverged or took all their steps; move the others."""
        state = self._state
        state.energy0 = torch.where(state.steps == 0, evaluation.energy, state.energy0)
        evaluation = self._projected(evaluation)
        ends = self._judged(evaluation)
        if ends:
            before = self.batch
            kept = self.retire(ends, evaluation)
            if not len(kept):
                return
            evaluation = evaluation.take(before, kept)
        self._move(evaluation)

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
        free = free_stress(evaluation.stress, self.parameters.pressure / GPA, self.parameters.cell)
        return free.abs().amax(dim=(1, 2)) * GPA

    def _judged(self, evaluation: Evaluation) -> dict[int, tuple[RowStatus, str]]:
        p = self.parameters
        largest = self.batch.row_max(torch.linalg.vector_norm(evaluation.forces, dim=1))
        stress = self.residual_stress(evaluation)
        if p.cell is CellFilter.FIXED:
            stress = torch.zeros_like(stress)
        finite = torch.isfinite(evaluation.energy) & torch.isfinite(largest) & torch.isfinite(stress)
        converged = finite & (largest <= p.fmax) & (stress <= p.stress_max)
        capped = finite & (largest > p.force_cap)
        spent = self._state.steps >= p.max_steps
        ended = (converged | ~finite | capped | spent).nonzero().flatten().tolist()
        if not ended:
            return {}
        norms, stresses = largest.tolist(), stress.tolist()
        is_finite, is_converged, is_capped = finite.tolist(), converged.tolist(), capped.tolist()
        ends = {}
        for place in ended:
            if not is_finite[place]:
                ends[place] = (RowStatus.DIVERGED, "the model gives no finite number")
            elif is_converged[place]:
                ends[place] = (RowStatus.CONVERGED, "")
            elif is_capped[place]:
                ends[place] = (
                    RowStatus.DIVERGED,
                    f"force {norms[place]:.3g} eV/A exceeds force_cap = {p.force_cap:g} eV/A",
                )
            else:
                ends[place] = (
                    RowStatus.MAX_STEPS,
                    f"after {p.max_steps} steps force {norms[place]:.3g} of {p.fmax:g} eV/A, "
                    f"stress {stresses[place]:.3g} of {p.stress_max:g} GPa",
                )
        return ends

    def _move(self, evaluation: Evaluation) -> None:
        p, state, batch = self.parameters, self._state, self.batch
        free = free_stress(evaluation.stress, p.pressure / GPA, p.cell)
        forces = to_forces(state.x, evaluation.forces, free, batch, p.cell)
        state.x = state.x + self._optimizer.step(batch, state.x, forces)
        state.steps = state.steps + 1
        positions, cells = to_geometry(state.x, state.cells0, batch)
        moved = batch.moved(positions, cells)
        self._retire_lost(moved)

    def _retire_lost(self, moved: Batch) -> None:
        """Take the step to ``moved``; rows that it would throw out of bounds end where they were."""
        limit = self.parameters.volume_ratio_max
        ratio = moved.volumes() / self._state.volume0
        solid = self.batch.pbc.all(dim=1)
        finite = torch.isfinite(moved.row_sum(moved.positions.sum(dim=1)))
        lost = ~finite | (solid & ~((ratio < limit) & (ratio > 1.0 / limit)))
        ends = {
            place: (
                RowStatus.DIVERGED,
                f"volume would change by a factor of {ratio[place].item():.3g} (limit {limit:g})",
            )
            for place in lost.nonzero().flatten().tolist()
        }
        if not ends:
            self.batch = moved
            return
        stay = (~lost).nonzero().flatten()
        moved = moved.take(stay)
        self.retire(ends, None)
        self.batch = moved

    # -- results -------------------------------------------------------------------------------------------------

    def columns_of(self, places: Tensor, rows: Array, columns: dict[str, Array]) -> dict[str, Array]:
        """Return where each row started and how many steps it took."""
        groups = spacegroup_numbers(self.table.take(rows), self.parameters.symprecs)
        further: dict[str, Array] = {
            "initial_energy": self._state.energy0[places].cpu().numpy(),
            "initial_volume": self._state.volume0[places].cpu().numpy(),
            "n_steps": self._state.steps[places].cpu().numpy(),
        }
        for label in map(symprec_label, self.parameters.symprecs):
            ends = columns[f"spacegroup_{label}"]
            further[f"initial_spacegroup_{label}"] = groups[label]
            further[f"symmetry_kept_{label}"] = (groups[label] == ends) & (groups[label] > 0)
        return further

    def columns_of_refused(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return the start of rows that never entered, which is where they still are."""
        further: dict[str, Array] = {
            "initial_energy": columns["energy"],
            "initial_volume": columns["volume"],
            "n_steps": np.zeros(len(columns["volume"]), dtype=np.int64),
        }
        for label in map(symprec_label, self.parameters.symprecs):
            further[f"initial_spacegroup_{label}"] = columns[f"spacegroup_{label}"]
            # nothing was relaxed, so nothing was kept
            further[f"symmetry_kept_{label}"] = np.zeros(len(columns["volume"]), dtype=bool)
        return further
