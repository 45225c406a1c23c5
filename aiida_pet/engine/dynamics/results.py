"""What is sampled of each row, frames of its path, and the columns that samples become."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.dynamics.barostats import pressures, volumes_of
from aiida_pet.engine.dynamics.motion import Motion, Scene
from aiida_pet.engine.dynamics.sampling import Blocks, Slope
from aiida_pet.tables.table import Array
from aiida_pet.units import BOLTZMANN, FEMTOSECOND, GPA, VOIGT, VOIGT_PAIRS

QUANTITIES = ("potential_energy", "temperature", "pressure", "volume", "conserved", *VOIGT)
"""Sampled: eV, K, GPa, A^3, eV, and the components of the stress, GPa."""
_SUMMED = 4  # of these, the first have mean, deviation and error in columns of their own


def quantities_of(motion: Motion, evaluation: Evaluation, scene: Scene, conserved: Tensor) -> Tensor:
    """Return the (N, Q) :data:`QUANTITIES` of rows whose step is complete.

    :param conserved: (N,) eV.
    """
    tensor = pressures(motion, evaluation, scene) * GPA
    temperature = 2.0 * scene.kinetic(motion.velocities) / (scene.conditions.dof * BOLTZMANN)
    mean = torch.diagonal(tensor, dim1=1, dim2=2).mean(dim=1)
    first = [evaluation.energy, temperature, mean, volumes_of(motion.cells), conserved]
    return torch.stack([*first, *(-tensor[:, i, j] for i, j in VOIGT_PAIRS)], dim=1)


def frame_of(
    motion: Motion, values: Tensor, place: int, atoms: slice, *, time: float, velocities: bool
) -> dict[str, Array]:
    """Return one frame of the row at ``place``, as :class:`~aiida_pet.job.trajectory_files.Frames` has its series.

    :param values: (N, Q) of :func:`quantities_of`.
    :param atoms: atoms of the row in the batch.
    :param time: fs.
    :param velocities: whether they are kept.
    """
    series: dict[str, Any] = {
        "steps": int(motion.steps[place]),
        "times": time,
        "positions": motion.positions[atoms].cpu().numpy().astype(np.float32),
        "cells": motion.cells[place].cpu().numpy(),
        "energies": float(values[place, 0]),
        "temperatures": float(values[place, 1]),
        "pressures": float(values[place, 2]),
    }
    if velocities:
        fast = motion.velocities[atoms] * FEMTOSECOND
        series["velocities"] = fast.cpu().numpy().astype(np.float32)
    return {name: np.asarray(value)[None] for name, value in series.items()}


def columns_of_samples(blocks: Blocks, drift: Slope, n_atoms: Array) -> dict[str, Array]:
    """Return the columns of N rows with ``n_atoms`` (N,) atoms.

    LAMBench divides by time in ASE's unit, 0.0982 per fs, takes that for fs, and so calls eV/atom/ps what is 10.2 times
    as much.
    """
    means, deviations, errors = (
        values.cpu().numpy() for values in (blocks.means, blocks.deviations, blocks.errors)
    )
    columns: dict[str, Array] = {"n_samples": blocks.count[:, 0].cpu().numpy()}
    for place, name in enumerate(QUANTITIES[:_SUMMED]):
        columns[f"mean_{name}"] = means[:, place]
        columns[f"std_{name}"] = deviations[:, place]
        columns[f"error_{name}"] = errors[:, place]
    slope = drift.values.cpu().numpy()
    columns["std_conserved"] = deviations[:, 4] / np.maximum(n_atoms, 1)
    columns["drift"] = slope
    columns["lambench_drift"] = np.abs(slope) / FEMTOSECOND
    columns["mean_stress"] = means[:, _SUMMED + 1 :]
    return columns
