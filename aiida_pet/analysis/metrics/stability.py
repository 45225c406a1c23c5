"""How well energies above hull tell stable from unstable, as matbench-discovery counts it.

The numbers equal those of ``matbench_discovery.metrics.discovery`` at commit 2c7f9fc (July 2026), rebuilt without its
dependencies: Riebesell et al., "A framework to evaluate machine learning crystal stability predictions", Nat. Mach.
Intell. 7, 836 (2025). Release 1.3.1 divides the accuracy by the rows with a prediction instead of all; else they agree.
Energies are in eV/atom.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

# On the hull or below it: matbench_discovery.STABILITY_THRESHOLD, eV/atom.
STABILITY_THRESHOLD = 0.0
MOST_STABLE = 10_000

FULL_TEST_SET = "full_test_set"
UNIQUE_PROTOTYPES = "unique_prototypes"
MOST_STABLE_10K = "most_stable_10k"


def stable_metrics(
    true: ArrayLike,
    predicted: ArrayLike,
    *,
    stability_threshold: float = STABILITY_THRESHOLD,
    fillna: bool = True,
) -> dict[str, float]:
    """Return how predicted energies above hull classify, and how far they are off.

    A row without prediction counts as predicted unstable, a row without reference is left out.

    :param true: (N,) reference energies above hull.
    :param predicted: (N,) predicted ones.
    :param stability_threshold: up to this energy above hull a crystal is stable.
    :param fillna: count rows without a prediction; if not, they are neither.
    :return: F1, DAF (discovery acceleration factor: precision over the share of stable rows), Precision, Recall,
        Accuracy, TPR, FPR, TNR, FNR; TP, FP, TN, FN (rows); MAE, RMSE (eV/atom) and R2 of the rows with both. NaN where
        there is nothing to divide by.
    :raises ValueError: if the arrays are of different length, or the threshold is not a number.

    >>> found = stable_metrics([0.0, 0.02, 0.1], [0.0, 0.0, 0.2])
    >>> print(found["Precision"], found["Recall"])
    0.5 1.0
    """
    true, predicted = _numbers(true), _numbers(predicted)
    if true.shape != predicted.shape:
        raise ValueError(f"{len(true)} reference energies, but {len(predicted)} predicted ones")
    if np.isnan(stability_threshold):
        raise ValueError("stability_threshold = nan: expected a number in eV/atom")
    positive, negative = predicted <= stability_threshold, predicted > stability_threshold
    if fillna:
        negative |= np.isnan(predicted)
    stable, unstable = true <= stability_threshold, true > stability_threshold
    tp, fn = int((stable & positive).sum()), int((stable & negative).sum())
    fp, tn = int((unstable & positive).sum()), int((unstable & negative).sum())
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    prevalence = _ratio(tp + fn, tp + fn + fp + tn)
    return {
        "F1": _ratio(2 * precision * recall, precision + recall),
        "DAF": _ratio(precision, prevalence),
        "Precision": precision,
        "Recall": recall,
        "Accuracy": _ratio(tp + tn, tp + fn + fp + tn),
        "TPR": recall,
        "FPR": _ratio(fp, fp + tn),
        "TNR": _ratio(tn, fp + tn),
        "FNR": _ratio(fn, tp + fn),
        "TP": tp,
        "FP": fp,
        "TN": tn,
        "FN": fn,
        **regression_metrics(true, predicted),
    }


def regression_metrics(true: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Return MAE, RMSE and R2 of the rows that have both numbers; NaN without such rows, R2 with fewer than two.

    >>> print(regression_metrics([1.0, 2.0], [1.0, 2.5])["MAE"])
    0.25
    """
    true, predicted = _numbers(true), _numbers(predicted)
    both = ~(np.isnan(true) | np.isnan(predicted))
    true, predicted = true[both], predicted[both]
    if not len(true):
        return {"MAE": np.nan, "RMSE": np.nan, "R2": np.nan}
    errors = true - predicted
    return {
        "MAE": float(np.abs(errors).mean()),
        "RMSE": float((errors**2).mean() ** 0.5),
        "R2": _r2(true, predicted),
    }


def discovery_metrics(
    frame: pd.DataFrame,
    predicted: pd.Series,
    *,
    e_above_hull: str = "e_above_hull_dft",
    formation_energy: str = "formation_energy_dft",
    unique_prototype: str = "unique_prototype",
    unique_prevalence: float | None = None,
) -> dict[str, dict[str, float]]:
    """Return :func:`stable_metrics` over all rows, unique prototypes, and the 10,000 of these predicted most stable.

    The predicted distance is to the fixed hull of the reference: reference distance plus the error of the formation
    energy. For the last two subsets DAF is the precision over the share of stable rows among the unique prototypes.

    :param frame: reference, one row per crystal.
    :param predicted: formation energies by the frame's index; rows that are missing count as not predicted.
    :param e_above_hull: column of reference energies above hull.
    :param formation_energy: column of reference formation energies.
    :param unique_prototype: column that says which rows are: true or false, in words or numbers; missing is false.
    :param unique_prevalence: share of stable rows among the unique prototypes, if the frame's energies are rounded,
        which makes barely unstable rows stable.
    :raises ValueError: if predictions are of no row of the frame, or columns are missing.

    >>> columns = {"e_above_hull_dft": [0.0, 0.1], "formation_energy_dft": [-0.5, -0.2], "unique_prototype": True}
    >>> reference = pd.DataFrame(columns, index=["a", "b"])
    >>> found = discovery_metrics(reference, pd.Series({"a": -0.5, "b": -0.4}))
    >>> list(found)
    ['full_test_set', 'unique_prototypes', 'most_stable_10k']
    >>> print(found["full_test_set"]["Precision"])
    0.5
    """
    missing = [
        name for name in (e_above_hull, formation_energy, unique_prototype) if name not in frame.columns
    ]
    if missing:
        raise ValueError(
            f"columns {', '.join(missing)} are missing: there are {', '.join(map(str, frame.columns))}"
        )
    unknown = predicted.index.difference(frame.index)
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} predictions belong to no row of the reference: {unknown[:10].tolist()}"
        )
    true = pd.to_numeric(frame[e_above_hull], errors="coerce")
    aligned = pd.to_numeric(predicted.reindex(frame.index), errors="coerce")
    distance = true + aligned - pd.to_numeric(frame[formation_energy], errors="coerce")
    unique = frame.index[flags_of(frame[unique_prototype])]
    most_stable = distance.loc[unique].sort_values(na_position="last", kind="stable").head(MOST_STABLE).index
    found = {
        name: stable_metrics(true.loc[rows], distance.loc[rows])
        for name, rows in (
            (FULL_TEST_SET, frame.index),
            (UNIQUE_PROTOTYPES, unique),
            (MOST_STABLE_10K, most_stable),
        )
    }
    if unique_prevalence is None:
        unique_prevalence = float((true.loc[unique] <= STABILITY_THRESHOLD).mean()) if len(unique) else np.nan
    for name in (UNIQUE_PROTOTYPES, MOST_STABLE_10K):
        found[name]["DAF"] = _ratio(found[name]["Precision"], unique_prevalence)
    return found


def flags_of(values: pd.Series) -> NDArray[np.bool_]:
    """Return (N,) whether each value is true: a bool, 1 or 0, or a text that says so; what is missing is not.

    :raises ValueError: naming the column and a value that is neither true nor false.
    """
    found = np.zeros(len(values), dtype=bool)
    for place, value in enumerate(values.tolist()):
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            continue
        text = str(value).strip().casefold()
        if text in _TRUE:
            found[place] = True
        elif text not in _FALSE:
            raise ValueError(
                f"column {values.name!r} of {values.index[place]} is {value!r}: expected true or false, such as true, "
                "yes, 1 or false, no, 0, or nothing"
            )
    return found


_TRUE = ("true", "t", "yes", "y", "1", "1.0")
_FALSE = ("false", "f", "no", "n", "0", "0.0", "", "nan", "none", "na", "n/a", "<na>")

UNITS: Mapping[str, str] = {"MAE": "eV/atom", "RMSE": "eV/atom"}


def _numbers(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(pd.to_numeric(pd.Series(values), errors="coerce"), dtype=np.float64)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _r2(true: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """Return the coefficient of determination; without variance 1 for no error, else 0, as scikit-learn's."""
    if len(true) < 2:
        return float("nan")
    residual = ((true - predicted) ** 2).sum()
    total = ((true - true.mean()) ** 2).sum()
    if total == 0:
        return 1.0 if residual == 0 else 0.0
    return float(1 - residual / total)
