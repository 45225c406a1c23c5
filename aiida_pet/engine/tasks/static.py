"""Energy, forces and stress of each crystal as it is."""

from __future__ import annotations

import torch

from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.symmetry.averaging import RowRotations
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import StaticParameters


class Static(Driver[StaticParameters]):
    """Evaluates each row once."""

    SKIN = 1e-3  # rows stand still: enough for rounding, without pairs that the model would mask

    def rotations(self, place: int) -> RowRotations | None:
        """Return the rotations of the row at ``place``, which stands still."""
        return self.rotations_of_rows.still(int(self.rows[place]))

    def advance(self, evaluation: Evaluation) -> None:
        """Retire every row of the batch."""
        finite = torch.isfinite(evaluation.energy) & torch.isfinite(
            self.batch.row_sum(evaluation.forces.abs().sum(dim=1))
        )
        self.retire(
            {
                place: (RowStatus.CONVERGED, "")
                if ok
                else (RowStatus.DIVERGED, "the model gives no finite number")
                for place, ok in enumerate(finite.tolist())
            },
            evaluation,
        )
