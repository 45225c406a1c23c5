"""What a crystal's symmetry saves of an average over rotations: one evaluation for each coset.

Let the operation g of the crystal, x -> P_g x + t_g, take site s to site g(s), and let E, F_s, S be a model's
energy, forces and stress, of any model that does not see the order of atoms, translations or the choice of a
cell; invariant under rotations it need not be. The crystal turned by R P_g has its site s at

    R P_g x_s = R x_g(s) - R t_g,

where the crystal turned by R has its site g(s), but for a translation. So the two are the same crystal with
other labels: E(R P_g) = E(R) and F_s(R P_g) = F_g(s)(R). Turned back into the frame of the crystal, by
f_s(R) = R^T F_s(R) and s(R) = R^T S(R) R, this reads

    f_s(R P_g) = P_g^T f_g(s)(R),        s(R P_g) = P_g^T s(R) P_g.

The rotations R_k of a set fall into classes {Q_m P_g} with one representative Q_m each (the left cosets of
the point group that the set meets). With u_mg the sum of the weights of all R_k that equal Q_m P_g, the
averages over the set are

    E   = sum_m (sum_g u_mg) E(Q_m),
    f_s = sum_m sum_g u_mg P_g^T f_g(s)(Q_m),
    s   = sum_m sum_g u_mg P_g^T s(Q_m) P_g.

This holds for a crystal that has its symmetry exactly (:attr:`Operations.positions`) and keeps it. Free of
torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.rotation_sets import RotationSet
from aiida_pet.tables.arrays import Floats, Integers

#: Two rotations are one if they differ by less, in Frobenius norm; sets are good to 1e-15, operations to 1e-10.
#: A crystal that lies askew of the set by up to this is still reduced, at an error in energy of this times the
#: slope of the model's energy against the angle: 2 to 10 meV per radian, of the model that ships, on W, MoTa, Nb.
SAME_ROTATION = 1e-6


@dataclass(frozen=True)
class Reduction:
    """The classes of a set of rotations under the point group of one crystal, of G operations.

    :ivar matrices: (M, 3, 3), Q_m, a rotation of the set for each class; only these need be evaluated.
    :ivar weights: (M,), summed over each class; of sum 1.
    :ivar shares: (M, G), u_mg, the weight of those rotations of the set that equal Q_m P_g; of sum 1.
    """

    matrices: Floats
    weights: Floats
    shares: Floats

    def __len__(self) -> int:
        return len(self.weights)


def reduce_by_point_group(rotations: RotationSet, cartesian: Floats) -> Reduction:
    """Return ``rotations`` reduced by the point group ``cartesian`` (G, 3, 3), which acts on column vectors.

    Under the identity alone every rotation is a class of its own, and the order is kept.

    :raises ValueError: if the identity is not in the group.
    """
    if np.abs(cartesian - np.eye(3)).max(axis=(1, 2)).min() > SAME_ROTATION:
        raise ValueError(f"the identity is not among the {len(cartesian)} operations: they are no group")
    if len(cartesian) == 1:
        return Reduction(rotations.matrices, rotations.weights, rotations.weights[:, None])
    from scipy.spatial.distance import cdist  # noqa: PLC0415 - 0.2 s, and only for an average

    flat = rotations.matrices.reshape(-1, 9)
    rest = np.arange(len(rotations))
    first, shares = [], []
    while len(rest):
        images = rotations.matrices[rest[0]] @ cartesian
        distance = cdist(flat[rest], images.reshape(-1, 9))
        nearest = distance.argmin(axis=1)
        same = distance[np.arange(len(rest)), nearest] < SAME_ROTATION
        weights = rotations.weights[rest[same]]
        first.append(rest[0])
        shares.append(np.bincount(nearest[same], weights, minlength=len(cartesian)))
        rest = rest[~same]
    table = np.array(shares)
    return Reduction(rotations.matrices[first], table.sum(axis=1), table)


@dataclass(frozen=True)
class CosetTables:
    """How fields on the P sites of a crystal, evaluated for M representatives, make up their average.

    The formulas of the module with the operations that take a site to a site summed up. Fields are those of
    the turned crystal turned back, and means over the copies of a site where the cell holds several.

    :ivar representative: (B,) representative that a block takes from.
    :ivar source: (B,) site that it takes from.
    :ivar target: (B,) site that it adds to.
    :ivar blocks: (B, 3, 3), sum of u_mg P_g^T over the operations g with g(target) = source; for vectors.
    :ivar shares: (B,), sum of u_mg over the same; for scalars, such as energies of atoms.
    :ivar tensor: (M, 9, 9), sum over g of u_mg P_g^T x P_g^T, acting on a flattened 3x3 tensor.
    """

    representative: Integers
    source: Integers
    target: Integers
    blocks: Floats
    shares: Floats
    tensor: Floats

    @classmethod
    def of(cls, reduction: Reduction, operations: Operations) -> CosetTables:
        """Return the tables of the reduction by the point group of ``operations``."""
        n_sites = operations.n_sites
        inverse = operations.cartesian.mT
        which, operation = np.nonzero(reduction.shares)
        shares = np.repeat(reduction.shares[which, operation], n_sites)
        key = (which[:, None] * n_sites + operations.permutation[operation]) * n_sites + np.arange(n_sites)
        keys, block = np.unique(key, return_inverse=True)
        block = block.reshape(-1)
        blocks = np.zeros((len(keys), 3, 3))
        np.add.at(blocks, block, shares[:, None, None] * np.repeat(inverse[operation], n_sites, axis=0))
        return cls(
            representative=keys // n_sites**2,
            source=keys // n_sites % n_sites,
            target=keys % n_sites,
            blocks=blocks,
            shares=np.bincount(block, shares),
            tensor=np.einsum("mg,gia,gjb->mijab", reduction.shares, inverse, inverse).reshape(-1, 9, 9),
        )
