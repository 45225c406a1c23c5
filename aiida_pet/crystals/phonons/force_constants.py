"""Force constants from the forces on displaced supercells, and how far they are from what force constants must be.

Phi_ij,ab = -dF_jb / du_ia in eV/A^2, "compact" as phonopy has it: (P, S, 3, 3), i one atom for each site of the
primitive cell, j all atoms of the supercell. Two solvers: finite differences by pseudo-inversion, which is phonopy's
("traditional", doi:10.1016/j.scriptamat.2015.07.021) over whole arrays instead of atom by atom, and symfc
(doi:10.1103/PhysRevB.110.214302), a fit in a basis that has all symmetries.

A model whose forces are not the derivative of an energy breaks what is exact otherwise: the forces on all atoms do not
add up to zero, nor do the force constants of an atom, and the Hessian is not symmetric. All three are measured before
they are removed. Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_pet.crystals.phonons.displacements import Displacements, SupercellSites
from aiida_pet.job.parameters import ForceConstants
from aiida_pet.tables.arrays import Floats

__all__ = ["SolvedForceConstants", "produce_force_constants"]


@dataclass(frozen=True)
class SolvedForceConstants:
    """Force constants of a crystal, and how far they were from symmetric.

    :ivar values: (P, S, 3, 3), eV/A^2, symmetrised.
    :ivar net_force: largest norm of the sum of the forces on a displaced supercell, eV/A, removed before solving.
    :ivar sum_rule_before: largest |sum_j Phi_ij,ab| of the finite differences, eV/A^2; zero by translation.
    :ivar sum_rule: the same of ``values``.
    :ivar asymmetry: largest |Phi_ij,ab - Phi_ji,ba| of the finite differences, eV/A^2.
    :ivar relative_asymmetry: that over their largest element.
    """

    values: Floats
    net_force: float
    sum_rule_before: float
    sum_rule: float
    asymmetry: float
    relative_asymmetry: float


def produce_force_constants(
    phonopy: Any,
    sites: SupercellSites,
    displacements: Displacements,
    forces: Floats,
    solver: ForceConstants = ForceConstants.TRADITIONAL,
) -> SolvedForceConstants:
    """Return the force constants that ``forces`` give, symmetrised.

    What is measured is measured on the finite differences, whichever solver is taken: symfc's are symmetric whatever
    they are made of.

    :param phonopy: the ``phonopy.Phonopy`` that ``sites`` are of; with symfc its dataset and force constants are set.
    :param sites: sites of its supercell.
    :param displacements: D displaced supercells.
    :param forces: (D, S, 3), eV/A.
    :param solver: which force constants to return.
    :raises ValueError: if ``forces`` have another shape, or are not finite.
    """
    forces = np.array(forces, dtype=np.float64)
    if forces.shape != displacements.positions.shape:
        raise ValueError(f"forces must have shape {displacements.positions.shape}, got {forces.shape}")
    if not np.isfinite(forces).all():
        raise ValueError("the forces on the displaced supercells are not all finite")
    net = forces.sum(axis=1)
    forces -= net[:, None] / forces.shape[1]
    raw = solve_finite_differences(sites, displacements, forces)
    asymmetry = float(np.abs(raw - transpose(sites, raw)).max())
    largest = float(np.abs(raw).max())
    if solver is ForceConstants.SYMFC:
        phonopy.dataset = displacements.dataset(forces)
        phonopy.produce_force_constants(fc_calculator="symfc", calculate_full_force_constants=False)
        values = np.array(phonopy.force_constants)
    else:
        values = symmetrize(sites, raw)
    return SolvedForceConstants(
        values=values,
        net_force=float(np.linalg.norm(net, axis=1).max()),
        sum_rule_before=sum_rule(sites, raw),
        sum_rule=sum_rule(sites, values),
        asymmetry=asymmetry,
        relative_asymmetry=asymmetry / largest if largest else 0.0,
    )


def solve_finite_differences(sites: SupercellSites, displacements: Displacements, forces: Floats) -> Floats:
    """Return (P, S, 3, 3), eV/A^2, symmetric under the space group and nothing else.

    -pinv(U) F for each displaced atom, where U and F hold its displacements and the forces under all operations of its
    site, and by an operation for the other sites of its orbit.
    """
    n_sites, n_atoms = len(sites.first), len(sites.sites)
    values = np.zeros((n_sites, n_atoms, 3, 3))
    for site in sites.independent:
        mine = displacements.atoms == sites.first[site]
        vectors, responses = [], []
        for operation in sites.stabiliser(site):
            rotation = sites.cartesian[operation]
            turned = np.empty_like(forces[mine])
            turned[:, sites.images(operation, site)] = forces[mine] @ rotation.T
            vectors.append(displacements.vectors[mine] @ rotation.T)
            responses.append(turned)
        inverse = np.linalg.pinv(np.concatenate(vectors))
        values[site] = -np.einsum("ad,djb->jab", inverse, np.concatenate(responses), optimize=True)
    done = set(sites.independent.tolist())
    for site in range(n_sites):
        if site in done:
            continue
        # an operation that takes the site to the one that stands for its orbit
        source = sites.permutation[:, site].min()
        operation = int(np.flatnonzero(sites.permutation[:, site] == source)[0])
        rotation = sites.cartesian[operation]
        values[site] = rotation.T @ values[source][sites.images(operation, site)] @ rotation
    return values


def symmetrize(sites: SupercellSites, values: Floats) -> Floats:
    """Return the nearest force constants (P, S, 3, 3) that are symmetric and whose sums are zero.

    The mean of Phi_ij,ab and Phi_ji,ba, with the mean over each atom's row and column taken off. Both are projections
    that commute with each other and with the space group, so one step is exact: it is what phonopy does to the full
    matrix and what symfc's projector does. phonopy's step for compact force constants only comes closer to it.
    """
    symmetric = (values + transpose(sites, values)) / 2
    rows = symmetric.mean(axis=1)
    result: Floats = symmetric - rows[:, None] - rows.transpose(0, 2, 1)[sites.sites] + rows.mean(axis=0)
    return result


def transpose(sites: SupercellSites, values: Floats) -> Floats:
    """Return (P, S, 3, 3) with Phi_ji,ba in the place of Phi_ij,ab, by the periodicity of the crystal."""
    n_sites, n_atoms = values.shape[:2]
    origins = sites.vectors[sites.first]
    # seen from atom j = (s, L), atom i = (p, origin of p) is site p at origin of p - L + origin of s
    back = origins[:, None] - sites.vectors + origins[sites.sites]
    partner = sites.find(np.repeat(np.arange(n_sites), n_atoms), back.reshape(-1, 3)).reshape(
        n_sites, n_atoms
    )
    return values[sites.sites, partner].transpose(0, 1, 3, 2)


def sum_rule(sites: SupercellSites, values: Floats) -> float:
    """Return the largest |sum over an index of Phi|, eV/A^2, over either index; zero if translation costs nothing."""
    return float(max(np.abs(one.sum(axis=1)).max() for one in (values, transpose(sites, values))))
