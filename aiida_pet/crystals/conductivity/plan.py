"""Which cells a crystal's displacements of second and third order are made in: its own, or chosen by a rule.

The rule is the same as for phonons (:mod:`aiida_pet.crystals.phonons.supercells`): of the supercells that have the full
point group the smallest in which images are so far apart. The unit cell is then a primitive cell of the crystal. A
crystal that comes with supercells, relative to its own cell, keeps them: its cell is the unit cell, and phono3py finds
the primitive one, as the kappa_SRME benchmark has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_pet.crystals.conductivity.cells import ThirdOrderCells
from aiida_pet.crystals.phonons.supercells import choose_supercell, given_matrix, shortest_image
from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["ChosenCells", "cells_as_given", "cells_by_rule", "is_metal"]

_NO_METALS = frozenset(
    "H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Sb Te I Xe Po At Rn".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class ChosenCells:
    """The cells of a crystal of A atoms.

    :ivar cells: unit cell and supercells.
    :ivar unit_matrix: (3, 3); the unit cell is ``unit_matrix.T @ cell`` of the crystal.
    :ivar unit_atoms: (U,) int, the atoms that make the unit cell.
    :ivar image: shortest distance between images in the supercell of third order, A.
    :ivar capped: whether one of the supercells is smaller than asked for.
    """

    cells: ThirdOrderCells
    unit_matrix: Floats
    unit_atoms: Integers
    image: float
    capped: bool


@dataclass(frozen=True)
class Rule:
    """How a supercell is chosen: see :func:`aiida_pet.crystals.phonons.supercells.choose_supercell`."""

    min_image: float
    max_atoms: int
    supercell: Sequence[int] | Sequence[Sequence[int]] | None = None


def cells_by_rule(
    cell: Floats, positions: Floats, numbers: NDArray[Any], *, fc2: Rule, fc3: Rule, symprec: float = 1e-5
) -> ChosenCells:
    """Return the primitive cell of a crystal and two supercells of it.

    :raises ValueError: if a supercell that was asked for is none.
    """
    second, third = (
        choose_supercell(
            cell,
            positions,
            numbers,
            min_image=rule.min_image,
            max_atoms=rule.max_atoms,
            supercell=rule.supercell,
            symprec=symprec,
        )
        for rule in (fc2, fc3)
    )
    kept = third.primitive_atoms
    cells = ThirdOrderCells(
        third.primitive_matrix.T @ cell,
        positions[kept],
        numbers[kept],
        fc3_matrix=third.matrix,
        fc2_matrix=second.matrix,
        primitive_matrix=np.eye(3),
        symprec=symprec,
    )
    return ChosenCells(
        cells, third.primitive_matrix, kept, third.min_image, bool(second.capped or third.capped)
    )


def cells_as_given(
    cell: Floats,
    positions: Floats,
    numbers: NDArray[Any],
    *,
    fc2_matrix: Any,
    fc3_matrix: Any,
    symprec: float = 1e-5,
) -> ChosenCells:
    """Return the cell of a crystal itself and two supercells of it.

    :param fc2_matrix: (3, 3), whole numbers, relative to ``cell``.
    :param fc3_matrix: (3, 3), the same.
    :raises ValueError: if one is no such matrix, or makes a supercell of too many atoms.
    """
    second, third = (
        given_matrix(matrix, n_sites=len(numbers), name=name)
        for name, matrix in (("fc2_supercell", fc2_matrix), ("fc3_supercell", fc3_matrix))
    )
    cells = ThirdOrderCells(cell, positions, numbers, fc2_matrix=second, fc3_matrix=third, symprec=symprec)
    image = shortest_image(third.T @ cell)
    return ChosenCells(cells, np.eye(3), np.arange(len(numbers)), image, False)


def is_metal(numbers: NDArray[Any]) -> bool:
    """Return whether all elements of a crystal are metals, so that electrons carry heat as well."""
    return all(chemical_symbols[number] not in _NO_METALS for number in np.unique(numbers))
