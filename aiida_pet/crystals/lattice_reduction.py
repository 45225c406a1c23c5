"""Short bases of skewed lattices.

A lattice has many bases, and a file may hold any of them: c + 3000 a spans with a and b what c does. Whatever looks for
neighbours looks at images along the vectors of a basis, so it takes a short one first (Minkowski's, over the periodic
directions only) and turns its answer back. Free of torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

#: A; numbers of a cell or of positions beyond this are known to 1e-7 A at best, and so would be every distance.
LARGEST_COORDINATE = 1e9


class LatticeReductionError(ValueError):
    """Raised when a lattice has no short basis, since its vectors span nothing or are too long to be distinguished."""


def reduced_basis(cell: NDArray[Any], pbc: NDArray[Any]) -> NDArray[np.int64]:
    """Return the (3, 3) integer matrix M for which the periodic vectors of ``M @ cell`` are Minkowski-reduced.

    Vectors of directions that are not periodic are left as they are. The determinant of M is 1 or -1.

    :param cell: (3, 3) A, lattice vectors in rows.
    :param pbc: (3,) bool.
    :raises LatticeReductionError: if there is no such basis.
    """
    periodic = np.asarray(pbc, dtype=bool)
    vectors = np.where(periodic[:, None], np.asarray(cell, dtype=np.float64), 0.0)
    if periodic.sum() < 2:
        return np.eye(3, dtype=np.int64)
    largest = np.abs(vectors).max()
    if not largest < LARGEST_COORDINATE:
        raise LatticeReductionError(
            f"a lattice vector has a component of {largest:.3g} A: expected less than {LARGEST_COORDINATE:g} A, since "
            "longer vectors are not precise enough"
        )
    try:
        with np.errstate(all="ignore"):
            reduced, operation = minkowski_reduce(vectors, periodic)
    except (RuntimeError, ValueError, OverflowError) as error:
        raise LatticeReductionError(f"the lattice vectors have no reduced basis: {error}") from error
    basis = np.asarray(operation, dtype=np.int64)
    basis[~periodic] = np.eye(3, dtype=np.int64)[~periodic]
    if not np.isfinite(reduced).all() or abs(round(np.linalg.det(basis.astype(np.float64)))) != 1:
        raise LatticeReductionError("the lattice vectors have no reduced basis")
    return basis
