"""How elastic moduli compare with reference moduli.

Mean absolute errors of bulk and shear modulus (Voigt-Reuss-Hill averages, GPa), as matcalc's elasticity benchmark gives
them, and of their decimal logarithms, as Matbench does (``log_kvrh``, ``log_gvrh``: Dunn et al., npj Comput. Mater. 6,
138 (2020)). A modulus that is missing, or not positive where the logarithm is taken, is a failed row.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from aiida_pet.analysis.metrics.stability import regression_metrics

MODULI = ("bulk_modulus", "shear_modulus")


def elastic_metrics(
    predicted: Mapping[str, ArrayLike], reference: Mapping[str, ArrayLike]
) -> dict[str, float]:
    """Return errors of moduli.

    :param predicted: (N,) ``bulk_modulus`` and ``shear_modulus``, GPa, one or both; NaN for rows that failed.
    :param reference: the same.
    :return: ``mae_<modulus>`` (GPa), ``mae_log10_<modulus>`` (log10 GPa, of positive values), ``failed_<modulus>``
        (share of rows with a reference but without a positive prediction).

    >>> found = elastic_metrics({"bulk_modulus": [260.0, float("nan")]}, {"bulk_modulus": [250.0, 100.0]})
    >>> print(found["mae_bulk_modulus"], found["failed_bulk_modulus"])
    10.0 0.5
    """
    found: dict[str, float] = {}
    for name in MODULI:
        if name not in predicted or name not in reference:
            continue
        ours, theirs = (np.asarray(side[name], dtype=np.float64) for side in (predicted, reference))
        logarithms = [np.log10(np.where(values > 0, values, np.nan)) for values in (theirs, ours)]
        known = np.isfinite(theirs)
        found[f"mae_{name}"] = regression_metrics(theirs, ours)["MAE"]
        found[f"mae_log10_{name}"] = regression_metrics(*logarithms)["MAE"]
        found[f"failed_{name}"] = float((~(ours[known] > 0)).mean()) if known.any() else float("nan")
    return found
