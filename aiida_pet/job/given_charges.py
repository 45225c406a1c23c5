"""Born charges and dielectric tensors that rows bring for the correction of long-range dipoles, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from aiida_pet.tables.arrays import Array, Floats
from aiida_pet.tables.crystals import StructureTable

BORN_CHARGES, DIELECTRIC = "born_charges", "dielectric_tensor"
ASYMMETRY = 1e-2
"""Largest asymmetry of a dielectric tensor, relative to its largest component: more is no rounding."""
SUM_RULE = 0.1
"""e, for one atom; numerical errors of N atoms add up to sqrt(N) times as much. Computed charges have up to 0.05 e."""
_TENSOR = (
    "a symmetric 3 x 3 matrix of finite numbers with positive eigenvalues, or NaN throughout for a crystal without "
    "known values"
)
_CHARGES = "a 3 x 3 matrix of finite numbers for each atom (e), or NaN for all atoms of a crystal without known values"


def has_charges(table: StructureTable) -> bool:
    """Return whether the set has both columns."""
    return BORN_CHARGES in table.atom_columns and DIELECTRIC in table.columns


def charges_of_row(table: StructureTable, row: int) -> tuple[Floats, Floats] | None:
    """Return the Born charges (A, 3, 3), e, and the dielectric tensor (3, 3) that a row brings; None if it lacks one.

    :raises ValueError: naming the column, its value and what was expected.
    """
    if not has_charges(table):
        return None
    tensor = np.asarray(table.columns[DIELECTRIC][row])
    charges = np.asarray(table.atom_columns[BORN_CHARGES][table.atoms_of(row)])
    if _is_nothing(tensor) or _is_nothing(charges):
        return None
    return check_charges(charges), check_dielectric(tensor)


def check_dielectric(given: Any) -> Floats:
    """Return a dielectric tensor (3, 3), float64.

    :raises ValueError: if it is none.
    """
    found = np.asarray(given)
    if found.shape == (3, 3) and _are_finite(found):
        found = found.astype(np.float64)
        lopsided = np.abs(found - found.T).max() > ASYMMETRY * np.abs(found).max()
        if not lopsided and np.linalg.eigvalsh(0.5 * (found + found.T)).min() > 0:
            return found
    raise ValueError(f"{DIELECTRIC} = {found.tolist()}: expected {_TENSOR}")


def check_charges(given: Any) -> Floats:
    """Return Born charges (A, 3, 3), e, float64.

    :raises ValueError: if they are none.
    """
    found = np.asarray(given)
    if found.shape[1:] != (3, 3):
        form = "x".join(map(str, found.shape[1:])) or "1"
        raise ValueError(f"{BORN_CHARGES} has {form} values per atom: expected {_CHARGES}")
    for atom, charge in enumerate(found):
        if not _are_finite(charge):
            raise ValueError(
                f"{BORN_CHARGES} = {charge.tolist()} of atom {atom} (counted from 0): expected {_CHARGES}"
            )
    return found.astype(np.float64)


def breaks_sum_rule(charges: Array) -> bool:
    """Return whether the sum of Born charges (A, 3, 3), e, is too far from zero, so that the crystal is not neutral."""
    return bool(np.abs(charges.sum(axis=0)).max() > SUM_RULE * np.sqrt(len(charges)))


def _are_finite(found: Array) -> bool:
    return found.dtype.kind in "fiu" and bool(np.isfinite(found).all())


def _is_nothing(found: Array) -> bool:
    return found.dtype.kind == "f" and bool(np.isnan(found).all())
