"""What a row brings in the columns of :mod:`~aiida_pet.job.given_columns`, checked."""

from __future__ import annotations

import numpy as np

from aiida_pet.job.given_columns import FC2_SUPERCELL, FC3_SUPERCELL, GIVEN_COLUMNS, MESH, GivenColumn
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.table import Table


def given_of_row(table: Table, row: int, name: str) -> Array | None:
    """Return what a row brings in column ``name``, float64; None if it brings nothing (NaN or zeros throughout).

    :raises ValueError: naming the column, its value and what was expected.
    """
    if name not in table.columns:
        return None
    value = table.columns[name][row]
    try:
        return fitted(name, value)
    except ValueError:
        raise ValueError(
            f"{name} = {np.asarray(value).tolist()}: expected {GIVEN_COLUMNS[name].expected}"
        ) from None


def given_supercells(table: Table, row: int) -> tuple[Array, Array] | None:
    """Return the supercells of second and third order that a row brings, None if it lacks one of them.

    :raises ValueError: as :func:`given_of_row`, of its mesh too, since forces for a mesh that is none would cost hours.
    """
    given_of_row(table, row, MESH)
    second, third = (given_of_row(table, row, name) for name in (FC2_SUPERCELL, FC3_SUPERCELL))
    return None if second is None or third is None else (second, third)


def fitted(name: str, numbers: Array) -> Array | None:
    """Return ``numbers`` as column ``name`` has them, float64; None if they stand for nothing (NaN or zeros).

    :param name: one of :data:`GIVEN_COLUMNS`.
    :param numbers: of any shape; 3 numbers are the diagonal of a matrix, 9 are a matrix row by row.
    :raises ValueError: with what was expected.
    """
    column = GIVEN_COLUMNS[name]
    if np.asarray(numbers).dtype.kind == "b":  # true and false would be read as 1 and 0
        raise ValueError(column.expected)
    found = np.asarray(numbers, dtype=np.float64)
    if np.isnan(found).all() or not found.any():
        return None
    if column.shape == (3, 3) and found.shape == (3,):
        is_fit, found = bool((found > 0).all()), np.diag(found)
    elif column.shape == (3, 3) and found.shape == (9,):
        is_fit, found = True, found.reshape(3, 3)
    else:
        is_fit = found.shape == (column.shape or (len(np.atleast_1d(found)), 5))
    if not (is_fit and np.isfinite(found).all() and _holds(column, found)):
        raise ValueError(column.expected)
    return found


def _holds(column: GivenColumn, found: Array) -> bool:
    """Return whether finite numbers of the right shape are what the column holds."""
    if column.shape is None:  # supercells and atoms, counted from 0
        return bool((found[:, :2] >= 0).all() and _are_whole(found[:, :2]))
    if column.is_whole and not _are_whole(found):
        return False
    if column.shape == (3, 3):
        determinant = float(np.linalg.det(found))
        return determinant > 0.5 if column.is_whole else abs(determinant) > 1e-6
    return bool((found > 0).all())


def _are_whole(found: Array) -> bool:
    return bool((found == np.round(found)).all())
