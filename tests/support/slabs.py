"""Slabs, wires and molecules for the engine's tests."""

from __future__ import annotations

import ase.build
import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

TURN = Rotation.random(random_state=3).as_matrix()  # a rotation that maps no axis onto another


def slab(n_layers: int = 3, *, size: tuple[int, int] = (1, 1), a: float = 3.2) -> Atoms:
    """Return bcc(100) Mo on W, whose topmost layers relax: layer group 55 (p4mm), periodic along a and b."""
    atoms = ase.build.bcc100("W", (*size, n_layers), a=a, vacuum=5.0)
    atoms.numbers[-size[0] * size[1] :] = 42
    return atoms


def turned(atoms: Atoms) -> Atoms:
    """Return ``atoms``, cell included, rotated in space."""
    other = atoms.copy()
    other.set_cell(atoms.cell[:] @ TURN.T)
    other.positions = atoms.positions @ TURN.T
    return other


def permuted(atoms: Atoms, order: list[int]) -> Atoms:
    """Return ``atoms`` with its lattice vectors in another order."""
    other = atoms.copy()
    other.set_cell(atoms.cell[order])
    other.pbc = atoms.pbc[order]
    return other


def tilted(atoms: Atoms) -> Atoms:
    """Return ``atoms`` with a third lattice vector that is not perpendicular to the others."""
    other = atoms.copy()
    other.set_cell(atoms.cell[:] + np.array([[0, 0, 0], [0, 0, 0], [0.9, 0.4, 0.0]]))
    return other


def wire() -> Atoms:
    """Return a zigzag chain along z."""
    return Atoms("WW", [[0.5, 0, 0], [-0.5, 0, 2.3]], cell=[9, 8, 4.6], pbc=(False, False, True))


def molecule() -> Atoms:
    """Return a bent molecule, with the shape of water."""
    return Atoms("WMo2", [[0, 0, 0], [1.9, 0, 1.2], [-1.9, 0, 1.2]])
