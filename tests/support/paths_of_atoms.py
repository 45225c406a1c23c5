"""Trajectories as nodes, and launches that have them, put together by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.data.trajectories import TrajectoriesData
from aiida_pet.job.trajectory_files import Frames, TrajectoryWriter, segments_of
from aiida_pet.workchains.taking_up import RESUMES


def frames_of(first: int, count: int, mark: float = 0.0) -> Frames:
    """Return frames of two atoms that go along (1, 1, 1), one A and 500 fs a frame.

    :param mark: added to the positions.
    """
    steps = np.arange(first, first + count)
    return Frames(
        np.array([42, 73]),
        np.array([True, True, False]),
        {
            "steps": steps,
            "times": 500.0 * steps,
            "positions": np.tile(steps[:, None, None] + mark, (1, 2, 3)).astype(np.float32),
            "velocities": np.full((count, 2, 3), 0.125, dtype=np.float32),
            "cells": np.tile(3.0 * np.eye(3), (count, 1, 1)),
            "energies": -1.0 * steps,
            "temperatures": 300.0 + steps,
            "pressures": 0.5 * steps,
        },
    )


def node_of(folder: Path, *rows: tuple[str, int, Frames]) -> TrajectoriesData:
    """Return a node, not stored, of rows (id, number of the first frame, frames)."""
    folder.mkdir()
    writer = TrajectoryWriter(folder)
    for row in rows:
        writer.append(*row)
    writer.flush()
    return TrajectoriesData.from_segments(segments_of(folder))


def launch_of(*trajectories: TrajectoriesData, takes_up: Any | None = None) -> orm.WorkChainNode:
    """Return a launch with a job for each of ``trajectories``."""
    launch = orm.WorkChainNode()
    if takes_up is not None:
        launch.base.attributes.set("metadata_inputs", {RESUMES: takes_up.uuid})
    launch.store()
    for number, node in enumerate(trajectories):
        job = orm.CalcJobNode()
        job.base.links.add_incoming(launch, LinkType.CALL_CALC, f"job_{number:05d}")
        job.store()
        node.base.links.add_incoming(job, LinkType.CREATE, "trajectories")
        node.store()
    return launch
