"""How phonons compare with reference phonons, as the MDR benchmark measures it.

Loew, Sun, Wang, Botti, Marques, "Universal machine learning interatomic potentials are ready for phonons", npj Comput.
Mater. 11, 178 (2025), doi:10.1038/s41524-025-01650-1: mean absolute errors, over some 10,000 crystals of the phonon
database at MDR, of the largest frequency in K and of vibrational entropy, Helmholtz free energy and heat capacity at
300 K. As in fairchem's implementation (``MDRPhononRunner``) they are per primitive cell as phonopy gives them, in J/(K
mol) and kJ/mol; per atom on request. A row that failed has no error and is counted as failed. There the largest
frequency is taken over the q-points commensurate with the supercell, here over the mesh of the column.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.constants import Boltzmann, Planck

from aiida_pet.analysis.metrics.stability import regression_metrics

# A quantum of 1 THz is as much as k_B times this many K: h 1 THz / k_B, 47.992 K.
THZ_TO_KELVIN = Planck * 1e12 / Boltzmann
# Frequencies down to this are no imaginary modes but noise of the acoustic ones, THz.
IMAGINARY_THRESHOLD = -0.05

UNITS: Mapping[str, str] = {
    "max_frequency": "K",
    "entropy_300": "J/(K mol)",
    "free_energy_300": "kJ/mol",
    "heat_capacity_300": "J/(K mol)",
}


def phonon_metrics(
    predicted: Mapping[str, ArrayLike],
    reference: Mapping[str, ArrayLike],
    *,
    n_atoms: ArrayLike | None = None,
) -> dict[str, float]:
    """Return mean absolute errors of phonon properties at 300 K.

    :param predicted: (N,) ``max_frequency`` (THz), ``entropy_300`` (J/(K mol)), ``free_energy_300`` (kJ/mol),
        ``heat_capacity_300`` (J/(K mol)), any of them, per primitive cell; NaN for rows that failed.
    :param reference: the same; a quantity that only one of the two has is left out.
    :param n_atoms: (N,) atoms of the primitive cells: errors of thermal quantities are then per atom.
    :return: ``mae_<quantity>`` (the frequency in K, others as given) and ``failed_<quantity>``, the share of rows with
        a reference but no prediction.

    >>> found = phonon_metrics({"heat_capacity_300": [24.0, 23.0]}, {"heat_capacity_300": [24.5, 23.5]})
    >>> print(found["mae_heat_capacity_300"])
    0.5
    """
    found: dict[str, float] = {}
    for name in UNITS:
        if name not in predicted or name not in reference:
            continue
        ours, theirs = _floats(predicted[name]), _floats(reference[name])
        scale: NDArray[np.float64] | float = THZ_TO_KELVIN if name == "max_frequency" else 1.0
        if n_atoms is not None and name != "max_frequency":
            scale = 1.0 / _floats(n_atoms)
        known = np.isfinite(theirs)
        found[f"mae_{name}"] = regression_metrics(theirs * scale, ours * scale)["MAE"]
        found[f"failed_{name}"] = float(np.isnan(ours[known]).mean()) if known.any() else float("nan")
    return found


def dynamic_stability_metrics(
    predicted: ArrayLike, reference: ArrayLike, *, threshold: float = IMAGINARY_THRESHOLD
) -> dict[str, float]:
    """Return how well smallest frequencies tell dynamically stable crystals from unstable ones.

    :param predicted: (N,) smallest frequencies, THz, imaginary ones negative; rows with NaN are left out.
    :param reference: (N,) the same.
    :param threshold: a crystal is stable if no frequency lies below, THz.
    :return: ``accuracy``, and of the stable crystals ``precision`` and ``recall``; ``n_rows`` that were compared.

    >>> found = dynamic_stability_metrics([0.0, -2.0, 0.0], [0.0, -1.5, -1.0])
    >>> print(found["precision"], found["recall"], found["n_rows"])
    0.5 1.0 3
    """
    ours, theirs = _floats(predicted), _floats(reference)
    both = np.isfinite(ours) & np.isfinite(theirs)
    said, true = ours[both] >= threshold, theirs[both] >= threshold

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
        return float(of[among].mean()) if among.any() else float("nan")

    return {
        "accuracy": float((said == true).mean()) if both.any() else float("nan"),
        "precision": share(true, said),
        "recall": share(said, true),
        "n_rows": int(both.sum()),
    }


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
