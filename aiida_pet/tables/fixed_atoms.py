"""Atoms that are held in place: which directions a set leaves to each atom.

A set says so in two columns per atom, True for what is held: ``fixed_cartesian`` (A, 3) along x, y and z, and
``fixed_scaled`` (A, 3) along the lattice vectors, which holds the fractional coordinate along that vector. An atom that
has both is held by both. What is left to an atom is a projector: the fractional coordinate s_i = x . b_i stays the same
if and only if the atom moves perpendicular to the dual vector b_i, and the Cartesian coordinate if it moves
perpendicular to the axis.

Constraints of another kind are not read: a set names them in its text column ``constraints_not_read``. Free of torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable

Flags = NDArray[np.bool_]

CARTESIAN = "fixed_cartesian"
SCALED = "fixed_scaled"
NOT_READ = "constraints_not_read"
COLUMNS = (CARTESIAN, SCALED)  #: per atom, (A, 3) bool


def is_fixed(table: StructureTable, part: slice = slice(None)) -> Flags:
    """Return which components of the atoms of ``table`` are held, (A, 6) bool: x, y, z, then the lattice vectors.

    :param part: only of these atoms.
    """
    flags = np.zeros((len(table.numbers[part]), 6), dtype=bool)
    for place, name in enumerate(COLUMNS):
        if name in table.atom_columns:
            given = np.asarray(
                table.atom_columns[name][part], dtype=np.float64
            )  # missing values hold nothing
            flags[:, 3 * place : 3 * place + 3] = np.nan_to_num(given) != 0
    return flags


def rows_with_fixed_atoms(table: StructureTable) -> Flags:
    """Return which rows of ``table`` hold an atom, (N,) bool."""
    held = is_fixed(table).any(axis=1)
    rows = np.zeros(len(table), dtype=bool)
    rows[np.repeat(np.arange(len(table)), table.n_atoms)[held]] = True
    return rows


def unread_constraints(table: StructureTable) -> dict[int, str]:
    """Return row -> names of its constraints that were not read, for the rows that have such."""
    if NOT_READ not in table.columns:
        return {}
    names = [str(text).strip() for text in table.columns[NOT_READ].tolist()]
    return {row: text for row, text in enumerate(names) if text and text not in ("None", "nan")}


def allowed_directions(table: StructureTable, row: int, cell: Floats | None = None) -> Floats | None:
    """Return the projectors (A, 3, 3) on the directions in which the atoms of ``row`` may move; None if in all.

    They are symmetric, and exactly 1 or 0 for an atom that is free or held in all directions.

    :param cell: (3, 3), A, whose dual vectors count; that of the table if not given. Vectors that span no volume are
        replaced by perpendicular ones.
    """
    part = table.atoms_of(row)
    flags = is_fixed(table, part)
    if not flags.any():
        return None
    cell = table.cells[row] if cell is None else cell
    return projectors(flags, np.concatenate([np.eye(3), dual_vectors(cell, table.pbc[row])]))


def projectors(flags: Flags, directions: Floats) -> Floats:
    """Return (A, 3, 3): what is left of space without the ``directions`` (6, 3) at which ``flags`` (A, 6) are True."""
    kinds, which = np.unique(flags, axis=0, return_inverse=True)
    return np.stack([_without(directions[kind]) for kind in kinds])[which.reshape(-1)]


def dual_vectors(cell: Floats, pbc: Flags) -> Floats:
    """Return the dual vectors of ``cell`` in rows, (3, 3) 1/A, of any length: b_i is perpendicular to the others."""
    if abs(np.linalg.det(cell)) <= 1e-8 * np.prod(np.linalg.norm(cell, axis=1)):
        cell = completed_cell(cell, pbc)
    return np.asarray(np.linalg.inv(cell).T)


def completed_cell(cell: Floats, pbc: Flags) -> Floats:
    """Return ``cell`` with vectors that are not periodic replaced by unit vectors across those that are."""
    kept = np.array(cell, dtype=np.float64)
    basis = [vector / np.linalg.norm(vector) for vector in kept[pbc]]
    for place in np.flatnonzero(~pbc):
        for axis in (np.eye(3)[place], *np.eye(3)):
            rest = _without(np.array(basis).reshape(-1, 3)) @ axis
            if np.linalg.norm(rest) > 0.1:
                kept[place] = rest / np.linalg.norm(rest)
                basis.append(kept[place])
                break
    return kept


def _without(directions: Floats) -> Floats:
    """Return the projector (3, 3) on what is perpendicular to ``directions`` (M, 3)."""
    unit = directions / np.linalg.norm(directions, axis=1)[:, None]
    _, values, vectors = np.linalg.svd(unit) if len(unit) else (None, np.zeros(0), np.eye(3))
    rank = int((values > 1e-6).sum())
    if rank == 0:
        return np.eye(3)
    rest = vectors[rank:]
    projector: Floats = rest.T @ rest if len(rest) else np.zeros((3, 3))
    return projector
