"""Forces of smooth pairs, for tests of what is done with forces: quick, and of any crystal."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list


def pair_forces(atoms: Atoms, *, scale: float = 2.6, cutoff: float = 5.0) -> np.ndarray:
    """Return (A, 3) forces, eV/A, of a Morse potential between all pairs, deeper for heavier ones."""
    i, j, distances, vectors = neighbor_list("ijdD", atoms, cutoff)
    depth = 0.01 * np.sqrt(atoms.numbers[i] * atoms.numbers[j]) ** 0.5
    decay = np.exp(-1.4 * (distances - scale))
    slope = 2 * 1.4 * depth * (decay - decay**2)
    energy = depth * (decay**2 - 2 * decay)
    window = (1 - (distances / cutoff) ** 2) ** 3
    window_slope = -6 * distances / cutoff**2 * (1 - (distances / cutoff) ** 2) ** 2
    along = (slope * window + energy * window_slope) / distances
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, along[:, None] * vectors)
    return forces


def displaced_forces(phonopy, positions: np.ndarray, forces=pair_forces) -> np.ndarray:
    """Return (D, S, 3) forces, eV/A, on the supercells of ``phonopy`` with these positions (D, S, 3)."""
    supercell = phonopy.supercell
    return np.array(
        [forces(Atoms(supercell.numbers, positions=one, cell=supercell.cell, pbc=True)) for one in positions]
    )
