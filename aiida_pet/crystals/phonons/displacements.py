"""Which atoms of a supercell to displace, and where to: symmetry-reduced finite displacements as phonopy makes them.

phonopy goes through the operations of the *supercell* one by one, thousands for a small crystal in a large supercell,
which takes longer than the model: 0.6 s for bcc in 4x4x4 cells. Here the at most 48 operations of the primitive cell
are taken, and how they permute the atoms of the supercell follows in whole numbers. Operations that the lattice of the
supercell does not have are left out, as in phonopy. The directions are phonopy's own (``get_displacement``).

An atom of the supercell is a site s of the primitive cell and a lattice vector L, whole numbers in the primitive basis;
an operation takes it to the site p(s) and the vector W L + l(s). Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from phonopy.harmonic.displacement import get_displacement

from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["Displacements", "SupercellSites", "generate_displacements"]


@dataclass(frozen=True)
class SupercellSites:
    """The S atoms of a supercell of a primitive cell of P atoms, and the operations that both have.

    :ivar cell: (3, 3) of the supercell, A.
    :ivar matrix: (3, 3) int, the supercell is ``matrix.T @ primitive cell``.
    :ivar sites: (S,) site of each atom, 0 to P - 1.
    :ivar vectors: (S, 3) int, lattice vector of each atom, primitive basis.
    :ivar first: (P,) the atom that stands for each site, the one phonopy's compact force constants are of.
    :ivar rotations: (n, 3, 3) int, W in the primitive basis.
    :ivar cartesian: (n, 3, 3), the same in Cartesian axes.
    :ivar permutation: (n, P), p(s): site onto which each operation takes each site.
    :ivar shifts: (n, P, 3) int, l(s): lattice vector that it adds.
    :ivar symprec: tolerance at which the operations were found, A.
    """

    cell: Floats
    matrix: Integers
    sites: Integers
    vectors: Integers
    first: Integers
    rotations: Integers
    cartesian: Floats
    permutation: Integers
    shifts: Integers
    symprec: float

    @classmethod
    def of(cls, phonopy: Any) -> SupercellSites:
        """Return the sites of the supercell of a ``phonopy.Phonopy``; only the symmetry of its primitive is used."""
        primitive, supercell, symmetry = phonopy.primitive, phonopy.supercell, phonopy.primitive_symmetry
        lattice = primitive.cell.T
        matrix = np.round(np.linalg.solve(lattice, supercell.cell.T)).astype(np.int64)
        sites = np.array([primitive.p2p_map[atom] for atom in primitive.s2p_map], dtype=np.int64)
        positions = primitive.scaled_positions
        vectors = np.linalg.solve(lattice, supercell.positions.T).T - positions[sites]
        rotations = symmetry.symmetry_operations["rotations"].astype(np.int64)
        translations = symmetry.symmetry_operations["translations"]
        permutation = symmetry.atomic_permutations.astype(np.int64)
        images = np.einsum("kab,sb->ksa", rotations, positions) + translations[:, None]
        shifts = np.round(images - positions[permutation]).astype(np.int64)
        inverse = np.linalg.inv(matrix)
        in_supercell = inverse @ rotations @ matrix
        kept = np.abs(in_supercell - np.round(in_supercell)).max(axis=(1, 2)) < 1e-6
        return cls(
            cell=supercell.cell,
            matrix=matrix,
            sites=sites,
            vectors=np.round(vectors).astype(np.int64),
            first=primitive.p2s_map.astype(np.int64),
            rotations=rotations[kept],
            cartesian=lattice @ rotations[kept] @ np.linalg.inv(lattice),
            permutation=permutation[kept],
            shifts=shifts[kept],
            symprec=phonopy.primitive_symmetry.tolerance,
        )

    def without_symmetry(self) -> SupercellSites:
        """Return the same sites with no other operation than the identity."""
        unity = (self.rotations == np.eye(3, dtype=np.int64)).all(axis=(1, 2))
        stays = (self.permutation == np.arange(len(self.first))).all(axis=1) & (self.shifts == 0).all(
            axis=(1, 2)
        )
        kept = np.flatnonzero(unity & stays)[:1]
        return replace(
            self,
            rotations=self.rotations[kept],
            cartesian=self.cartesian[kept],
            permutation=self.permutation[kept],
            shifts=self.shifts[kept],
        )

    @property
    def independent(self) -> Integers:
        """Sites of which one stands for each orbit, the lowest of it, in order."""
        return np.unique(self.permutation.min(axis=0))

    def stabiliser(self, site: int) -> Integers:
        """Return the indices of the operations that take ``site`` to itself, lattice translations apart."""
        return np.flatnonzero(self.permutation[:, site] == site)

    def images(self, operation: int, site: int) -> Integers:
        """Return (S,): the atom onto which each atom is taken, by an operation times the translation of the supercell
        that takes the atom standing for ``site`` to the one standing for the image of ``site``.
        """
        rotation, shifts = self.rotations[operation], self.shifts[operation]
        origin = self.vectors[self.first[site]]
        vectors = (self.vectors - origin) @ rotation.T + shifts[self.sites] - shifts[site]
        target = self.permutation[operation, site]
        return self.find(self.permutation[operation, self.sites], vectors + self.vectors[self.first[target]])

    def find(self, sites: Integers, vectors: Integers) -> Integers:
        """Return the atoms with these sites (N,) and lattice vectors (N, 3), up to a vector of the supercell."""
        table, order = self._table
        return order[np.searchsorted(table, self._codes(sites, vectors))]

    @cached_property
    def _table(self) -> tuple[Integers, Integers]:
        codes = self._codes(self.sites, self.vectors)
        order = np.argsort(codes)
        return codes[order], order

    def _codes(self, sites: Integers, vectors: Integers) -> Integers:
        """Return one number for each atom: its coordinates in the supercell are fractions of the determinant."""
        size = round(abs(np.linalg.det(self.matrix)))
        adjugate = np.round(np.linalg.inv(self.matrix) * size).astype(np.int64)
        a, b, c = (vectors @ adjugate.T % size).T
        return ((sites * size + a) * size + b) * size + c


@dataclass(frozen=True)
class Displacements:
    """D displaced supercells of S atoms; one atom is displaced in each.

    :ivar atoms: (D,) the atom that is displaced.
    :ivar vectors: (D, 3) by how much, A.
    :ivar positions: (D, S, 3) Cartesian positions of all atoms, A.
    """

    atoms: Integers
    vectors: Floats
    positions: Floats

    def __len__(self) -> int:
        return len(self.atoms)

    def dataset(self, forces: Floats | None = None) -> dict[str, Any]:
        """Return phonopy's "type 1" dataset, with forces (D, S, 3) if they are given."""
        entries: list[dict[str, Any]] = [
            {"number": int(atom), "displacement": vector}
            for atom, vector in zip(self.atoms, self.vectors, strict=True)
        ]
        for entry, force in zip(entries, () if forces is None else forces, strict=forces is not None):
            entry["forces"] = force
        return {"natom": self.positions.shape[1], "first_atoms": entries}


def generate_displacements(sites: SupercellSites, positions: Floats, distance: float) -> Displacements:
    """Return the least set of displacements, each with its opposite, that determines all force constants by symmetry.

    :param sites: sites of the supercell.
    :param positions: (S, 3) Cartesian positions of the supercell, A.
    :param distance: length of the displacements, A.
    """
    inverse = np.linalg.inv(sites.matrix)
    atoms, vectors = [], []
    for site in sites.independent:
        in_supercell = inverse @ sites.rotations[sites.stabiliser(site)] @ sites.matrix
        for direction in get_displacement(np.round(in_supercell).astype(np.int64)):
            vector = np.asarray(direction) @ sites.cell
            vector *= distance / np.linalg.norm(vector)
            atoms += [sites.first[site]] * 2
            vectors += [vector, -vector]
    displaced = np.tile(positions, (len(atoms), 1, 1))
    displaced[np.arange(len(atoms)), atoms] += vectors
    return Displacements(np.array(atoms, dtype=np.int64), np.array(vectors), displaced)
