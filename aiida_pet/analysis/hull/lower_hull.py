"""The lower convex hull of energies over one chemical system, and what compositions on it decompose into.

Points are compositions as atomic fractions of the d elements of the system, with an energy; the d corners (the pure
elements) are always among them. The hull is made of simplices of d points each (Barber, Dobkin, Huhdanpaa, ACM Trans.
Math. Softw. 22, 469 (1996), through scipy); two elements need none of it. What a simplex says is checked before it is
believed: it is taken only if no point lies below its plane, and only where no amount is negative. What no simplex
answers is a linear program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, QhullError

from aiida_pet.tables.arrays import Floats

Indices = NDArray[np.int64]

# Simplices of a hull multiply with dimension and points: with more elements a linear program per composition is faster.
MAX_QHULL_ELEMENTS = 6
# Compositions whose determinant is smaller lie in a plane: the simplex has no extent, as on the rim of the system.
_FLAT = 1e-14
# No point may lie deeper below the plane of a simplex, in eV/atom, and no amount be more negative.
_BELOW = 1e-10
_NEGATIVE = 1e-9
# Compositions times simplices that are looked at together.
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Decomposition:
    """What n compositions decompose into.

    :ivar energy: (n,) energy of the hull, per atom.
    :ivar products: (n, d) indices of points.
    :ivar amounts: (n, d) atomic fractions of the products, some of them zero, sum 1.
    """

    energy: Floats
    products: Indices
    amounts: Floats


class LowerHull:
    """The lower hull of points over a chemical system.

    :param fractions: (k, d) atomic fractions; the first d points are the elements, in order.
    :param energies: (k,) energies per atom, such as formation energies.
    """

    def __init__(self, fractions: Floats, energies: Floats) -> None:
        self.fractions, self.energies = fractions, energies
        self.n_elements = fractions.shape[1]
        self.n_programs = 0
        self._simplices = self._find_simplices()
        self._planes = self._find_planes()

    def _find_simplices(self) -> Indices:
        """(f, d) points of each simplex of the lower hull; none where linear programs are to be solved."""
        d, k = self.n_elements, len(self.energies)
        if k == d:
            return np.arange(d)[None]
        if d == 2:
            return _chain(self.fractions[:, 1], self.energies)
        if d > MAX_QHULL_ELEMENTS:
            return np.zeros((0, d), np.int64)
        # One point far above makes the body full-dimensional even if all energies lie in a plane.
        above = np.append(np.full(d - 1, 1.0 / d), self.energies.max() + max(1.0, np.ptp(self.energies)))
        points = np.vstack([np.column_stack([self.fractions[:, 1:], self.energies]), above])
        try:
            found: Indices = ConvexHull(points, qhull_options="Qt").simplices.astype(np.int64)
        except QhullError:
            return np.zeros((0, d), np.int64)
        return found[(found < k).all(axis=1)]

    def _find_planes(self) -> Floats:
        """(f, d) energies at the corners of the system of the plane of each simplex; unsound simplices are dropped."""
        corners = self.fractions[self._simplices]
        sound = np.abs(np.linalg.det(corners)) > _FLAT
        self._simplices, corners = self._simplices[sound], corners[sound]
        planes = np.linalg.solve(corners, self.energies[self._simplices][..., None])[..., 0]
        tolerance = _BELOW * max(1.0, float(np.abs(self.energies).max()))
        sound = (planes @ self.fractions.T <= self.energies + tolerance).all(axis=1)
        self._simplices = self._simplices[sound]
        supporting: Floats = planes[sound]
        return supporting

    @property
    def vertices(self) -> Indices:
        """Indices of the points that the hull is made of, the elements among them, ascending."""
        if len(self._simplices):
            return np.unique(self._simplices)
        d = self.n_elements
        on_hull = self._by_programs(self.fractions[d:]).energy >= self.energies[d:] - _BELOW
        return np.concatenate([np.arange(d), d + np.flatnonzero(on_hull)])

    def decompose(self, fractions: Floats) -> Decomposition:
        """Return what compositions decompose into.

        :param fractions: (n, d) atomic fractions.
        """
        n, d = fractions.shape
        result = Decomposition(np.full(n, np.nan), np.zeros((n, d), np.int64), np.zeros((n, d)))
        if len(self._planes):
            step = max(1, _BLOCK // len(self._planes))
            for start in range(0, n, step):
                block = slice(start, min(start + step, n))
                # a convex function is the largest of its supporting planes
                best = np.argmax(fractions[block] @ self._planes.T, axis=1)
                self._set(result, block, fractions[block], self._simplices[best])
        open_ = np.flatnonzero(np.isnan(result.energy))
        if len(open_):
            rest = self._by_programs(fractions[open_])
            result.energy[open_], result.products[open_], result.amounts[open_] = (
                rest.energy,
                rest.products,
                rest.amounts,
            )
        return result

    def _set(self, result: Decomposition, where: slice | Indices, fractions: Floats, points: Indices) -> None:
        """Set the decompositions into ``points`` (n, d), NaN where an amount would be negative."""
        corners = np.swapaxes(self.fractions[points], 1, 2)
        amounts = np.linalg.solve(corners, fractions[..., None])[..., 0]
        valid = (amounts >= -_NEGATIVE).all(axis=1)
        amounts = np.clip(amounts, 0.0, None)
        amounts /= amounts.sum(axis=1, keepdims=True)
        energy = (amounts * self.energies[points]).sum(axis=1)
        result.energy[where] = np.where(valid, energy, np.nan)
        result.products[where] = points
        result.amounts[where] = amounts

    def _by_programs(self, fractions: Floats) -> Decomposition:
        """Decompose compositions one by one: least energy of non-negative amounts that make up the composition."""
        n, d = fractions.shape
        result = Decomposition(np.full(n, np.nan), np.zeros((n, d), np.int64), np.zeros((n, d)))
        for row in range(n):
            self.n_programs += 1
            found = linprog(self.energies, A_eq=self.fractions.T, b_eq=fractions[row], method="highs-ds")
            if found.x is None:
                raise RuntimeError(f"no decomposition of {fractions[row]} found: {found.message}")
            support = np.flatnonzero(found.x > _NEGATIVE)
            # the solver is exact to 1e-7 or so; its choice of phases is exact
            exact, *_ = np.linalg.lstsq(self.fractions[support].T, fractions[row], rcond=None)
            exact = np.clip(exact, 0.0, None) / np.clip(exact, 0.0, None).sum()
            result.energy[row] = exact @ self.energies[support]
            result.products[row, : len(support)] = support
            result.amounts[row, : len(support)] = exact
        return result


def _chain(x: Floats, energies: Floats) -> Indices:
    """Return the segments of the lower hull over a line: A. M. Andrew, Inf. Process. Lett. 9, 216 (1979).

    :param x: (k,) between the elements at 0 and 1.
    """
    order = np.lexsort((energies, x))
    kept: list[int] = []
    for point in order.tolist():
        while len(kept) > 1 and _turns_right(kept[-2], kept[-1], point, x, energies):
            kept.pop()
        if kept and x[kept[-1]] == x[point]:
            continue
        kept.append(point)
    return np.column_stack([kept[:-1], kept[1:]])


def _turns_right(first: int, middle: int, last: int, x: Floats, energies: Floats) -> bool:
    """Return whether ``middle`` lies on or above the line from ``first`` to ``last``."""
    run, rise = x[last] - x[first], energies[last] - energies[first]
    return bool((energies[middle] - energies[first]) * run >= rise * (x[middle] - x[first]))
