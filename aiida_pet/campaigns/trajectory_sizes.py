"""What a launch of molecular dynamics would evaluate and write, counted before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aiida_pet.job.dynamics_parameters import DynamicsParameters
from aiida_pet.job.trajectory_files import bytes_of
from aiida_pet.tables.crystals import StructureTable

MOST_WITHOUT_ASKING = 20 * 10**9
"""Bytes of trajectories that are written without being asked for by ``--yes``."""


@dataclass(frozen=True)
class DynamicsCost:
    """What a launch evaluates and writes.

    :ivar evaluations: number of evaluations of single crystals, including inner steps.
    :ivar frames: number of frames of all trajectories.
    :ivar n_bytes: number of bytes of all frames, before they are compressed.
    :ivar failed: empty: nothing is tried beforehand.
    :ivar metals: empty: of no importance here.
    """

    evaluations: int
    frames: int
    n_bytes: int
    remedy: str = (
        "write frames further apart (--set frames_every), write none (frames_every=0), or take a smaller set"
    )
    failed: dict[str, str] = field(default_factory=dict)
    metals: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """What it is in words."""
        size = f"{self.n_bytes / 1e9:,.3g} GB" if self.n_bytes else "nothing"
        return f"{self.evaluations:,} evaluations; {self.frames:,} frames take at most {size} on disk"

    @property
    def too_much(self) -> bool:
        """Whether it is not written without being asked for."""
        return self.n_bytes > MOST_WITHOUT_ASKING


def size_dynamics(table: StructureTable, raw: dict[str, Any]) -> DynamicsCost:
    """Return what a launch over the crystals of ``table`` would evaluate and write.

    :param raw: parameters of the task.
    """
    parameters = DynamicsParameters.model_validate(raw)
    given = np.asarray(table.columns.get("md_steps", np.full(len(table), np.nan)), dtype=float)
    steps = parameters.steps_before + np.where(np.isnan(given), parameters.steps, given).astype(np.int64)
    outer = int((steps + 1).sum())
    inner = 0 if parameters.respa is None else int((steps * parameters.inner_steps + 1).sum())
    if not parameters.frames_every:
        return DynamicsCost(outer + inner, 0, 0)
    frames = steps // parameters.frames_every + 1
    sizes = np.array([bytes_of(int(n), velocities=parameters.velocities) for n in table.n_atoms])
    return DynamicsCost(outer + inner, int(frames.sum()), int((frames * sizes).sum()))
