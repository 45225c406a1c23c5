"""Which rotations the parameters of a task ask for, row by row.

Sets are fixed in the laboratory frame. A set is reduced by a crystal's own symmetry only where that is exact and stays
so: where a relaxation is held to it, or where nothing moves and the crystal has it to within 1e-6 A. A free relaxation
may leave its symmetry, and has to see the model with all rotations to know.
"""

from __future__ import annotations

import hashlib

import numpy as np

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.rotation_sets import (
    RotationSet,
    icosahedral,
    lebedev,
    octahedral,
    random_rotations,
)
from aiida_pet.crystals.symmetry.spacegroup import operations_of_row
from aiida_pet.engine.symmetry.averaging import RowRotations
from aiida_pet.job.choices import is_proper
from aiida_pet.job.parameters import Averaging, StaticParameters, lebedev_degree
from aiida_pet.tables.crystals import StructureTable

EXACT = 1e-6  # A


class RotationsOfRows:
    """The rotations of each row of a table.

    :param table: the rows, as they start.
    :param parameters: parameters of the task.
    :ivar without_group: rows that should be averaged over their group, and of which none was found.
    """

    def __init__(self, table: StructureTable, parameters: StaticParameters) -> None:
        self.without_group: set[int] = set()
        self._table = table
        self._parameters = parameters
        self.averaging = parameters.averaging
        self._set = _fixed_set(self.averaging)

    def held(self, row: int, operations: Operations) -> RowRotations | None:
        """Return the rotations of a ``row`` that has ``operations`` exactly, and keeps them."""
        if self.averaging == Averaging.SPACEGROUP:
            return RowRotations.of(_group(operations), operations)
        return None if self._set is None else RowRotations.of(self._set, operations)

    def free(self, row: int) -> RowRotations | None:
        """Return the rotations of a ``row`` that may move as it likes."""
        if self.averaging == Averaging.SPACEGROUP:
            return RowRotations.of(_group(self._operations(row, respects_fixed=True)))
        return None if self._set is None else RowRotations.of(self._set)

    def still(self, row: int) -> RowRotations | None:
        """Return the rotations of a ``row`` that does not move."""
        if self.averaging in (Averaging.NONE, Averaging.RANDOM):
            return self.free(row)
        operations = self._operations(row)
        cell, positions = self._table.cells[row], self._table.positions[self._table.atoms_of(row)]
        exact = (
            np.abs(operations.cell - cell).max() < EXACT
            and np.abs(operations.positions - positions).max() < EXACT
        )
        if exact:
            return self.held(row, operations)
        if self.averaging == Averaging.SPACEGROUP:
            return RowRotations.of(_group(operations))
        return self.free(row)

    def random(self, rows: list[int], step: int) -> list[RowRotations | None]:
        """Return one rotation for each of ``rows`` at ``step``, that follows from its id and the seed."""
        keys = np.array([_key(str(self._table.ids[row])) for row in rows], dtype=np.uint64)
        return [
            RowRotations(matrix[None], np.ones(1))
            for matrix in random_rotations(keys, self._parameters.seed, step)
        ]

    def _operations(self, row: int, *, respects_fixed: bool = False) -> Operations:
        """Return the group of ``row``; where nothing moves, it does not matter what is held."""
        found = operations_of_row(self._table, row, self._parameters.symprec, respects_fixed=respects_fixed)
        if not found.symprec and self.averaging == Averaging.SPACEGROUP:
            self.without_group.add(row)
        return found


def _fixed_set(averaging: str) -> RotationSet | None:
    """Return the set that is the same for all rows; None if there is none."""
    degree = lebedev_degree(averaging)
    if degree is not None:
        return lebedev(degree, inversion=not is_proper(averaging))
    match averaging:
        case Averaging.ICOSAHEDRAL:
            return icosahedral()
        case Averaging.OCTAHEDRAL:
            return octahedral()
    return None


def _group(operations: Operations) -> RotationSet:
    n = len(operations)
    return RotationSet(f"space group {operations.number}", operations.cartesian, np.full(n, 1.0 / n))


def _key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
