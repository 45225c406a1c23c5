"""Boxes with vacuum around what is not periodic in all directions, in which its symmetry is looked for.

The periodic vectors of a box are the vectors of the row; the others are perpendicular to them and so long that no image
can be taken for another part of the row. A slab has one such box. Of a wire or a molecule a box shows only those
operations that it has itself: so there are several, turned as the atoms suggest, with square and with hexagonal
cross-section, and whoever asks takes the one with most operations. Rotations of fivefold, eightfold and higher axes fit
into no box. Lengths in A. Free of torch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_pet.tables.arrays import Floats

Flags = NDArray[np.bool_]

VACUUM = 15.0  # A, between images, beside the size of the row itself
_ALIKE = 0.05  # A; atoms of one element as far from an axis or a centre are of one kind
_DEGENERATE = 0.05  # moments of inertia that differ by less, relative to the largest, may be equal
_MOST_PAIRS = 12  # of atoms by which a box is turned


def boxes_around(cell: Floats, positions: Floats, numbers: NDArray[np.integer], pbc: Flags) -> list[Floats]:
    """Return boxes (3, 3), periodic vectors first, for a row that is not periodic in all directions.

    :param cell: (3, 3); only its periodic vectors count.
    :param positions: (A, 3), A at least 1.
    :param numbers: (A,) atomic numbers.
    :param pbc: (3,).
    """
    periodic = np.asarray(cell, dtype=np.float64)[pbc]
    centred = positions - positions.mean(axis=0)
    if len(periodic) == 2:
        normal = np.cross(*periodic)
        length = np.linalg.norm(normal)
        if not length > 0:
            return []
        return [np.vstack([periodic, _height(centred) * normal / length])]
    if len(periodic) == 1:
        length = float(np.linalg.norm(periodic[0]))
        if not length > 0:
            return []
        axis = periodic[0] / length
        across = centred - np.outer(centred @ axis, axis)
        side = _height(across)
        return [
            np.vstack([periodic, side * section])
            for x in _directions_across(axis, across, numbers)
            for section in _sections(axis, x)
        ]
    side = _height(centred)
    return [side * np.vstack([axes[:1], *sections]) for axes, sections in _frames(centred, numbers)]


def _height(centred: Floats) -> float:
    """Return the length of a box: more than twice what the row takes, so that no image is near."""
    return float(4.0 * np.linalg.norm(centred, axis=1).max() + VACUUM)


def _sections(axis: Floats, x: Floats) -> list[Floats]:
    """Return the unit vectors (2, 3) of the square and of the hexagonal cross-section along ``x``."""
    y = np.cross(axis, x)
    return [np.stack([x, y]), np.stack([x, -0.5 * x + np.sqrt(0.75) * y])]


def _frames(centred: Floats, numbers: NDArray[np.integer]) -> list[tuple[Floats, list[Floats]]]:
    """Return (axes (3, 3), [cross-section]) of the boxes of a molecule."""
    weights = numbers.astype(np.float64)
    moments, vectors = np.linalg.eigh((centred * weights[:, None]).T @ centred)
    axes = vectors.T
    frames: list[tuple[Floats, list[Floats]]] = [(frame, [frame[1:]]) for frame in (np.eye(3), axes)]
    close = np.diff(moments) < _DEGENERATE * max(moments[2], 1e-12)
    for place, equal in ((2, close[0]), (0, close[1])):
        if equal:  # the others may be one: the axis of a top
            axis = axes[place]
            across = centred - np.outer(centred @ axis, axis)
            for x in _directions_across(axis, across, numbers):
                frames += [(axis[None], [section]) for section in _sections(axis, x)]
    if close.all():
        frames += [(frame, [frame[1:]]) for frame in _cubic_frames(centred, numbers)]
    return frames


def _smallest_kind(distances: Floats, numbers: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return the indices of the fewest atoms of one element at one distance from an axis or a centre, not on it."""
    away = np.flatnonzero(distances > _ALIKE)
    if not len(away):
        return away
    kinds = np.stack([numbers[away], np.round(distances[away] / _ALIKE)], axis=1)
    _, which, counts = np.unique(kinds, axis=0, return_inverse=True, return_counts=True)
    return away[which.reshape(-1) == counts.argmin()]


def _directions_across(axis: Floats, across: Floats, numbers: NDArray[np.integer]) -> list[Floats]:
    """Return unit vectors perpendicular to ``axis``: of the laboratory, by inertia, to atoms and between them.

    :param across: (A, 3), positions less their part along the axis, the mean at zero.
    """
    reference = np.eye(3)[np.abs(axis).argmin()]
    lab = reference - axis * (reference @ axis)
    inertia = np.linalg.eigh((across * numbers[:, None]).T @ across)[1][:, 2]
    found = [lab, inertia - axis * (inertia @ axis)]
    members = _smallest_kind(np.linalg.norm(across, axis=1), numbers)
    if len(members):
        first = across[members[0]]
        found.append(first)
        for other in members[1 : 1 + _MOST_PAIRS]:
            found.append(first + across[other])
    return [vector / np.linalg.norm(vector) for vector in found if np.linalg.norm(vector) > _ALIKE]


def _cubic_frames(centred: Floats, numbers: NDArray[np.integer]) -> list[Floats]:
    """Return axes (3, 3) along which a molecule as round as a cube may have its fourfold or twofold axes."""
    members = _smallest_kind(np.linalg.norm(centred, axis=1), numbers)
    frames = []
    for other in members[1 : 1 + _MOST_PAIRS]:
        first, second = centred[members[0]], centred[other]
        between, apart = first + second, first - second
        if np.linalg.norm(between) < _ALIKE:
            continue
        z = between / np.linalg.norm(between)
        x = apart - z * (apart @ z)
        if np.linalg.norm(x) < _ALIKE:
            continue
        x /= np.linalg.norm(x)
        y = np.cross(z, x)
        frames.append(np.stack([z, x, y]))
        frames.append(np.stack([z, (x + y) / np.sqrt(2), (y - x) / np.sqrt(2)]))
    return frames
