"""What a launch of molecular dynamics would evaluate and write, counted before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aiida_pet.crystals.images import image_distances
from aiida_pet.job.dynamics_columns import RowParameters
from aiida_pet.job.dynamics_parameters import DynamicsParameters
from aiida_pet.job.trajectory_files import bytes_on_disk
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.words import plural, shortened, size

SMALL_CELL = 8.0
"""A, some three bonds: an atom moves in step with its images, and waves that are longer have no room."""
MOST_WITHOUT_ASKING = 20 * 10**9
"""Bytes of trajectories that are written without being asked for by ``--yes``."""


@dataclass(frozen=True)
class DynamicsCost:
    """What a launch evaluates and writes.

    :ivar evaluations: number of evaluations of single crystals, including inner steps.
    :ivar frames: number of frames of all trajectories.
    :ivar n_bytes: largest number of bytes that these take.
    :ivar failed: empty: nothing is tried beforehand.
    :ivar metals: empty: of no importance here.
    :ivar later: empty: there are no other jobs.
    :ivar notes: sentences on the crystals, said once per launch.
    """

    evaluations: int
    frames: int
    n_bytes: int
    remedy: str = (
        "write fewer frames (--set frames_every with a larger number), write none (frames_every=0), or take a "
        "smaller set"
    )
    failed: dict[str, str] = field(default_factory=dict)
    metals: list[str] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What it is in words."""
        evaluated = f"the model {self.evaluations:,} times"
        if not self.n_bytes:
            return f"{evaluated}; no trajectory is written"
        return f"{evaluated}; {plural(self.frames, 'frame')} of trajectories take at most {size(self.n_bytes)} on disk"

    @property
    def too_much(self) -> bool:
        """Whether it is not written without being asked for."""
        return self.n_bytes > MOST_WITHOUT_ASKING


def size_dynamics(table: StructureTable, raw: dict[str, Any]) -> DynamicsCost:
    """Return what a launch over the crystals of ``table`` would evaluate and write.

    :param raw: parameters of the task.
    """
    parameters = DynamicsParameters.model_validate(raw)
    given = RowParameters.of(table).values["steps"]
    steps = parameters.steps_before + np.where(np.isnan(given), parameters.steps, given).astype(np.int64)
    outer = int((steps + 1).sum())
    inner = 0 if parameters.respa is None else int((steps * parameters.inner_steps + 1).sum())
    notes = _notes_on_cells(table)
    if not parameters.frames_every:
        return DynamicsCost(outer + inner, 0, 0, notes=notes)
    frames = steps // parameters.frames_every + 1
    n_bytes = bytes_on_disk(frames, table.n_atoms, velocities=parameters.velocities)
    return DynamicsCost(outer + inner, int(frames.sum()), n_bytes, notes=notes)


def _notes_on_cells(table: StructureTable) -> tuple[str, ...]:
    """Return what is to be said of crystals whose cells are so small that waves have no room in them."""
    small = image_distances(table) < SMALL_CELL
    if not small.any():
        return ()
    ids = table.ids[small].tolist()
    return (
        f"the cells of {len(ids):,} of {plural(len(table), 'crystal')} ({shortened(ids)}) are shorter than "
        f"{SMALL_CELL:g} A: their dynamics lack all motion with longer waves, and their temperatures fluctuate "
        "strongly; make supercells first if this matters",
    )
