"""Elastic tensors from stresses under strain: the fit, its symmetry, and what a residual stress changes.

Stress and strain are a consistent pair: second Piola-Kirchhoff stress S against Green-Lagrange strain E, so
that S = S_0 + C E with C the second derivative of the energy per reference volume, symmetric and blind to
rotations at any strain. So does atomate2 for the Materials Project; matcalc takes the Cauchy stress against
E, which differs in C by terms of the order of E^2 and of the residual stress. Tensors are 6x6 in Voigt's form
(:mod:`aiida_pet.crystals.elastic.voigt`), moduli in GPa; stresses have ASE's sign, positive where the crystal pulls.
Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_pet.crystals.elastic.voigt import (
    from_mandel,
    mandel_rotations,
    strain_to_voigt,
    stress_to_voigt,
    to_mandel,
)
from aiida_pet.tables.arrays import Floats, Integers

SAME_STRAIN = 1e-6  # of the largest strain


@dataclass(frozen=True)
class ElasticFit:
    """What a fit of stress against strain gives.

    :ivar tensor: C, (6, 6), GPa, as fitted: neither made symmetric nor held to a Laue class.
    :ivar residual: root mean square of what the fit leaves of the stress components, GPa. If each strain has its
        opposite among the strains, only of their odd part, (S(E) - S(-E)) / 2: C depends on nothing else.
    :ivar relative_residual: the same over the root mean square of that part, or else of S - S_0.
    """

    tensor: Floats
    residual: float
    relative_residual: float


def second_piola_kirchhoff(cauchy: Floats, deformation: Floats) -> Floats:
    """Return S = det(F) F^-1 sigma F^-T, in the unit of ``cauchy``.

    :param cauchy: sigma, (..., 3, 3).
    :param deformation: F, (..., 3, 3).
    """
    inverse = np.linalg.inv(deformation)
    pulled = inverse @ cauchy @ np.swapaxes(inverse, -1, -2)
    return np.asarray(np.linalg.det(deformation)[..., None, None] * pulled)


def fit_elastic_tensor(strains: Floats, stresses: Floats, residual_stress: Floats) -> ElasticFit:
    """Return C of S = S_0 + C E by least squares over all strains and stress components at once.

    The stress at zero strain is subtracted, not fitted: what is quadratic in the strain would go into it. Where strains
    come in pairs of plus and minus, C does not depend on it, nor on what is quadratic, and neither does the residual.
    This matters for an unconstrained model: S_0 is averaged over more operations than a strained crystal has, and
    differs from the limit of small strains by some hundredths of a GPa, which changes no modulus.

    :param strains: E, (K, 3, 3), Green-Lagrange.
    :param stresses: S, (K, 3, 3), GPa, second Piola-Kirchhoff.
    :param residual_stress: S_0, (3, 3), GPa, of the crystal as it is, where it is the Cauchy stress too.
    :raises ValueError: if a stress is not finite, or the strains do not determine all of C.
    """
    if not (np.isfinite(stresses).all() and np.isfinite(residual_stress).all()):
        raise ValueError("the stress of a strained cell is not finite")
    strain, stress = strain_to_voigt(strains), stress_to_voigt(stresses - residual_stress)
    solution, _, rank, _ = np.linalg.lstsq(strain, stress, rcond=1e-6)
    if rank < 6:
        raise ValueError(
            f"{len(strain)} strains determine {rank} of the 6 columns of the tensor: expected all six"
        )
    opposite = _opposite(strain)
    if opposite is not None:
        strain, stress = (strain - strain[opposite]) / 2, (stress - stress[opposite]) / 2
    left, spread = _rms(strain @ solution - stress), _rms(stress)
    return ElasticFit(tensor=solution.T, residual=left, relative_residual=left / spread if spread else 0.0)


def symmetrize_tensor(tensor: Floats, rotations: Floats) -> Floats:
    """Return the tensor (6, 6) averaged over a point group and made symmetric: held to the Laue class.

    :param tensor: (6, 6), in the axes of ``rotations``.
    :param rotations: (n, 3, 3), all operations of the group in Cartesian axes.
    """
    turns = mandel_rotations(rotations)
    mean = np.mean(turns @ to_mandel(tensor) @ turns.transpose(0, 2, 1), axis=0)
    return from_mandel((mean + mean.T) / 2)


def symmetrize_stress(stress: Floats, rotations: Floats) -> Floats:
    """Return the symmetric tensor (3, 3) averaged over the point group ``rotations`` (n, 3, 3)."""
    return np.asarray(
        np.einsum("nia,ab,njb->ij", rotations, stress, rotations, optimize=True) / len(rotations)
    )


def stress_strain_coefficients(tensor: Floats, stress: Floats) -> Floats:
    """Return how the Cauchy stress of a crystal that is under ``stress`` changes with strain, (6, 6), GPa.

    These are what sound, stability and bulk modulus of a crystal under pressure follow from (Wang et al.,
    doi:10.1103/PhysRevB.52.12627, eqs. 2.24 and 3.4; B made symmetric, which for a hydrostatic stress it is). At
    pressure P: B_11 = C_11 - P, B_12 = C_12 + P, B_44 = C_44 - P. Without stress they are ``tensor``.

    :param tensor: C, (6, 6), GPa, second derivative of the energy by the Green-Lagrange strain.
    :param stress: (3, 3), GPa, of the crystal as it is; positive where it pulls.
    """
    delta = np.eye(3)
    rank_four = np.einsum("ik,jl->ijkl", stress, delta)
    rank_four = rank_four + rank_four.transpose(1, 0, 2, 3)
    rank_four = rank_four + rank_four.transpose(0, 1, 3, 2)
    volume = np.einsum("ij,kl->ijkl", stress, delta)
    change = (rank_four - volume - volume.transpose(2, 3, 0, 1)) / 2
    flat = stress_to_voigt(stress_to_voigt(change).transpose(2, 0, 1))
    return np.asarray(tensor + flat)


def _opposite(strain: Floats) -> Integers | None:
    """Return which of the strains (K, 6) is the opposite of each, (K,); None if one has none."""
    apart = np.abs(strain[:, None] + strain[None]).max(axis=2)
    nearest = np.argmin(apart, axis=1)
    same = apart[np.arange(len(strain)), nearest] <= SAME_STRAIN * np.abs(strain).max()
    return nearest if same.all() else None


def _rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(values**2)))
