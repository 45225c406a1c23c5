"""Sets of rotations of space over which a model that is not exactly invariant is averaged.

E_avg = sum_k w_k E(R_k x): a set is a quadrature of O(3), the rotations R_k with weights w_k. It is exact to
degree l if it averages every Wigner matrix D^1 ... D^l to zero, as the mean over all of O(3) does. Sets are
fixed in the laboratory frame, so that the averaged energy is as smooth in the cell as the model is. What a
crystal's own symmetry saves of a set is the matter of :mod:`aiida_pet.crystals.symmetry.cosets`.

Conventions: rotations are orthogonal 3x3 matrices, proper (det 1) and improper (det -1), that act on column
vectors. Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_pet.tables.arrays import Floats

#: Degrees of the Lebedev rules there are (scipy.integrate.lebedev_rule).
LEBEDEV_DEGREES = (*range(3, 32, 2), *range(35, 132, 6))

# Steele, Lea and Flood, SplitMix64, doi:10.1145/2660193.2660195: the increment and the finaliser.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FINALISER = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))


@dataclass(frozen=True)
class RotationSet:
    """K rotations of O(3) with weights.

    :ivar name: for messages and provenance.
    :ivar matrices: (K, 3, 3), orthogonal, all different.
    :ivar weights: (K,), positive, of sum 1.
    """

    name: str
    matrices: Floats
    weights: Floats

    def __len__(self) -> int:
        return len(self.weights)


def lebedev(l_max: int, *, inversion: bool = True) -> RotationSet:
    """Return the set that metatomic's ``SymmetrizedCalculator`` takes for ``l_max``: exact to degree l_max.

    R = Rz(alpha) Ry(beta) Rz(gamma) with (beta, alpha) from the smallest Lebedev rule of degree l_max or more
    and 2 l_max + 1 equal steps of gamma, each with and without the inversion: 36, 60, 84, 252, 308, 676
    rotations for l_max = 1 ... 6.

    :param inversion: whether each rotation comes with its product with the inversion; half as many without.
    :raises ValueError: if there is no rule for ``l_max``.
    """
    if not 1 <= l_max <= LEBEDEV_DEGREES[-1]:
        raise ValueError(f"l_max is {l_max}; there are Lebedev sets for 1 to {LEBEDEV_DEGREES[-1]}")
    from scipy.integrate import lebedev_rule  # noqa: PLC0415 - a tenth of a second, which most jobs need not wait for

    points, on_sphere = lebedev_rule(min(degree for degree in LEBEDEV_DEGREES if degree >= l_max))
    x, y, z = points
    n_gamma = 2 * l_max + 1
    gamma = 2 * np.pi * np.arange(n_gamma) / n_gamma
    polar = np.stack([np.arctan2(y, x), np.arctan2(np.hypot(x, y), z)], axis=1)
    angles = np.column_stack([np.repeat(polar, n_gamma, axis=0), np.tile(gamma, len(z))])
    proper = _rotation().from_euler("ZYZ", angles).as_matrix()
    weights = np.repeat(on_sphere, n_gamma)
    if not inversion:
        return RotationSet(f"lebedev-{l_max}-proper", proper, weights / weights.sum())
    return _with_inversion(f"lebedev-{l_max}", proper, weights)


def icosahedral() -> RotationSet:
    """Return the 120 operations of the icosahedral group I_h, equal weights: exact to degree 5.

    The coordinate axes are twofold axes; fivefold axes are (0, 1, p), (1, p, 0), (p, 0, 1) and those with one
    sign changed, p = (1 + sqrt(5)) / 2.
    """
    return _with_inversion("icosahedral", _rotation().create_group("I").as_matrix())


def octahedral() -> RotationSet:
    """Return the 48 operations of the cubic group O_h, equal weights: exact to degree 3.

    The coordinate axes are the fourfold axes. A cubic crystal along these axes has all of these itself, and
    gains nothing from this set.
    """
    return _with_inversion("octahedral", np.round(_rotation().create_group("O").as_matrix()))


def random_rotation(rng: np.random.Generator) -> Floats:
    """Return one rotation (3, 3), uniform on O(3), proper or improper with equal probability."""
    proper: Floats = _rotation().random(rng=rng).as_matrix()
    return proper if rng.integers(2) else -proper


def random_rotations(keys: NDArray[Any], seed: int, step: int | NDArray[Any]) -> Floats:
    """Return rotations (N, 3, 3), uniform on O(3), one for each row of a batch.

    A row's rotation follows from its key, ``seed`` and ``step`` and from nothing else: not from the batch the
    row is in. Numbers come from SplitMix64, a quaternion from three of them by Shoemake's method
    (doi:10.1016/B978-0-08-050755-2.50036-1).

    :param keys: (N,) integers, one for each row, that stay with it.
    :param seed: seed of the run, 0 or more.
    :param step: that the rotations are for, 0 or more; or (N,) those of the rows.
    """
    state = np.asarray(keys).astype(np.uint64)
    for number in (seed, step):
        state = _mixed(_mixed(state) ^ np.uint64(number))
    streams = state + _INCREMENT * np.arange(1, 5, dtype=np.uint64)[:, None]
    uniform = (_mixed(streams) >> np.uint64(11)) * 2.0**-53  # (4, N) in [0, 1)
    first, second = 2 * np.pi * uniform[:2]
    short, long = np.sqrt(uniform[2]), np.sqrt(1 - uniform[2])
    quaternions = [long * np.sin(first), long * np.cos(first), short * np.sin(second), short * np.cos(second)]
    proper = _rotation().from_quat(np.stack(quaternions, axis=1)).as_matrix()
    return np.where(uniform[3] < 0.5, -1.0, 1.0)[:, None, None] * proper


def _with_inversion(name: str, proper: Floats, weights: Floats | None = None) -> RotationSet:
    """Return the set of the proper rotations and of each times the inversion; equal weights by default."""
    weights = np.ones(len(proper)) if weights is None else weights
    weights = np.concatenate([weights, weights])
    return RotationSet(name, np.concatenate([proper, -proper]), weights / weights.sum())


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return ``numbers`` one increment on and finalised as SplitMix64 does it."""
    numbers = numbers + _INCREMENT
    for shift, factor in _FINALISER:
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers


def _rotation() -> Any:
    """Return scipy's class of rotations, imported only where there are some: 0.2 s of a start."""
    from scipy.spatial.transform import Rotation  # noqa: PLC0415

    return Rotation
