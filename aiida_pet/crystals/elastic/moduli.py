"""Moduli of a polycrystal, mechanical stability and Debye temperature from elastic tensors, many at a time.

Averages of Voigt, Reuss and Hill (R. Hill, doi:10.1088/0370-1298/65/5/307). Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import constants

from aiida_pet.crystals.elastic.voigt import to_mandel
from aiida_pet.tables.arrays import Floats

# A stiffness that is smaller than this share of the largest is none: the tensor cannot be inverted.
_SINGULAR = 1e-10


@dataclass(frozen=True)
class ElasticModuli:
    """What follows from elastic tensors (..., 6, 6) alone; arrays of shape (...).

    NaN where a tensor is not finite, and, of all that the Reuss average enters (Hill's averages too), where it cannot
    be inverted.

    :ivar bulk_modulus_voigt: K_V, GPa.
    :ivar bulk_modulus_reuss: K_R, GPa.
    :ivar bulk_modulus: K, GPa, Hill's: the mean of both.
    :ivar shear_modulus_voigt: G_V, GPa.
    :ivar shear_modulus_reuss: G_R, GPa.
    :ivar shear_modulus: G, GPa, Hill's.
    :ivar youngs_modulus: E = 9 K G / (3 K + G), GPa, of Hill's averages.
    :ivar poisson_ratio: (3 K - 2 G) / (6 K + 2 G), of Hill's averages.
    :ivar pugh_ratio: K / G, of Hill's averages; above 1.75 counts as ductile (Pugh, doi:10.1080/14786440808520496,
        who gives G / K).
    :ivar universal_anisotropy: 5 G_V / G_R + K_V / K_R - 6, zero for an isotropic crystal (Ranganathan and
        Ostoja-Starzewski, doi:10.1103/PhysRevLett.101.055504).
    :ivar min_eigenvalue: smallest eigenvalue of the tensor in Mandel's form, GPa, the same in all axes.
    :ivar is_mechanically_stable: whether it is above zero (Mouhat and Coudert, doi:10.1103/PhysRevB.90.224104).
    """

    bulk_modulus_voigt: Floats
    bulk_modulus_reuss: Floats
    bulk_modulus: Floats
    shear_modulus_voigt: Floats
    shear_modulus_reuss: Floats
    shear_modulus: Floats
    youngs_modulus: Floats
    poisson_ratio: Floats
    pugh_ratio: Floats
    universal_anisotropy: Floats
    min_eigenvalue: Floats
    is_mechanically_stable: NDArray[np.bool_]


def elastic_moduli(tensors: Floats) -> ElasticModuli:
    """Return the moduli of symmetric elastic tensors (..., 6, 6), Voigt's form, GPa. Never raises for a tensor."""
    finite = np.isfinite(tensors).all(axis=(-2, -1))
    mandel = to_mandel(np.where(finite[..., None, None], tensors, np.eye(6)))
    values, vectors = np.linalg.eigh(mandel)
    sizes = np.abs(values)
    regular = sizes.min(axis=-1) > _SINGULAR * sizes.max(axis=-1)
    inverse = 1.0 / np.where(regular[..., None], values, np.nan)
    compliance = (vectors * inverse[..., None, :]) @ np.swapaxes(vectors, -1, -2)

    def known(modulus: Floats) -> Floats:
        return np.where(finite, modulus, np.nan)

    # projections of a tensor on pressure and on all shears: traces that do not depend on the axes
    bulk_voigt = known(_pressure_part(mandel) / 3)
    shear_voigt = known(_shear_part(mandel) / 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        bulk_reuss = known(1 / (3 * _pressure_part(compliance)))
        shear_reuss = known(5 / (2 * _shear_part(compliance)))
        bulk, shear = (bulk_voigt + bulk_reuss) / 2, (shear_voigt + shear_reuss) / 2
        smallest = known(values[..., 0])
        return ElasticModuli(
            bulk_modulus_voigt=bulk_voigt,
            bulk_modulus_reuss=bulk_reuss,
            bulk_modulus=bulk,
            shear_modulus_voigt=shear_voigt,
            shear_modulus_reuss=shear_reuss,
            shear_modulus=shear,
            youngs_modulus=9 * bulk * shear / (3 * bulk + shear),
            poisson_ratio=(3 * bulk - 2 * shear) / (6 * bulk + 2 * shear),
            pugh_ratio=bulk / shear,
            universal_anisotropy=5 * shear_voigt / shear_reuss + bulk_voigt / bulk_reuss - 6,
            min_eigenvalue=smallest,
            is_mechanically_stable=smallest > 0,
        )


def _pressure_part(mandel: Floats) -> Floats:
    """Return p C p with the unit vector p of hydrostatic strain."""
    return np.asarray(mandel[..., :3, :3].sum(axis=(-2, -1)) / 3)


def _shear_part(mandel: Floats) -> Floats:
    """Return the trace of C over the five strains that keep the volume."""
    return np.asarray(np.trace(mandel, axis1=-2, axis2=-1) - _pressure_part(mandel))


@dataclass(frozen=True)
class SoundVelocities:
    """Velocities in an isotropic polycrystal, m/s; NaN where a wave has none.

    :ivar longitudinal: v_l = sqrt((K + 4 G / 3) / rho).
    :ivar transverse: v_t = sqrt(G / rho).
    :ivar mean: v_m = (1 / (3 v_l^3) + 2 / (3 v_t^3))^(-1/3).
    """

    longitudinal: Floats
    transverse: Floats
    mean: Floats


def sound_velocities(
    bulk: ArrayLike, shear: ArrayLike, mass: ArrayLike, volume: ArrayLike
) -> SoundVelocities:
    """Return velocities of sound, arrays of the shape of the arguments.

    :param bulk: K, GPa; negative ones have no sound, as negative ``shear``.
    :param shear: G, GPa.
    :param mass: mass of a cell, atomic mass units.
    :param volume: volume of the cell, A^3.
    """
    stiff = np.asarray(bulk, dtype=np.float64), np.asarray(shear, dtype=np.float64)
    sound = (stiff[0] > 0) & (stiff[1] > 0)
    bulk_pa, shear_pa = (np.where(sound, modulus, np.nan) * constants.giga for modulus in stiff)
    density = np.asarray(mass) * constants.atomic_mass / (np.asarray(volume) * constants.angstrom**3)
    longitudinal, transverse = np.sqrt((bulk_pa + 4 / 3 * shear_pa) / density), np.sqrt(shear_pa / density)
    mean = (1 / (3 * longitudinal**3) + 2 / (3 * transverse**3)) ** (-1 / 3)
    return SoundVelocities(longitudinal=longitudinal, transverse=transverse, mean=mean)


def debye_temperature(velocity: ArrayLike, n_atoms: ArrayLike, volume: ArrayLike) -> Floats:
    """Return Debye's temperature, K, by O. L. Anderson, doi:10.1016/0022-3697(63)90067-2, of all atoms.

    :param velocity: mean velocity of sound, m/s.
    :param n_atoms: in a cell.
    :param volume: volume of the cell, A^3.
    """
    atoms_per_m3 = np.asarray(n_atoms) / (np.asarray(volume) * constants.angstrom**3)
    wave_number = (6 * np.pi**2 * atoms_per_m3) ** (1 / 3)
    return np.asarray(constants.hbar / constants.k * np.asarray(velocity) * wave_number)
