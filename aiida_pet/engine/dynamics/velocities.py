"""The velocities with which rows begin."""

from __future__ import annotations

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.dynamics.motion import Scene
from aiida_pet.engine.dynamics.random_numbers import Stream, normals_of_atoms


def maxwell_velocities(scene: Scene, kt: Tensor) -> Tensor:
    """Return (A, 3) velocities of Maxwell and Boltzmann, of rows whose centres of mass are at rest if they are to be.

    :param kt: (N,) eV.
    """
    zero = torch.zeros_like(scene.batch.n_atoms)
    drawn = normals_of_atoms(scene.batch, scene.conditions.keys, zero, Stream.VELOCITIES)
    return scene.held(drawn * torch.sqrt(scene.of_atoms(kt) / scene.masses))


def without_rotation(velocities: Tensor, positions: Tensor, scene: Scene, rows: Tensor) -> Tensor:
    """Return ``velocities`` without the rotation of ``rows`` about their centres of mass.

    :param rows: (N,) bool.
    """
    batch, masses = scene.batch, scene.masses
    total = batch.row_sum(masses)
    centre = batch.row_sum(masses * positions) / total
    apart = positions - centre[batch.row_of_atom]
    momentum = batch.row_sum(masses * torch.linalg.cross(apart, velocities))
    squared = (apart * apart).sum(dim=1)[:, None, None]
    eye = torch.eye(3, dtype=apart.dtype, device=apart.device)
    inertia = batch.row_sum(masses[:, :, None] * (squared * eye - apart[:, :, None] * apart[:, None, :]))
    # of atoms on a line one axis has no inertia, and no momentum either
    omega = torch.einsum("nij,nj->ni", torch.linalg.pinv(inertia, rtol=1e-10, hermitian=True), momentum)
    turning = torch.linalg.cross(omega[batch.row_of_atom], apart)
    return torch.where(rows[batch.row_of_atom, None], velocities - turning, velocities)


def scaled_to(velocities: Tensor, scene: Scene, kt: Tensor) -> Tensor:
    """Return ``velocities`` scaled to exactly ``kt`` (N,) eV; velocities of rows at rest stay zero."""
    kinetic = scene.kinetic(velocities)
    wanted = 0.5 * scene.conditions.dof * kt
    factor = torch.where(kinetic > 0, torch.sqrt(wanted / torch.where(kinetic > 0, kinetic, 1.0)), 0.0)
    return velocities * scene.of_atoms(factor)
