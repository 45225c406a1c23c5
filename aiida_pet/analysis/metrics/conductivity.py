"""How thermal conductivities compare with references, mode by mode: the numbers of the kappa_SRME benchmark.

Póta et al., "Thermal conductivity predictions with foundation atomistic models", arXiv:2408.00755, as
matbench-discovery computes them. k is the mean of the diagonal of the conductivity at 300 K:

- SRD = 2 (k - k0) / (k + k0), the symmetric relative difference; SRE is its absolute value;
- SRME = 2 / (k + k0) * sum over modes of |k_mode - k0_mode| / sum of the weights of the q-points.

A crystal that has no conductivity (imaginary modes, another space group, a failure), or other modes than the reference,
has SRE 2, SRD -2 and SRME 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from aiida_pet.io.mode_conductivities import ModeConductivity
from aiida_pet.tables.arrays import Floats

__all__ = [
    "KAPPA",
    "conductivity_metrics",
    "difference",
    "mode_metrics",
    "relative_mode_error",
    "spectrum_distance",
]

KAPPA = "kappa_300"
"""Column of the mean conductivity at 300 K, W/(m K)."""
WORST = 2.0


def difference(kappa: ArrayLike, reference: ArrayLike) -> Floats:
    """Return the symmetric relative differences (N,) of conductivities (N,); -2 where there is none."""
    ours, theirs = np.asarray(kappa, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    total = ours + theirs
    known = np.isfinite(ours) & (total > 0)
    found = np.full(ours.shape, -WORST)
    found[known] = 2 * (ours - theirs)[known] / total[known]
    return np.where(np.isfinite(theirs), found, np.nan)


def relative_mode_error(ours: ModeConductivity | None, theirs: ModeConductivity) -> float:
    """Return the SRME of a crystal; 2 if it has no conductivity, or other modes than the reference."""
    if ours is None or ours.modes.shape != theirs.modes.shape or not np.isfinite(ours.modes).all():
        return WORST
    total = ours.kappa + theirs.kappa
    if not total > 0:
        return WORST
    return float(2 * np.abs(ours.modes - theirs.modes).sum() / theirs.weights.sum() / total)


def spectrum_distance(ours: ModeConductivity | None, theirs: ModeConductivity) -> float:
    """Return the Wasserstein-1 distance of the spectra, THz; NaN if one of them is not known."""
    first, second = _spectrum(ours), _spectrum(theirs)
    if first is None or second is None:
        return float("nan")
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 - seconds to import

    return float(wasserstein_distance(first[0], second[0], first[1], second[1]))


def _spectrum(one: ModeConductivity | None) -> tuple[Floats, Floats] | None:
    """Return the frequencies of all modes, THz, and the weight of each."""
    if one is None or one.frequencies is None:
        return None
    weights = np.repeat(one.weights, one.frequencies.shape[1]).astype(np.float64)
    return one.frequencies.ravel(), weights


def conductivity_metrics(kappa: ArrayLike, reference: ArrayLike) -> dict[str, float]:
    """Return the means over all rows with a reference that need no modes.

    :param kappa: (N,) at 300 K; NaN for crystals that have none.
    :param reference: (N,) of the references; rows with NaN are left out.
    :return: ``SRD``, ``SRE``, and ``without_kappa``, the share of rows that have none.

    >>> found = conductivity_metrics([9.0, 11.0], [10.0, 10.0])
    >>> print(round(found["SRE"], 3), found["without_kappa"])
    0.1 0.0
    """
    known = np.isfinite(np.asarray(reference, dtype=np.float64))
    if not known.any():
        return {"SRD": float("nan"), "SRE": float("nan"), "without_kappa": float("nan")}
    values = difference(kappa, reference)[known]
    missing = ~np.isfinite(np.asarray(kappa, dtype=np.float64))[known]
    return {
        "SRD": float(values.mean()),
        "SRE": float(np.abs(values).mean()),
        "without_kappa": float(missing.mean()),
    }


def mode_metrics(
    ours: Mapping[str, ModeConductivity | None],
    theirs: Mapping[str, ModeConductivity],
    *,
    imaginary: Mapping[str, bool] | None = None,
    all_references: bool = False,
) -> dict[str, float]:
    """Return the means over crystals that need modes.

    :param ours: id -> its modes, None for a crystal that has no conductivity.
    :param theirs: id -> modes of the reference.
    :param imaginary: id -> whether it has imaginary modes.
    :param all_references: whether references without a row count, as crystals without a conductivity.
    :return: ``SRME``, ``spectrum_w1`` (THz, of crystals with modes), ``imaginary_mode_rate`` and ``failure_rate``, of
        crystals that have neither a conductivity nor imaginary modes.
    """
    names = [name for name in theirs if all_references or name in ours]
    if not names:
        return dict.fromkeys(("SRME", "spectrum_w1", "imaginary_mode_rate", "failure_rate"), float("nan"))
    flags = imaginary or {}
    soft = np.array([bool(flags.get(name, False)) for name in names])
    without = np.array([ours.get(name) is None for name in names])
    distances = np.array([spectrum_distance(ours.get(name), theirs[name]) for name in names])
    return {
        "SRME": float(np.mean([relative_mode_error(ours.get(name), theirs[name]) for name in names])),
        "spectrum_w1": float(np.nanmean(distances)) if np.isfinite(distances).any() else float("nan"),
        "imaginary_mode_rate": float(soft.mean()),
        "failure_rate": float((without & ~soft).mean()),
    }
