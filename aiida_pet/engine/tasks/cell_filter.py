"""Positions and cell as one set of coordinates: the log-deformation of ASE's ``FrechetCellFilter``, in batch.

Per row: cell = cell0 F with F = exp(A), A symmetric; positions = x F. Coordinates are x (A, 3) and n A (N, 3, 3), n the
number of atoms (ASE's default ``exp_cell_factor``), so that cell and atoms step alike. The force on A is the symmetric
part of the adjoint Frechet derivative of exp at A, here in closed form from the eigenvectors of A:
L(A, X) = Q (Phi * (Q^T X Q)) Q^T, Phi_ij = (exp a_i - exp a_j) / (a_i - a_j) (Higham, Functions of Matrices, 2008,
Thm 3.11). Keeping A symmetric keeps rotations out of the cell: an unconstrained model would otherwise turn the crystal.
F commutes with the point group if the stress was projected onto it, so symmetry operations of the start stay valid.

Of a slab (``cell = plane``) A lies in the plane of the two periodic vectors, and the third vector stays as it is.

Atoms that are held keep components of x: fractional coordinates then stay the same whatever the cell does, and a
Cartesian coordinate is held in the frame of cell0, which F carries along with everything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.tasks.row_state import PER_ATOM
from aiida_pet.job.parameters import CellFilter


@dataclass(frozen=True)
class Coordinates:
    """Generalised coordinates, or forces on them, or a step of them.

    :ivar atoms: (A, 3).
    :ivar cell: (N, 3, 3).
    """

    atoms: Tensor = field(metadata=PER_ATOM)
    cell: Tensor

    def __add__(self, other: Coordinates) -> Coordinates:
        return Coordinates(self.atoms + other.atoms, self.cell + other.cell)

    def __sub__(self, other: Coordinates) -> Coordinates:
        return Coordinates(self.atoms - other.atoms, self.cell - other.cell)

    def scaled(self, factor: Tensor, batch: Batch) -> Coordinates:
        """Return each row times its ``factor`` (N,)."""
        return Coordinates(self.atoms * factor[batch.row_of_atom, None], self.cell * factor[:, None, None])

    def dot(self, other: Coordinates, batch: Batch) -> Tensor:
        """Return the (N,) scalar products."""
        return batch.row_sum((self.atoms * other.atoms).sum(dim=1)) + (self.cell * other.cell).sum(dim=(1, 2))

    def longest(self, batch: Batch) -> Tensor:
        """Return the (N,) largest norm of an atom's or a lattice row's vector."""
        atoms = batch.row_max(torch.linalg.vector_norm(self.atoms, dim=1))
        return torch.maximum(atoms, torch.linalg.vector_norm(self.cell, dim=2).amax(dim=1))

    @staticmethod
    def zeros(batch: Batch) -> Coordinates:
        """Return zero for each coordinate of ``batch``."""
        return Coordinates(torch.zeros_like(batch.positions), torch.zeros_like(batch.cells))


def planes(batch: Batch) -> Tensor:
    """Return the projectors (N, 3, 3) on the planes of slabs; of other rows the zero."""
    periodic = batch.pbc.double()
    is_slab = periodic.sum(dim=1) == 2
    missing = (1 - periodic).argmax(dim=1)
    row = torch.arange(len(batch), device=batch.device)
    normal = torch.linalg.cross(batch.cells[row, (missing + 1) % 3], batch.cells[row, (missing + 2) % 3])
    normal = normal / torch.linalg.vector_norm(normal, dim=1, keepdim=True)
    identity = torch.eye(3, dtype=batch.cells.dtype, device=batch.device)
    inside = identity - normal[:, :, None] * normal[:, None, :]
    return torch.where(is_slab[:, None, None], inside, torch.zeros_like(inside))


def free_stress(stress: Tensor, pressure: float, cell: CellFilter, batch: Batch) -> Tensor:
    """Return the part of ``stress`` + ``pressure`` that the cell may relax, (N, 3, 3).

    :param stress: (N, 3, 3), eV/A^3, ASE's sign.
    :param pressure: eV/A^3.
    :param batch: the rows.
    """
    identity = torch.eye(3, dtype=stress.dtype, device=stress.device)
    total = stress + pressure * identity
    mean = (total.diagonal(dim1=1, dim2=2).sum(dim=1) / 3.0)[:, None, None] * identity
    match cell:
        case CellFilter.VOLUME:
            return mean
        case CellFilter.SHAPE:
            return total - mean
        case CellFilter.PLANE:
            inside = planes(batch)
            return inside @ stress @ inside
        case _:
            return total


def to_geometry(x: Coordinates, cells0: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the positions (A, 3) and cells (N, 3, 3) at coordinates ``x``; vectors that are not periodic stay."""
    values, vectors = torch.linalg.eigh(x.cell / batch.n_atoms[:, None, None])
    deformation = (vectors * values.exp()[:, None, :]) @ vectors.mT
    positions = torch.einsum("ai,aij->aj", x.atoms, deformation[batch.row_of_atom])
    return positions, torch.where(batch.pbc[:, :, None], cells0 @ deformation, cells0)


def free_forces(x: Coordinates, forces: Tensor, allowed: Tensor, batch: Batch) -> Tensor:
    """Return ``forces`` (A, 3) less what acts on components that are held, in the frame of the deformed crystal.

    :param allowed: (A, 3, 3), projectors on the components of ``x`` that are not held.
    """
    values, vectors = torch.linalg.eigh(x.cell / batch.n_atoms[:, None, None])
    exponent = values.exp()[:, None, :]
    deformation, inverse = (vectors * exponent) @ vectors.mT, (vectors / exponent) @ vectors.mT
    of_x = torch.einsum("ai,aij->aj", forces, deformation[batch.row_of_atom])
    rest = torch.einsum("aij,aj->ai", allowed, of_x)
    is_free = (allowed == torch.eye(3, dtype=allowed.dtype, device=allowed.device)).all(dim=(1, 2))
    return torch.where(is_free[:, None], forces, torch.einsum("ai,aij->aj", rest, inverse[batch.row_of_atom]))


def to_forces(
    x: Coordinates,
    forces: Tensor,
    free: Tensor,
    batch: Batch,
    cell: CellFilter,
    *,
    allowed: Tensor | None = None,
) -> Coordinates:
    """Return the forces on the coordinates ``x``.

    :param forces: (A, 3), eV/A.
    :param free: (N, 3, 3), the free stress, eV/A^3.
    :param allowed: (A, 3, 3), projectors on the components of ``x`` that are not held; None if nothing is.
    """
    if cell is CellFilter.FIXED:
        atoms = forces if allowed is None else torch.einsum("aij,aj->ai", allowed, forces)
        return Coordinates(atoms, torch.zeros_like(free))
    values, vectors = torch.linalg.eigh(x.cell / batch.n_atoms[:, None, None])
    exponent = values.exp()[:, None, :]
    deformation = (vectors * exponent) @ vectors.mT
    inverse = (vectors / exponent) @ vectors.mT
    virial = -free * batch.volumes()[:, None, None]
    mean = (values[:, :, None] + values[:, None, :]) / 2.0
    half = (values[:, :, None] - values[:, None, :]) / 2.0
    sinhc = torch.where(
        half.abs() < 1e-4, 1.0 + half**2 / 6.0, torch.sinh(half) / torch.where(half == 0, 1.0, half)
    )
    log_force = vectors @ ((mean.exp() * sinhc) * (vectors.mT @ (virial @ inverse) @ vectors)) @ vectors.mT
    log_force = (log_force + log_force.mT) / 2.0
    if cell is CellFilter.SHAPE:
        identity = torch.eye(3, dtype=free.dtype, device=free.device)
        trace = log_force.diagonal(dim1=1, dim2=2).sum(dim=1)
        log_force = log_force - (trace / 3.0)[:, None, None] * identity
    if cell is CellFilter.PLANE:
        inside = planes(batch)
        log_force = inside @ log_force @ inside
    atoms = torch.einsum("ai,aij->aj", forces, deformation[batch.row_of_atom])
    if allowed is not None:
        atoms = torch.einsum("aij,aj->ai", allowed, atoms)
    return Coordinates(atoms, log_force / batch.n_atoms[:, None, None])
