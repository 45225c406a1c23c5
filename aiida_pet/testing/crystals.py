"""Small crystals of the elements of the model that ships: ordered ones in a row, and random alloys."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk

from aiida_pet.tables.crystals import StructureTable

ELEMENTS = (41, 42, 73, 74)


def ordered_alloy(index: int, repeat: int = 1) -> Atoms:
    """Return a bcc cell of two atoms, or of ``repeat`` times as many, slightly different for each ``index``."""
    cell = bulk("W", "bcc", a=3.16 + 0.001 * index, cubic=True)
    cell.numbers[1] = ELEMENTS[index % 4]
    return cell.repeat((repeat, 1, 1))


def random_alloy(
    rng: np.random.Generator, n_cells: tuple[int, int, int], *, strain: float, rattle: float
) -> Atoms:
    """Return a random decoration of a bcc supercell, sheared and rattled.

    :param n_cells: repetitions of the cell, primitive or cubic, along its vectors.
    :param strain: standard deviation of the components of the deformation.
    :param rattle: standard deviation of the displacements, A.
    """
    atoms = bulk("Mo", a=3.2, cubic=bool(rng.integers(2))) * n_cells
    atoms.numbers = rng.choice(ELEMENTS, len(atoms))
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=strain, size=(3, 3))), scale_atoms=True)
    atoms.rattle(rattle, rng=rng)
    return atoms


def random_alloys(
    n_rows: int, *, seed: int = 0, strain: float = 0.02, rattle: float = 0.05
) -> StructureTable:
    """Return a table of random alloys ``alloy-000``, ... of 1 to 16 atoms, the same for the same ``seed``."""
    rng = np.random.default_rng(seed)
    sizes = [(int(a), int(b), int(c)) for a, b, c in (rng.integers(1, 3, 3) for _ in range(n_rows))]
    return StructureTable.from_ase(
        (f"alloy-{i:03d}", random_alloy(rng, size, strain=strain, rattle=rattle))
        for i, size in enumerate(sizes)
    )
