"""The supercell in which the phonons of a crystal are computed, chosen by a rule.

Conventions. Lattice vectors are rows. The *unit cell* of everything that has to do with phonons is a primitive cell of
the crystal, right-handed and in the orientation of the crystal as given: nothing is rotated and no atom is moved. It
is the given cell itself where that is primitive (and right-handed). Matrices are phonopy's: a ``matrix`` relative to a
cell makes the cell whose lattice vectors are the rows of ``matrix.T @ cell``.

The rule: of the diagonal multiples of the primitive cell, as it is and Minkowski-reduced, and of the conventional cell,
those are looked at whose lattice has the full point group of the crystal, so that symmetry reduces displacements as far
as it can. Free of torch and of phonopy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import moyopy
import numpy as np
from ase.geometry import minkowski_reduce
from numpy.typing import NDArray

from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["Supercell", "choose_supercell", "given_supercell", "shortest_image"]

MOST_ATOMS = 5000
"""Atoms that a supercell may have that is asked for. phonopy takes 20 s to set up so many, and hours for 100,000."""
_SAME = 1e-6  # A; two image distances that differ by less are one, so that rounding decides nothing


@dataclass(frozen=True)
class Supercell:
    """A primitive cell of a crystal of A atoms, and a supercell of it.

    :ivar primitive_matrix: (3, 3); the primitive cell is ``primitive_matrix.T @ cell`` of the given cell.
    :ivar primitive_atoms: (P,) int, which of the given atoms make the primitive cell.
    :ivar conventional_matrix: (3, 3); the conventional cell is ``conventional_matrix.T @ cell`` of the given cell.
    :ivar matrix: (3, 3) int, positive determinant; the supercell is ``matrix.T @ primitive cell``.
    :ivar n_atoms: number of atoms of the supercell.
    :ivar min_image: shortest distance between an atom and its images in the supercell, A.
    :ivar capped: whether ``min_image`` is below what was wanted, since no larger supercell was allowed.
    """

    primitive_matrix: Floats
    primitive_atoms: Integers
    conventional_matrix: Floats
    matrix: Integers
    n_atoms: int
    min_image: float
    capped: bool


def choose_supercell(
    cell: Floats,
    positions: Floats,
    numbers: NDArray[Any],
    *,
    min_image: float = 12.0,
    max_atoms: int = 500,
    supercell: Sequence[int] | Sequence[Sequence[int]] | NDArray[Any] | None = None,
    symprec: float = 0.01,
) -> Supercell:
    """Return the smallest supercell in which images are ``min_image`` apart, or the supercell that is asked for.

    Where ``max_atoms`` forbids it, return the allowed supercell with the largest distance between images, ``capped``.
    The primitive cell itself is always allowed. Of supercells of equal size, the supercell with the larger distance is
    taken.

    :param cell: (3, 3), A, of a crystal periodic in all directions.
    :param positions: (A, 3), Cartesian, A.
    :param numbers: (A,) atomic numbers.
    :param min_image: wanted distance between images, A.
    :param max_atoms: largest number of atoms of the supercell.
    :param supercell: what to take instead of the rule: 3 multiples of the primitive cell, or a matrix (3, 3) relative
        to it. ``min_image`` then only decides ``capped``, and ``max_atoms`` counts only above :data:`MOST_ATOMS`.
    :param symprec: tolerance at which the primitive cell and the point group are found, A.
    :raises ValueError: if ``supercell`` is not such a matrix, has no volume, or more atoms than :data:`MOST_ATOMS` and
        than ``max_atoms``.
    """
    operations = find_operations(cell, positions, numbers, symprec)
    unit = operations.supercell  # cell = unit @ primitive
    rotations = operations.rotations
    if np.linalg.det(np.linalg.solve(unit.astype(np.float64), cell)) < 0:
        unit = -unit  # the other hand: the same lattice, and W as before
    primitive = np.linalg.solve(unit.astype(np.float64), cell)
    _, atoms = np.unique(operations.sites, return_index=True)
    conventional = _conventional(cell, positions, numbers, unit, operations.symprec)

    if supercell is not None:
        matrix = given_matrix(supercell, n_sites=len(atoms), max_atoms=max_atoms)
        image = shortest_image(matrix.T @ primitive)
        capped = image < min_image - _SAME
    else:
        matrix, image, capped = _by_rule(
            primitive,
            rotations,
            conventional,
            n_sites=len(atoms),
            min_image=min_image,
            max_atoms=max_atoms,
        )
    to_primitive = np.linalg.inv(unit).T
    return Supercell(
        primitive_matrix=to_primitive,
        primitive_atoms=atoms.astype(np.int64),
        conventional_matrix=to_primitive @ conventional,
        matrix=matrix,
        n_atoms=len(atoms) * round(np.linalg.det(matrix)),
        min_image=image,
        capped=capped,
    )


def given_supercell(
    cell: Floats,
    positions: Floats,
    numbers: NDArray[Any],
    *,
    primitive_matrix: Floats,
    supercell: Any,
    min_image: float = 12.0,
    max_atoms: int = MOST_ATOMS,
    symprec: float = 0.01,
) -> Supercell:
    """Return a supercell of a primitive cell that is given too, whatever the symmetry of the crystal says.

    :param primitive_matrix: (3, 3), the primitive cell is ``primitive_matrix.T @ cell``.
    :param supercell: 3 multiples of the primitive cell, or a matrix (3, 3) relative to it.
    :param min_image: only decides ``capped``.
    :param max_atoms: counts only above :data:`MOST_ATOMS`.
    :param symprec: tolerance at which atoms are images of each other, 0.01 A at least, and of the conventional cell.
    :raises ValueError: if a matrix is none of those, the crystal has no such primitive cell, or the supercell too many
        atoms.
    """
    given = np.asarray(primitive_matrix, dtype=np.float64)
    exact = np.linalg.inv(given.T) if abs(np.linalg.det(given)) > 1e-6 else np.full((3, 3), np.nan)
    if not np.abs(exact - np.round(exact)).max() < 1e-4:
        raise ValueError(
            f"primitive_matrix = {given.tolist()}: expected a matrix whose inverse has whole numbers, so that the cell "
            "is made of primitive cells"
        )
    unit = np.round(exact).astype(np.int64)
    if np.linalg.det(np.linalg.solve(unit.astype(np.float64), cell)) < 0:
        unit = -unit
    primitive = np.linalg.solve(unit.astype(np.float64), cell)
    atoms = _one_of_each_site(primitive, positions, numbers, max(symprec, 0.01))
    if len(atoms) * round(abs(np.linalg.det(unit))) != len(numbers):
        raise ValueError(
            f"primitive_matrix = {given.tolist()}: the crystal has {len(atoms)} different sites in that cell, so its "
            f"{len(numbers)} atoms are not periodic images of the atoms of a primitive cell"
        )
    matrix = given_matrix(supercell, n_sites=len(atoms), max_atoms=max_atoms)
    image = shortest_image(matrix.T @ primitive)
    to_primitive = np.linalg.inv(unit).T
    return Supercell(
        primitive_matrix=to_primitive,
        primitive_atoms=atoms,
        conventional_matrix=to_primitive @ _conventional(cell, positions, numbers, unit, symprec),
        matrix=matrix,
        n_atoms=len(atoms) * round(np.linalg.det(matrix)),
        min_image=image,
        capped=image < min_image - _SAME,
    )


def _one_of_each_site(
    primitive: Floats, positions: Floats, numbers: NDArray[Any], tolerance: float
) -> Integers:
    """Return the first atom (P,) of those that are images of each other by vectors of the cell ``primitive``."""
    fractional = np.linalg.solve(primitive.T, positions.T).T
    kept: list[int] = []
    for atom, place in enumerate(fractional):
        apart = fractional[kept] - place
        distances = np.linalg.norm((apart - np.round(apart)) @ primitive, axis=1)
        if not ((distances < tolerance) & (numbers[kept] == numbers[atom])).any():
            kept.append(atom)
    return np.array(kept, dtype=np.int64)


def _conventional(
    cell: Floats, positions: Floats, numbers: NDArray[Any], unit: Integers, symprec: float
) -> Integers:
    """Return the conventional cell, relative to the primitive cell; that cell itself where none is found.

    :param unit: (3, 3) int; cell = unit @ primitive cell.
    :param symprec: at which the group was found, A; 0 where none was.
    """
    primitive = np.eye(3, dtype=np.int64)
    if symprec == 0:
        return primitive
    fractional = np.linalg.solve(cell.T, positions.T).T
    given = moyopy.Cell(cell.tolist(), fractional.tolist(), np.asarray(numbers).tolist())
    try:
        exact = unit.T @ np.array(moyopy.MoyoDataset(given, symprec=symprec).std_linear)
    except ValueError:
        return primitive
    matrix = np.round(exact).astype(np.int64)
    return primitive if np.abs(exact - matrix).max() > 1e-4 else matrix


def shortest_image(cell: Floats) -> float:
    """Return the length of the shortest lattice vector of ``cell`` (3, 3), however skewed, in its unit."""
    reduced, _ = minkowski_reduce(cell)
    return float(np.linalg.norm(reduced, axis=1).min())


def given_matrix(
    supercell: Any, *, n_sites: int, max_atoms: int = MOST_ATOMS, name: str = "supercell"
) -> Integers:
    """Return the (3, 3) matrix, positive determinant, that was asked for.

    :param n_sites: atoms of the cell that it multiplies.
    :param max_atoms: counts only above :data:`MOST_ATOMS`.
    :param name: what it is called in an error.
    :raises ValueError: naming what was given.
    """
    given = np.asarray(supercell, dtype=np.float64)
    matrix = np.diag(given) if given.shape == (3,) else given
    is_whole = bool(np.isfinite(matrix).all() and (matrix == np.round(matrix)).all())
    if matrix.shape != (3, 3) or not is_whole or abs(np.linalg.det(matrix)) < 0.5:
        raise ValueError(
            f"{name} = {np.asarray(supercell).tolist()}: expected 3 whole numbers, or a 3 x 3 matrix of whole numbers "
            "whose determinant is not zero"
        )
    n_atoms, limit = n_sites * round(abs(float(np.linalg.det(matrix)))), max(max_atoms, MOST_ATOMS)
    if n_atoms > limit:
        raise ValueError(
            f"{name} = {np.asarray(supercell).tolist()} makes a supercell of {n_atoms:,} atoms: expected at most "
            f"{limit:,}"
        )
    matrix = np.round(matrix).astype(np.int64)
    return matrix if np.linalg.det(matrix) > 0 else -matrix


def _by_rule(
    primitive: Floats,
    rotations: Integers,
    conventional: Integers,
    *,
    n_sites: int,
    min_image: float,
    max_atoms: int,
) -> tuple[Integers, float, bool]:
    """Return matrix, image distance and whether it is capped."""
    reduced, basis = minkowski_reduce(primitive)
    short = _short_vectors(reduced, np.asarray(basis, dtype=np.int64), min_image)
    found: list[tuple[float, Integers]] = []
    bases = (np.eye(3, dtype=np.int64), np.asarray(basis, dtype=np.int64).T, conventional)
    for place, base in enumerate(bases):
        if not any((base == earlier).all() for earlier in bases[:place]):
            found += _multiples(primitive, base, rotations, short, min_image)
    sizes = np.array([round(abs(np.linalg.det(matrix))) * n_sites for _, matrix in found])
    images = np.array([image for image, _ in found])
    allowed = (sizes <= max_atoms) | (sizes == n_sites)
    enough = allowed & (images >= min_image - _SAME)
    # lexsort: the last key is the first criterion; rounding so that equal distances are equal
    if enough.any():
        order = np.lexsort((-np.round(images, 6), sizes, ~enough))
    else:
        order = np.lexsort((sizes, -np.round(images, 6), ~allowed))
    matrix = found[order[0]][1]
    matrix = matrix if np.linalg.det(matrix) > 0 else -matrix
    return matrix, shortest_image(matrix.T @ primitive), not enough.any()


def _multiples(
    primitive: Floats,
    base: Integers,
    rotations: Integers,
    short: Integers,
    min_image: float,
) -> list[tuple[float, Integers]]:
    """Return (image distance, matrix) of the diagonal multiples of ``base`` that the rotations leave alone.

    No direction is multiplied beyond what makes its faces ``min_image`` apart: more would only add atoms.

    :param base: (3, 3), columns are lattice vectors in the primitive basis.
    :param short: (V, 3) lattice vectors in the primitive basis, all up to twice ``min_image``, by length.
    """
    cell = base.T @ primitive
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    most = np.maximum(1, np.ceil(min_image / heights - _SAME)).astype(int)
    inverse = np.linalg.inv(base)
    in_base = np.einsum("ab,kbc,cd->kad", inverse, rotations, base)
    coordinates = short @ inverse.T  # of the short vectors, in the basis `base`
    found = []
    for multiples in product(*(range(1, n + 1) for n in most)):
        scale = np.array(multiples, dtype=np.float64)
        turned = in_base * scale / scale[:, None]
        if np.abs(turned - np.round(turned)).max() > 1e-6:
            continue
        apart = coordinates / scale
        inside = (np.abs(apart - np.round(apart)) < 1e-6).all(axis=1)
        matrix = base * np.array(multiples, dtype=np.int64)
        if inside.any():
            image = float(np.linalg.norm(short[inside.argmax()] @ primitive))
        else:
            image = shortest_image(matrix.T @ primitive)
        found.append((image, matrix))
    return found


def _short_vectors(reduced: Floats, basis: Integers, min_image: float) -> Integers:
    """Return the lattice vectors (V, 3), primitive basis, up to twice ``min_image``, by length."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(reduced), axis=0)
    reach = np.ceil(2 * min_image / heights).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1).reshape(
        -1, 3
    )
    grid = grid[(grid != 0).any(axis=1)]
    lengths = np.linalg.norm(grid @ reduced, axis=1)
    kept = np.flatnonzero(lengths < 2 * min_image)
    kept = kept[np.argsort(lengths[kept], kind="stable")]
    return grid[kept] @ basis
