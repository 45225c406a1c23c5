"""A space group as it acts on the atoms of one crystal, and the crystal made exactly symmetric under it.

Conventions: lattice vectors are rows, lengths in A. An operation takes the fractional column vector x to W x
+ w in the basis of a *primitive* cell of the crystal. So a conventional cell or a supercell does not carry
its centring translations as operations, and keeps its full point group even where the lattice of the
supercell has less (a cubic crystal in a 1x1x2 cell). Operations are found by
:mod:`aiida_pet.crystals.symmetry.spacegroup` and applied to batches by :mod:`aiida_pet.engine.symmetry.projection`.
Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aiida_pet.tables.arrays import Floats, Integers


@dataclass(frozen=True)
class Operations:
    """The space group of one crystal as it acts on its primitive cell of P atoms ("sites").

    :ivar number: number of the space group, 1 to 230.
    :ivar symprec: tolerance at which it was found, A; 0 for the identity that stands in where nothing holds.
    :ivar rotations: (n, 3, 3) int, W in the primitive basis, the identity among them; n <= 48.
    :ivar translations: (n, 3), w in the primitive basis, origin such that the mean position stays.
    :ivar cartesian: (n, 3, 3), the same rotations in Cartesian axes, orthogonal; they act on column vectors.
    :ivar permutation: (n, P), site onto which operation k takes site s.
    :ivar sites: (A,) site of each atom of the cell.
    :ivar supercell: (3, 3) int; cell = supercell @ primitive cell.
    :ivar cell: (3, 3) the cell made exactly symmetric, A.
    :ivar positions: (A, 3) the positions made exactly symmetric, A.
    """

    number: int
    symprec: float
    rotations: Integers
    translations: Floats
    cartesian: Floats
    permutation: Integers
    sites: Integers
    supercell: Integers
    cell: Floats
    positions: Floats

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def n_sites(self) -> int:
        """Atoms of the primitive cell."""
        return self.permutation.shape[1]

    @property
    def is_trivial(self) -> bool:
        """Whether nothing but the identity is in it, lattice translations apart."""
        return len(self.rotations) == 1 and self.n_sites == len(self.sites)

    @cached_property
    def pairs(self) -> PairTables:
        """What a projection onto the group needs; made at first use and kept."""
        return PairTables.of(self)


@dataclass(frozen=True)
class PairTables:
    """A group's projection of vector and tensor fields on P sites.

    The operations between one pair of sites are summed to one 3x3 block: as many as the sum of the squared
    orbit sizes, and never more than operations x sites.

    :ivar source: (B,) site that a block takes from.
    :ivar target: (B,) site that a block adds to.
    :ivar blocks: (B, 3, 3), sum of R_k / n over the operations that take source to target; for vectors.
    :ivar shares: (B,), their number / n; for scalars.
    :ivar tensor: (9, 9), mean of R_k x R_k, acting on a flattened 3x3 tensor.
    """

    source: Integers
    target: Integers
    blocks: Floats
    shares: Floats
    tensor: Floats

    @classmethod
    def of(cls, operations: Operations) -> PairTables:
        """Return the tables of the group ``operations``."""
        rotations, permutation = operations.cartesian, operations.permutation
        n_operations, n_sites = permutation.shape
        pairs, inverse = np.unique(permutation * n_sites + np.arange(n_sites), return_inverse=True)
        blocks = np.zeros((len(pairs), 3, 3))
        np.add.at(blocks, inverse.reshape(-1), np.repeat(rotations, n_sites, axis=0))
        return cls(
            source=pairs % n_sites,
            target=pairs // n_sites,
            blocks=blocks / n_operations,
            shares=np.bincount(inverse.reshape(-1)) / n_operations,
            tensor=np.einsum("kia,kjb->ijab", rotations, rotations).reshape(9, 9) / n_operations,
        )


def identity_operations(cell: Floats, positions: Floats) -> Operations:
    """Return the group of the identity alone, for (A, 3) positions: holds nothing, changes nothing."""
    n_atoms = len(positions)
    return Operations(
        number=1,
        symprec=0.0,
        rotations=np.eye(3, dtype=np.int64)[None],
        translations=np.zeros((1, 3)),
        cartesian=np.eye(3)[None],
        permutation=np.arange(n_atoms)[None],
        sites=np.arange(n_atoms),
        supercell=np.eye(3, dtype=np.int64),
        cell=np.array(cell, dtype=np.float64),
        positions=np.array(positions, dtype=np.float64),
    )


def symmetrize_structure(cell: Floats, positions: Floats, operations: Operations) -> tuple[Floats, Floats]:
    """Return cell (3, 3) and positions (A, 3), A, brought exactly onto the group ``operations``.

    The metric tensor of the primitive cell is averaged over the group, G' = mean W^T G W, and the cell
    follows by a symmetric deformation, that is without rotation. Positions are averaged over the group in
    fractional coordinates, each with the nearest image, about an origin that leaves their mean in place.
    """
    transform = operations.supercell.astype(np.float64)
    primitive, deformation = symmetric_cell(np.linalg.solve(transform, cell), operations.rotations)
    fractional = np.linalg.solve(cell.T, positions.T).T @ transform
    sites, whole = site_positions(fractional, operations.sites)
    translations = operations.translations
    for _ in range(2):  # the second time removes the rounding of the first
        translations = fitted_translations(sites, operations.rotations, translations, operations.permutation)
        sites = sites + mean_shift(sites, operations.rotations, translations, operations.permutation)
    return cell @ deformation, (sites[operations.sites] + whole) @ primitive


def site_positions(fractional: Floats, sites: Integers) -> tuple[Floats, Floats]:
    """Return mean positions (P, 3) of sites, primitive basis, and the lattice vector (A, 3) to each atom."""
    counts = np.bincount(sites)
    first = np.zeros(len(counts), dtype=np.int64)
    first[sites[::-1]] = np.arange(len(sites))[::-1]
    apart = fractional - fractional[first[sites]]
    whole = np.round(apart)
    mean = np.zeros((len(counts), 3))
    np.add.at(mean, sites, apart - whole)
    return fractional[first] + mean / counts[:, None], whole


def symmetric_cell(cell: Floats, rotations: Integers) -> tuple[Floats, Floats]:
    """Return the cell whose metric is the mean over the group, and the symmetric F: that cell is cell @ F."""
    metric = cell @ cell.T
    mean = np.einsum("kab,ac,kcd->bd", rotations, metric, rotations) / len(rotations)
    inverse = np.linalg.inv(cell)
    values, vectors = np.linalg.eigh(inverse @ mean @ inverse.T)
    deformation = (vectors * np.sqrt(values)) @ vectors.T
    return cell @ deformation, deformation


def misfit(fractional: Floats, rotations: Integers, translations: Floats, permutation: Integers) -> Floats:
    """Return (n, P, 3): from the image of each site to the site it belongs to, primitive basis."""
    images = np.einsum("kab,sb->ksa", rotations, fractional) + translations[:, None]
    apart: Floats = fractional[permutation] - images
    return apart - np.round(apart)


def fitted_translations(
    fractional: Floats, rotations: Integers, translations: Floats, permutation: Integers
) -> Floats:
    """Return the translations (n, 3) that fit best: of the same group, origin by the sites."""
    return translations + misfit(fractional, rotations, translations, permutation).mean(axis=1)


def mean_shift(
    fractional: Floats, rotations: Integers, translations: Floats, permutation: Integers
) -> Floats:
    """Return (P, 3): from each site to the mean of the images that fall on it."""
    apart = misfit(fractional, rotations, translations, permutation)
    # site t is hit by the inverse permutation: put each operation's part at its target
    at_target = np.empty_like(apart)
    np.put_along_axis(at_target, permutation[:, :, None], apart, axis=1)
    return -at_target.mean(axis=0)
