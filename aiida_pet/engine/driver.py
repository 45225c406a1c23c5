"""The loop that every batched task shares: rows enter, are evaluated together, and leave each with its own status.

A row is checked before it enters (:mod:`~aiida_pet.engine.geometry`), so nothing that is known to be bad reaches the
model. When memory runs out the budget is halved and the rows that no longer fit wait again, with the geometry and the
step they had; a row that does not fit alone is ``too_large``. What a task does with an evaluation is its
:meth:`Driver.advance`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch import Batch, Tensor
from aiida_pet.engine.batching import WaitingRows, default_budget, neighbor_estimates
from aiida_pet.engine.geometry import check_geometry
from aiida_pet.engine.job import RowStatus
from aiida_pet.engine.model import BatchedPet, Evaluation
from aiida_pet.engine.neighbors import NeighborList
from aiida_pet.engine.parameters import StaticParameters
from aiida_pet.engine.spacegroup import spacegroup_numbers
from aiida_pet.engine.table import Array, StructureTable

logger = logging.getLogger(__name__)

GPA = 160.21766208  # GPa per eV/A^3, from CODATA 2014 as in ase.units
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))  # xx yy zz yz xz xy

UNITS = {
    "energy": "eV",
    "volume": "A^3",
    "stress": "eV/A^3",
    "fmax": "eV/A",
    "stress_max": "GPa",
    "forces": "eV/A",
    "initial_energy": "eV",
    "initial_volume": "A^3",
}


@dataclass
class Counters:
    """What the heartbeat reports of the work itself."""

    steps: int = 0
    evaluations: int = 0
    halvings: int = 0


class Driver(ABC):
    """Runs a task over the rows of a table.

    :param table: the rows of the job, as given.
    :param model: the model.
    :param parameters: of the task.
    :param finished: called with each set of rows that finished, statuses and results in their columns.
    :param proceed: called before each step; False stops the run and leaves what is in flight.
    :param max_batch_cost: upper bound of a batch, atoms x (neighbours + 1); None takes the device's default.
    """

    relaxes_cell = False

    def __init__(
        self,
        table: StructureTable,
        model: BatchedPet,
        parameters: Any,
        *,
        finished: Callable[[StructureTable], None],
        proceed: Callable[[], bool] = lambda: True,
        max_batch_cost: float | None = None,
    ) -> None:
        self.table = table
        self.model = model
        self.parameters: StaticParameters = parameters
        self.counters = Counters()
        self.budget = max_batch_cost or default_budget(model.device)
        self.rows = torch.zeros(0, dtype=torch.long)  # of the table, in the order of the batch
        self.batch = Batch.from_table(table.take([]), model.device)
        self._finished = finished
        self._proceed = proceed
        self._neighbors = NeighborList(model.cutoff)
        self._waiting: WaitingRows  # filled by run, with the rows that nothing is wrong with

    @property
    def in_flight(self) -> int:
        """Rows being worked on."""
        return len(self.rows)

    def run(self) -> bool:
        """Work until every row is finished.

        :return: False if ``proceed`` said stop while rows were left.
        """
        self._enqueue_valid()
        while len(self.rows) or len(self._waiting):
            if not self._proceed():
                return False
            self._admit()
            try:
                evaluation = self.model.evaluate(self.batch, self._neighbors.update(self.batch))
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                self._shrink(error)
                continue
            self.counters.steps += 1
            self.counters.evaluations += len(self.rows)
            self.advance(evaluation)
        return True

    # -- for tasks -----------------------------------------------------------------------------------------------

    @abstractmethod
    def advance(self, evaluation: Evaluation) -> None:
        """Judge each row in flight by its ``evaluation``, retire those that end, move the others."""

    def enter(self, rows: list[int], batch: Batch) -> Batch:
        """Return the geometry with which ``rows`` enter, and take up what the task keeps of them."""
        return batch

    def keep(self, kept: Tensor) -> None:
        """Forget what the task keeps of all rows but those at ``kept`` of the batch."""

    def park(self, leaving: Tensor) -> None:
        """Remember the rows at ``leaving`` of the batch, so that they can enter again where they were."""

    def retire(self, ends: dict[int, tuple[RowStatus, str]], evaluation: Evaluation | None) -> Tensor:
        """Hand over the rows that end and take them out of the batch.

        :param ends: place in the batch -> (status, why).
        :param evaluation: of the batch; None if there is none.
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

    def columns_of(self, places: Tensor, rows: Array, columns: dict[str, Array]) -> dict[str, Array]:
        """Return further columns for the rows at ``places`` of the batch, which are ``rows`` of the table.

        :param columns: those that all tasks have, of these rows.
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
        bad = [row for row, (status, _) in enumerate(problems) if status is not None]
        if bad:
            self._hand_over_invalid(bad, [problems[row] for row in bad])
        good = np.setdiff1d(np.arange(len(self.table)), bad).tolist()
        self._waiting = WaitingRows(
            self.table.n_atoms, neighbor_estimates(self.table, self.model.cutoff), good
        )

    def _hand_over_invalid(self, rows: list[int], problems: list[tuple[RowStatus | None, str]]) -> None:
        part = self.table.take(rows)
        nothing = _no_evaluation(Batch.from_table(part))
        ends = [(status or RowStatus.INVALID_GEOMETRY, message) for status, message in problems]
        columns = self._columns(ends, part, nothing, torch.full((len(part),), torch.nan))
        columns |= self.columns_of_refused(columns)
        self._finished(_result(part, columns, nothing))

    def _admit(self) -> None:
        admitted = self._waiting.admit(self.rows.tolist(), self.budget)
        if not admitted:
            return
        fresh = self.enter(admitted, Batch.from_table(self.table.take(admitted), self.model.device))
        self._neighbors.append(fresh)
        self.batch = Batch.cat([self.batch, fresh])
        self.rows = torch.cat([self.rows, torch.tensor(admitted)])

    def _take_out(self, kept: Tensor) -> None:
        self._neighbors.keep(self.batch, kept)
        self.keep(kept)
        self.batch = self.batch.take(kept)
        self.rows = self.rows[kept.cpu()]

    def _shrink(self, error: BaseException) -> None:
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        self.counters.halvings += 1
        if len(self.rows) == 1:
            message = f"does not fit into memory alone: {error}".splitlines()[0]
            logger.warning("row %s %s", self.table.ids[self.rows[0]], message)
            self.retire({0: (RowStatus.TOO_LARGE, message)}, None)
            return
        in_flight = self.rows.tolist()
        self.budget = min(self.budget, self._waiting.cost(in_flight)) / 2.0
        kept = list(range(max(1, len(in_flight) // 2)))
        while len(kept) > 1 and self._waiting.cost([in_flight[place] for place in kept]) > self.budget:
            kept.pop()
        logger.warning(
            "out of memory with %d rows in the batch: going on with %d and a budget of %.0f",
            len(in_flight), len(kept), self.budget,
        )  # fmt: skip
        leaving = list(range(len(kept), len(in_flight)))
        self.park(torch.tensor(leaving, device=self.batch.device))
        self._take_out(torch.tensor(kept, device=self.batch.device))
        self._waiting.put_back(in_flight[place] for place in leaving)

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
        if evaluation is None:
            evaluation = _no_evaluation(self.batch)
        mine = Evaluation(
            evaluation.energy[places].cpu(),
            evaluation.forces[self.batch.atoms_of(places)].cpu(),
            evaluation.stress[places].cpu(),
        )
        columns = self._columns(ends, final, mine, self.residual_stress(evaluation)[places].cpu())
        columns |= self.columns_of(places, rows, columns)
        self._finished(_result(final, columns, mine))

    def residual_stress(self, evaluation: Evaluation) -> Tensor:
        """Return the (N,) largest component of the stress that the task would relax, GPa."""
        return evaluation.stress.abs().amax(dim=(1, 2)) * GPA

    def _columns(
        self,
        ends: list[tuple[RowStatus, str]],
        final: StructureTable,
        evaluation: Evaluation,
        residual: Tensor,
    ) -> dict[str, Array]:
        norms = np.linalg.norm(evaluation.forces.numpy(), axis=1)
        fmax = [norms[final.atoms_of(i)].max(initial=0.0) for i in range(len(final))]
        columns: dict[str, Array] = {
            "status": np.array([status.value for status, _ in ends], dtype=str),
            "message": np.array([message for _, message in ends], dtype=str),
            "energy": evaluation.energy.numpy(),
            "n_atoms": final.n_atoms,
            "volume": final.volumes(),
            "stress": np.stack([evaluation.stress[:, i, j].numpy() for i, j in VOIGT], axis=1),
            "fmax": np.array(fmax, dtype=float),
            "stress_max": residual.numpy(),
        }
        groups = spacegroup_numbers(final, self.parameters.symprecs)
        return columns | {f"spacegroup_{label}": numbers for label, numbers in groups.items()}


def _geometry(table: StructureTable) -> dict[str, Any]:
    return {name: getattr(table, name) for name in ("ids", "numbers", "positions", "cells", "pbc", "offsets")}


def _no_evaluation(batch: Batch) -> Evaluation:
    """Return NaN for all that a model says of ``batch``."""
    return Evaluation(
        torch.full((len(batch),), torch.nan, dtype=torch.float64, device=batch.device),
        torch.full_like(batch.positions, torch.nan),
        torch.full_like(batch.cells, torch.nan),
    )


def _result(table: StructureTable, columns: dict[str, Array], evaluation: Evaluation) -> StructureTable:
    """Return the geometry of ``table`` with ``columns`` and the forces of ``evaluation``, and their units."""
    return StructureTable(
        **_geometry(table),
        columns=columns,
        atom_columns={"forces": evaluation.forces.numpy()},
        units={name: UNITS[name] for name in (*columns, "forces") if name in UNITS},
    )


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(
        error
    )
