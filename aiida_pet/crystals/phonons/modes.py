"""Single modes of a crystal: how its atoms move at a q-point, and the crystal displaced along its softest mode.

The eigenvector e of a mode of the dynamical matrix moves atom s of the cell at R by Re[e_s / sqrt(m_s) exp(2 pi i q .
(R + r_s))], which is phonopy's convention. Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import lcm
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["Modes", "SoftMode", "commensurate_matrix", "modes_at", "softest_mode"]


@dataclass(frozen=True)
class Modes:
    """The 3 P modes of a crystal at one q-point.

    :ivar q: (3,) in the reciprocal basis of the primitive cell.
    :ivar frequencies: (3 P,) THz, in ascending order, imaginary ones negative.
    :ivar eigenvectors: (3 P, P, 3) complex, of unit norm.
    :ivar displacements: (3 P, P, 3) complex, eigenvector over the root of the mass, the largest atom's norm being 1.
    """

    q: Floats
    frequencies: Floats
    eigenvectors: NDArray[np.complex128]
    displacements: NDArray[np.complex128]


@dataclass(frozen=True)
class SoftMode:
    """A crystal displaced along its softest mode.

    :ivar frequency: frequency of the mode, THz, negative.
    :ivar q: (3,) in the reciprocal basis of the primitive cell.
    :ivar matrix: (3, 3) int; the supercell is ``matrix.T @ primitive cell``, the smallest in which the mode repeats.
    :ivar displacements: (A, 3), A.
    :ivar atoms: the supercell with its atoms displaced.
    """

    frequency: float
    q: Floats
    matrix: Integers
    displacements: Floats
    atoms: Atoms


def modes_at(phonopy: Phonopy, q: Any) -> Modes:
    """Return the modes at ``q`` (3,), in the reciprocal basis of the primitive cell.

    :param phonopy: with force constants.
    """
    point = np.asarray(q, dtype=np.float64)
    found = phonopy.run_qpoints([point], with_eigenvectors=True)
    n_atoms = len(phonopy.primitive)
    eigenvectors = found.eigenvectors[0].T.reshape(3 * n_atoms, n_atoms, 3)
    displacements = eigenvectors / np.sqrt(phonopy.primitive.masses)[:, None]
    largest = np.linalg.norm(displacements, axis=2).max(axis=1)
    return Modes(point, found.frequencies[0], eigenvectors, displacements / largest[:, None, None])


def softest_mode(phonopy: Phonopy, amplitude: float, *, imaginary_threshold: float = 0.0) -> SoftMode:
    """Return the crystal displaced along its softest mode among those that are periodic in the supercell.

    Of modes of one frequency the first is taken, at the q-point in the smallest supercell.

    :param phonopy: with force constants.
    :param amplitude: displacement of the atom that moves most, A.
    :param imaginary_threshold: there must be a mode below minus this, THz.
    :raises ValueError: if no mode is below.
    """
    points = get_commensurate_points(phonopy.supercell_matrix)
    frequencies = phonopy.run_qpoints(points).frequencies.min(axis=1)
    lowest = float(frequencies.min())
    if not lowest < -imaginary_threshold:
        raise ValueError(
            f"no mode to follow: the softest mode of the supercell has {lowest:.4g} THz, the threshold is"
            f" {-imaginary_threshold:g} THz"
        )
    candidates = np.flatnonzero(frequencies < lowest + 1e-4 * abs(lowest))
    q = min((points[index] for index in candidates), key=lambda point: _order(point, phonopy))
    matrix = commensurate_matrix(q, phonopy.primitive.cell, _order(q, phonopy))
    phonopy.run_modulations(matrix, [(q, 0, 1.0, 0.0)])
    modulations, supercell = phonopy.get_modulations_and_supercell()
    displacements = modulations[0].real
    displacements *= amplitude / np.linalg.norm(displacements, axis=1).max()
    atoms = Atoms(
        numbers=supercell.numbers,
        positions=supercell.positions + displacements,
        cell=supercell.cell,
        pbc=True,
    )
    return SoftMode(lowest, q, matrix, displacements, atoms)


def commensurate_matrix(q: Floats, cell: Floats, order: int) -> Integers:
    """Return the (3, 3) matrix of the smallest supercell of ``cell`` in which a wave with ``q`` is periodic.

    It has ``order`` cells: of all sublattices of that index, in Hermite normal form, the one on which q . L is whole.
    The basis is Minkowski-reduced, the determinant positive.

    :param q: (3,) in the reciprocal basis of ``cell``, fractions with the common denominator ``order``.
    :param cell: (3, 3), A.
    """
    numerators = np.round(q * order).astype(np.int64)
    for a, b in product(range(1, order + 1), repeat=2):
        if order % (a * b):
            continue
        c = order // (a * b)
        for d, e, f in product(range(b), range(c), range(c)):
            rows = np.array([[a, d, e], [0, b, f], [0, 0, c]])
            if not (rows @ numerators % order).any():
                reduced, _ = minkowski_reduce(rows @ cell)
                matrix = np.round(np.linalg.solve(cell.T, reduced.T)).astype(np.int64)
                return matrix if np.linalg.det(matrix) > 0 else -matrix
    raise ValueError(f"q = {q.tolist()} is not commensurate with {order} cells")


def _order(q: Floats, phonopy: Phonopy) -> int:
    """Return the number of cells after which a wave with ``q`` repeats: the common denominator of its components."""
    n_cells = round(np.linalg.det(phonopy.supercell_matrix))
    return lcm(*(Fraction(float(component)).limit_denominator(n_cells).denominator for component in q))
