"""Laue class and crystal system, and the axes in which the IEEE gives elastic tensors.

IEEE Std 176-1987, section 3.2, by what point group and lattice say. Lattice vectors a, b, c belong to the conventional
cell:

cubic: x1, x2, x3 along a, b, c. Hexagonal and tetragonal: x3 along c, x1 along a, the shortest lattice vector
normal to it. Trigonal: x3 along c, x1 along a, and along a two-fold axis (or normal to a mirror) where there is
one, so that C_14 is there and C_15 is not. Orthorhombic: x1, x2, x3 along a, b, c named such that c < a < b.
Monoclinic: x2 along the two-fold axis b, x3 along c, where a and c are the shortest lattice vectors normal to b
with c < a and beta obtuse. Triclinic: the three shortest lattice vectors named such that c < a < b, beta obtuse;
x3 along c, x2 normal to a and c.

pymatgen's convert_to_ieee agrees but for the sense of x1 of monoclinic crystals whose a is shorter than c, for
tetragonal ones with c < a (there its x3 lies along a), for space groups with two-fold axes between the a axes
(P312 and its like, there x1 is along a) and for triclinic ones (there x3 is along the longest vector).

The standard takes the sense of an axis, where the point group leaves it open, from piezoelectric constants.
Here the sense of a is that of the obverse setting for rhombohedral lattices, and makes C_14 positive for other
trigonal ones; that of c makes C_16 (4/m) or C_15 (-3) positive; those of a and c together C_14 (triclinic). Where
axes are named by lengths and these are equal, the stiffest is c, the next a: noise in the last digit of a length
decides nothing. Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise, permutations

import numpy as np
from ase.geometry import minkowski_reduce

from aiida_pet.crystals.elastic.voigt import rotate_tensor
from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.tables.arrays import Floats, Integers

_NORMAL = 1e-4  # cosine of what counts as a right angle: operations are those of an exactly symmetric cell
_TIE = 1e-5  # relative difference of lengths that are equal: positions and cells are known no better
_STEPS = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)

_TRACES = {2: -1, 3: 0, 4: 1, 6: 2}  # of a rotation of each order
_RHOMBOHEDRAL = frozenset((146, 148, 155, 160, 161, 166, 167))
_TURN_A = np.diag([-1.0, -1.0, 1.0])
_TURN_C = np.diag([1.0, -1.0, -1.0])
_TURN_BOTH = np.diag([-1.0, 1.0, -1.0])
# Laue class -> the component of the first row that changes sign with the sense of axes, and what turns these
_OPEN_SENSES = {"-3": (4, _TURN_C), "4/m": (5, _TURN_C), "-1": (3, _TURN_BOTH)}


class CrystalSystem(StrEnum):
    """Crystal systems; rhombohedral crystals are trigonal."""

    TRICLINIC = "triclinic"
    MONOCLINIC = "monoclinic"
    ORTHORHOMBIC = "orthorhombic"
    TETRAGONAL = "tetragonal"
    TRIGONAL = "trigonal"
    HEXAGONAL = "hexagonal"
    CUBIC = "cubic"


# last space group of each Laue class, and the system it belongs to
_LAUE_CLASSES = (
    (2, "-1", CrystalSystem.TRICLINIC),
    (15, "2/m", CrystalSystem.MONOCLINIC),
    (74, "mmm", CrystalSystem.ORTHORHOMBIC),
    (88, "4/m", CrystalSystem.TETRAGONAL),
    (142, "4/mmm", CrystalSystem.TETRAGONAL),
    (148, "-3", CrystalSystem.TRIGONAL),
    (167, "-3m", CrystalSystem.TRIGONAL),
    (176, "6/m", CrystalSystem.HEXAGONAL),
    (194, "6/mmm", CrystalSystem.HEXAGONAL),
    (206, "m-3", CrystalSystem.CUBIC),
    (230, "m-3m", CrystalSystem.CUBIC),
)


def laue_class(number: int) -> tuple[str, CrystalSystem]:
    """Return Laue class, such as ``m-3m``, and crystal system of space group ``number``.

    :raises ValueError: if ``number`` is not 1 to 230.
    """
    if not 1 <= number <= 230:
        raise ValueError(f"space group {number}: expected 1 to 230")
    return next((name, system) for last, name, system in _LAUE_CLASSES if number <= last)


def ieee_tensor(tensor: Floats, operations: Operations) -> Floats:
    """Return the elastic tensor (6, 6) in the IEEE setting.

    :param tensor: (6, 6), Voigt's form, in the axes in which the crystal is given; of the crystal's Laue class.
    :param operations: operations of the crystal.
    """
    name, system = laue_class(operations.number)
    scale = np.abs(tensor).max()
    turned = max(
        (rotate_tensor(tensor, axes) for axes in _candidates(operations)),
        key=lambda named: (round(named[2, 2] / scale, 9), round(named[0, 0] / scale, 9)),
    )
    if system is CrystalSystem.TRIGONAL and operations.number not in _RHOMBOHEDRAL and turned[0, 3] < 0:
        turned = rotate_tensor(turned, _TURN_A)
    if name in _OPEN_SENSES:
        component, turn = _OPEN_SENSES[name]
        if turned[0, component] < 0:
            turned = rotate_tensor(turned, turn)
    return turned


def ieee_axes(operations: Operations) -> Floats:
    """Return the axes x1, x2, x3 of the IEEE setting as rows of a rotation (3, 3): unit vectors, right-handed.

    :param operations: operations of the crystal; of :func:`aiida_pet.crystals.symmetry.spacegroup.find_operations`, so
        exact.
    """
    return next(_candidates(operations))


def _candidates(operations: Operations) -> Iterator[Floats]:
    """Yield the axes (3, 3) that the standard allows: more than one where it names them by lengths that are equal."""
    lattice = np.linalg.solve(operations.supercell.astype(np.float64), operations.cell)
    name, system = laue_class(operations.number)

    def along(order: int) -> Floats:
        return _axes(operations.rotations, order) @ lattice

    match system:
        case CrystalSystem.TRICLINIC:
            reduced, _ = minkowski_reduce(lattice)
            for c, a, _ in _by_length(reduced):
                yield _frame(a if a @ c < 0 else -a, c)
        case CrystalSystem.MONOCLINIC:
            for c, a in _by_length(np.stack(_shortest_normal(lattice, along(2)[0]))):
                yield _frame(a if a @ c < 0 else -a, c)
        case CrystalSystem.ORTHORHOMBIC:
            for c, a, _ in _by_length(along(2)):
                yield _frame(a, c)
        case CrystalSystem.CUBIC:
            cube = along(4 if name == "m-3m" else 2)
            yield _frame(cube[0], cube[1])
        case CrystalSystem.TRIGONAL:
            c = along(3)[0]
            a = along(2)[0] if name == "-3m" else _shortest_normal(lattice, c)[0]
            yield _frame(a if _is_obverse(lattice, a, c) else -a, c)
        case CrystalSystem.TETRAGONAL | CrystalSystem.HEXAGONAL:
            c = along(4 if system is CrystalSystem.TETRAGONAL else 6)[0]
            yield _frame(_shortest_normal(lattice, c)[0], c)


def _by_length(vectors: Floats) -> Iterator[Floats]:
    """Yield ``vectors`` (n, 3), shortest first, in every order that lengths that are equal allow."""
    ordered = vectors[np.argsort(np.linalg.norm(vectors, axis=1), kind="stable")]
    lengths = np.linalg.norm(ordered, axis=1)
    for order in permutations(range(len(ordered))):
        if all(lengths[one] <= lengths[other] * (1 + _TIE) for one, other in pairwise(order)):
            yield ordered[list(order)]


def _frame(x1: Floats, x3: Floats) -> Floats:
    """Return the right-handed unit vectors (3, 3) with ``x3`` kept and ``x1`` made normal to it."""
    third = x3 / np.linalg.norm(x3)
    first = x1 - third * (x1 @ third)
    first = first / np.linalg.norm(first)
    return np.stack([first, np.cross(third, first), third])


def _axes(rotations: Integers, order: int) -> Integers:
    """Return the axes (m, 3) of rotations and rotoinversions of ``order``: lattice vectors, primitive basis."""
    found: dict[bytes, Integers] = {}
    for rotation in rotations:
        proper = rotation * round(np.linalg.det(rotation))
        if np.trace(proper) != _TRACES[order]:
            continue
        powers = [np.linalg.matrix_power(proper, power) for power in range(order)]
        columns = np.sum(powers, axis=0).T  # each along the axis, or zero
        axis = columns[np.abs(columns).sum(axis=1).argmax()]
        axis = axis // np.gcd.reduce(axis)
        axis = axis * np.sign(axis[np.flatnonzero(axis)[0]])
        found[axis.tobytes()] = axis
    return np.stack(list(found.values()))


def _shortest_normal(lattice: Floats, axis: Floats) -> tuple[Floats, Floats]:
    """Return the two shortest lattice vectors that are normal to ``axis`` and not parallel, shortest first."""
    reduced, _ = minkowski_reduce(lattice)
    vectors = _STEPS @ reduced
    lengths = np.linalg.norm(vectors, axis=1)
    normal = np.abs(vectors @ axis) <= _NORMAL * lengths * np.linalg.norm(axis)
    plane = vectors[normal & (lengths > 0)]
    plane = plane[np.argsort(np.linalg.norm(plane, axis=1), kind="stable")]
    apart = np.linalg.norm(np.cross(plane, plane[0]), axis=1)
    return plane[0], plane[np.argmax(apart > _NORMAL * (plane[0] @ plane[0]))]


def _is_obverse(lattice: Floats, a: Floats, c: Floats) -> bool:
    """Return whether the lattice has a node at (2 a + b + c) / 3, of the hexagonal setting."""
    axis = c / np.linalg.norm(c)
    b = -a / 2 + np.sqrt(3) / 2 * np.cross(axis, a)
    node = np.linalg.solve(lattice.T, (2 * a + b + c) / 3)
    return bool(np.abs(node - np.round(node)).max() < 0.1)
