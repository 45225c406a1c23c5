"""Random alloys of the elements that the model that ships knows."""

from __future__ import annotations

import ase.build
import numpy as np
from ase import Atoms

ELEMENTS = (41, 42, 73, 74)


def random_alloy(
    rng: np.random.Generator, n_cells: tuple[int, int, int], *, strain: float, rattle: float
) -> Atoms:
    """Return a random decoration of a bcc supercell, sheared and rattled (A)."""
    atoms = ase.build.bulk("Mo", a=3.2, cubic=bool(rng.integers(2))) * n_cells
    atoms.numbers = rng.choice(ELEMENTS, len(atoms))
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=strain, size=(3, 3))), scale_atoms=True)
    atoms.rattle(rattle, rng=rng)
    return atoms
