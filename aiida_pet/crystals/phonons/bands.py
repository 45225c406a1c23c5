"""Phonon bands along the path of a crystal or of a parent structure, and densities of states by atom.

The path is that of Hinuma et al., doi:10.1016/j.commatsci.2016.10.015, as seekpath finds it, mapped onto the reciprocal
basis of the crystal's own cell: the crystal is never rotated or standardised. A crystal that has lost the symmetry of
its parent can be put on the parent's path, so that both have the same points under the same labels; which path it is on
is said, as the number of the space group. Free of torch.

The space group is found by :mod:`aiida_pet.crystals.symmetry.spacegroup` (moyopy), as everywhere: seekpath, which asks
spglib, is given the crystal brought exactly onto that group. Left to itself it would judge anew, and near the
tolerance, where the crystals of an unconstrained model are, the two seldom agree: of 376 crystals of WBM and PhononDB
displaced by 0.002 A they do so for 137 at 0.01 A, and for all 376 once these are brought onto their groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import seekpath
from numpy.typing import NDArray
from phonopy import Phonopy
from spglib.error import SpglibError

from aiida_pet.crystals.symmetry.operations import symmetrize_structure
from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.tables.arrays import Floats, Integers

__all__ = [
    "BandPath",
    "BandStructure",
    "ProjectedDos",
    "band_path",
    "band_structure",
    "projected_dos",
]

EXACT = 1e-5  # A: tolerance of a crystal that was brought onto its group
MAX_STRAIN = 0.1  # between the lattices of a crystal and of its parent


@dataclass(frozen=True)
class BandPath:
    """Straight segments between labelled points.

    :ivar spacegroup: number of the space group that the path belongs to.
    :ivar segments: (label, label) of the ends of each segment, in order; GAMMA and the letters of seekpath.
    :ivar points: label -> (3,) in the reciprocal basis of the crystal's cell.
    :ivar is_supercell: whether the crystal's cell is a supercell at the tolerance of the path, so that labels belong to
        the Brillouin zone of the smaller cell.
    """

    spacegroup: int
    segments: tuple[tuple[str, str], ...]
    points: dict[str, Floats]
    is_supercell: bool


@dataclass(frozen=True)
class BandStructure:
    """Frequencies at Q points along a path, those at the end of a segment and the start of the next both there.

    :ivar path: what it is along.
    :ivar qpoints: (Q, 3) in the reciprocal basis of the primitive cell.
    :ivar distances: (Q,) along the path, 1/A, without 2 pi.
    :ivar frequencies: (Q, 3 P), THz, imaginary ones negative.
    :ivar offsets: (segments + 1,) int; segment k has points ``offsets[k]:offsets[k + 1]``.
    """

    path: BandPath
    qpoints: Floats
    distances: Floats
    frequencies: Floats
    offsets: Integers

    @property
    def labels(self) -> list[tuple[int, str]]:
        """(index of a point, label): of each end of a segment, once where the next segment goes on from it.

        Where the path breaks off, both points have a label, one after the other: ``H|P``. Where it goes on, the point
        is there twice all the same, since modes at Gamma may depend on the side from which it is reached.
        """
        found: list[tuple[int, str]] = []
        before = ""
        for (start, end), (first, last) in zip(
            self.path.segments, pairwise(self.offsets.tolist()), strict=True
        ):
            found += [] if start == before else [(first, start)]
            found.append((last - 1, end))
            before = end
        return found


@dataclass(frozen=True)
class ProjectedDos:
    """Densities of states of the P atoms of the primitive cell.

    :ivar frequencies: (G,) THz.
    :ivar total: (G,) 1/THz, the sum over the atoms.
    :ivar atoms: (P, G) 1/THz.
    """

    frequencies: Floats
    total: Floats
    atoms: Floats


def band_path(
    cell: Floats,
    positions: Floats,
    numbers: NDArray[Any],
    *,
    symprec: float = 0.01,
    parent: tuple[Floats, Floats, NDArray[Any]] | None = None,
) -> BandPath:
    """Return the path of a crystal, or the path of its parent on the crystal's lattice.

    :param cell: (3, 3), A, primitive.
    :param positions: (P, 3), Cartesian, A.
    :param numbers: (P,) atomic numbers.
    :param symprec: tolerance at which the path's space group is found, A.
    :param parent: cell, positions and numbers of a structure with the same lattice, in any basis, but for a strain of
        up to 10 %; the path of its space group is taken.
    :raises ValueError: if the lattice of ``parent`` is another, or no path is found.
    """
    if parent is None:
        exact = symmetrize_structure(cell, positions, find_operations(cell, positions, numbers, symprec))
        return _path(*exact, numbers, np.eye(3, dtype=np.int64))
    operations = find_operations(*parent, symprec)
    parent = (*symmetrize_structure(*parent[:2], operations), parent[2])
    primitive = np.linalg.solve(operations.supercell.astype(np.float64), parent[0])
    _, atoms = np.unique(operations.sites, return_index=True)
    basis = np.round(cell @ np.linalg.inv(primitive)).astype(
        np.int64
    )  # cell = basis @ primitive, but for a strain
    if abs(round(np.linalg.det(basis))) != 1:
        raise ValueError(
            f"the parent structure has another lattice: its primitive cell has {abs(np.linalg.det(primitive)):.2f} "
            f"A^3, the cell of the crystal has {abs(np.linalg.det(cell)):.2f} A^3, and no matrix of whole numbers "
            "turns one lattice into the other"
        )
    strain = np.abs(np.linalg.solve(basis @ primitive, cell) - np.eye(3)).max()
    if strain > MAX_STRAIN:
        raise ValueError(
            f"the lattice of the parent structure is strained or rotated by {strain:.3f} relative to the lattice of "
            f"the crystal; its path can be used only up to a strain of {MAX_STRAIN}"
        )
    return _path(primitive, parent[1][atoms], parent[2][atoms], basis)


def band_structure(phonopy: Phonopy, path: BandPath, *, spacing: float = 0.01) -> BandStructure:
    """Return the bands along ``path``; directions of approach to Gamma are the path's, where that matters (NAC).

    :param phonopy: with force constants.
    :param path: path of its primitive cell.
    :param spacing: largest distance between points, 1/A, without 2 pi.
    """
    reciprocal = np.linalg.inv(phonopy.primitive.cell)
    lines = []
    for start, end in path.segments:
        first, last = path.points[start], path.points[end]
        length = float(np.linalg.norm(reciprocal @ (last - first)))
        n_points = max(2, int(np.ceil(length / spacing - 1e-9)) + 1)
        lines.append(first + np.linspace(0, 1, n_points)[:, None] * (last - first))
    bands = phonopy.run_band_structure(lines)
    return BandStructure(
        path=path,
        qpoints=np.concatenate(lines),
        distances=np.concatenate(bands.distances),
        frequencies=np.concatenate(bands.frequencies),
        offsets=np.concatenate([[0], np.cumsum([len(line) for line in lines])]),
    )


def projected_dos(
    phonopy: Phonopy, frequencies: Floats, *, mesh: float = 40.0, sigma: float = 0.1
) -> ProjectedDos:
    """Return the density of states of each atom, which sum up to the total; each atom's integral is 3.

    :param phonopy: with force constants.
    :param frequencies: (G,) evenly spaced, THz.
    :param mesh: length that gives the mesh of q-points, A.
    :param sigma: standard deviation of the Gaussian that each mode is, THz.
    """
    phonopy.run_mesh(mesh, with_eigenvectors=True, is_mesh_symmetry=False)
    step = (frequencies[-1] - frequencies[0]) / (len(frequencies) - 1)
    atoms = phonopy.run_projected_dos(
        sigma=sigma, freq_min=frequencies[0], freq_max=frequencies[-1], freq_pitch=step
    ).projected_dos
    return ProjectedDos(frequencies, atoms.sum(axis=0), atoms)


def _path(cell: Floats, positions: Floats, numbers: NDArray[Any], basis: Integers) -> BandPath:
    """Return the path of a structure that has its group exactly, on the lattice whose cell is ``basis @ cell``."""
    fractional = np.linalg.solve(cell.T, positions.T).T
    try:
        found = seekpath.get_path_orig_cell(
            (cell.tolist(), fractional.tolist(), np.asarray(numbers).tolist()), symprec=EXACT
        )
    except (ValueError, SpglibError, seekpath.SymmetryDetectionError) as error:
        raise ValueError(f"no band path: {error}") from error
    return BandPath(
        spacegroup=int(found["spacegroup_number"]),
        segments=tuple((start, end) for start, end in found["path"]),
        points={
            label: (basis @ np.asarray(point)).astype(np.float64)
            for label, point in found["point_coords"].items()
        },
        is_supercell=bool(found["is_supercell"]),
    )
