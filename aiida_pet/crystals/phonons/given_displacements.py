"""Displacements that come with a crystal, such as the displacements in files of phonopy, moved to the atoms that stand
for their sites.

Atoms of a file are the atoms of phonopy's supercell of a unit cell; here the supercell is made of the primitive cell,
with its atoms in another order. A displaced atom is taken to the atom that stands for its site by a translation, which
no model sees, and where another site stands for its orbit by an operation of the crystal as well. Free of torch.
"""

from __future__ import annotations

import numpy as np
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import get_supercell

from aiida_pet.crystals.phonons.displacements import Displacements, SupercellSites
from aiida_pet.tables.arrays import Array, Floats, Integers

__all__ = ["given_displacements", "order_of_supercell"]

_RANK = 1e-3  # smallest singular value that counts, as a share of the largest


def order_of_supercell(
    phonopy: Phonopy, sites: SupercellSites, unit_cell: PhonopyAtoms, matrix: Integers
) -> Integers:
    """Return (S,): the atom of the supercell of ``phonopy`` that each atom of phonopy's supercell of a unit cell is.

    :param phonopy: phonopy object of the primitive cell.
    :param sites: sites of its supercell.
    :param unit_cell: unit cell of the file.
    :param matrix: (3, 3), the same supercell relative to the unit cell.
    """
    theirs = get_supercell(unit_cell, matrix)
    places = np.linalg.solve(phonopy.primitive.cell.T, theirs.positions.T).T
    apart = places[:, None] - phonopy.primitive.scaled_positions[None]
    off = np.linalg.norm((apart - np.round(apart)) @ phonopy.primitive.cell, axis=2)
    off[theirs.numbers[:, None] != phonopy.primitive.numbers[None]] = np.inf
    found = off.argmin(axis=1)
    vectors = np.round(apart[np.arange(len(found)), found]).astype(np.int64)
    return sites.find(found, vectors)


def given_displacements(
    sites: SupercellSites, positions: Floats, moved: Array, order: Integers
) -> Displacements:
    """Return displacements that a file names, of atoms that stand for their sites.

    :param sites: sites of the supercell.
    :param positions: (S, 3) of the supercell, Cartesian, A.
    :param moved: (D, 5): number of the supercell, of the atom in it, and the vector, A.
    :param order: (S,) of :func:`order_of_supercell`.
    :raises ValueError: if a supercell has more than one displaced atom, an atom is not there, or the displacements do
        not say all force constants.
    """
    cells, atoms = moved[:, 0].astype(np.int64), moved[:, 1].astype(np.int64)
    if len(np.unique(cells)) != len(cells):
        raise ValueError(
            "displacements: several atoms of a supercell are displaced; expected one displaced atom in each "
            "supercell, as in phonopy's finite displacements"
        )
    if atoms.min() < 0 or atoms.max() >= len(order):
        raise ValueError(
            f"displacements: atom {atoms.max()} is displaced, but the supercell has atoms 0 to {len(order) - 1}"
        )
    kept, vectors = [], []
    for atom, vector in zip(order[atoms], moved[:, 2:], strict=True):
        site = sites.sites[atom]
        target = int(sites.permutation[:, site].min())
        kept.append(sites.first[target])
        if target == site:
            vectors.append(vector)
        else:
            operation = int(np.flatnonzero(sites.permutation[:, site] == target)[0])
            vectors.append(sites.cartesian[operation] @ vector)
    found = Displacements(
        np.array(kept, dtype=np.int64),
        np.array(vectors, dtype=np.float64),
        np.tile(positions, (len(kept), 1, 1)),
    )
    found.positions[np.arange(len(kept)), found.atoms] += found.vectors
    _check_enough(sites, found)
    return found


def _check_enough(sites: SupercellSites, displacements: Displacements) -> None:
    for site in sites.independent:
        vectors = displacements.vectors[displacements.atoms == sites.first[site]]
        turned = [vectors @ sites.cartesian[operation].T for operation in sites.stabiliser(site)]
        if (
            np.linalg.matrix_rank(
                np.concatenate(turned), tol=_RANK * max(np.abs(vectors).max(initial=0.0), 1e-9)
            )
            < 3
        ):
            raise ValueError(
                f"displacements: the {len(vectors)} supercells that displace site {site} of the primitive cell do not "
                "give three independent directions, even with the symmetry of the crystal: leave the column out, or "
                "use a larger phonon_symprec"
            )
