"""Stability metrics against matbench-discovery's own code, as numbers of its commit 2c7f9fc and by calling it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiida_pet.analysis.metrics.stability import discovery_metrics, regression_metrics, stable_metrics

EXACT = {"rel": 1e-13, "abs": 1e-13, "nan_ok": True}

# matbench_discovery.metrics.discovery.stable_metrics at commit 2c7f9fc on `energies()`, by its arguments
STABLE: list[tuple[dict[str, Any], dict[str, float]]] = [
    (
        {},
        {
            "F1": 0.8123076923076923, "DAF": 2.4772520473157416, "Precision": 0.7857142857142857,
            "Recall": 0.8407643312101911, "Accuracy": 0.8767676767676768, "TPR": 0.8407643312101911,
            "FPR": 0.10650887573964497, "TNR": 0.893491124260355, "FNR": 0.1592356687898089,
            "TP": 132, "FP": 36, "TN": 302, "FN": 25,
            "MAE": 0.03716335054196866, "RMSE": 0.04685560696913669, "R2": 0.7785845838022599,
        },
    ),
    (
        {"fillna": False},
        {
            "F1": 0.8173374613003096, "DAF": 2.44331797235023, "Precision": 0.7857142857142857,
            "Recall": 0.8516129032258064, "Accuracy": 0.8775933609958506, "TPR": 0.8516129032258064,
            "FPR": 0.11009174311926606, "TNR": 0.8899082568807339, "FNR": 0.14838709677419354,
            "TP": 132, "FP": 36, "TN": 291, "FN": 23,
            "MAE": 0.03716335054196866, "RMSE": 0.04685560696913669, "R2": 0.7785845838022599,
        },
    ),
    (
        {"stability_threshold": 0.1},
        {
            "F1": 0.9125925925925925, "DAF": 1.3386130963878695, "Precision": 0.9221556886227545,
            "Recall": 0.9032258064516129, "Accuracy": 0.8808080808080808, "TPR": 0.9032258064516129,
            "FPR": 0.16883116883116883, "TNR": 0.8311688311688312, "FNR": 0.0967741935483871,
            "TP": 308, "FP": 26, "TN": 128, "FN": 33,
            "MAE": 0.03716335054196866, "RMSE": 0.04685560696913669, "R2": 0.7785845838022599,
        },
    ),
]  # fmt: skip
# matbench_discovery.metrics.discovery.calc_discovery_metrics at commit 2c7f9fc on `wbm()`
SUBSETS = {
    "full_test_set": {
        "F1": 0.7847435335379219, "DAF": 2.4584612269467754, "Precision": 0.7687116564417178,
        "Recall": 0.8014583599846489, "Accuracy": 0.86252, "TP": 6265, "FP": 1885, "TN": 15298, "FN": 1552,
        "MAE": 0.03977454148550444, "RMSE": 0.04984435152092417, "R2": 0.7478821659221853,
    },
    "unique_prototypes": {
        "F1": 0.7867618226021489, "DAF": 2.467654648879771, "Precision": 0.7727622862424895,
        "Recall": 0.8012779552715655, "Accuracy": 0.8639819909954978, "TP": 5016, "FP": 1475, "TN": 12255,
        "FN": 1244, "MAE": 0.039798248220291724, "RMSE": 0.04988815510076657, "R2": 0.7478774995015718,
    },
    "most_stable_10k": {
        "F1": 0.8123076923076923, "DAF": 2.467654648879771, "Precision": 0.7727622862424895,
        "Recall": 0.8561187916026626, "Accuracy": 0.7682, "TP": 5016, "FP": 1475, "TN": 2666, "FN": 843,
        "MAE": 0.03932390211693627, "RMSE": 0.049280819452330156, "R2": 0.49128264909652974,
    },
}  # fmt: skip


def energies(count: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Reference and predicted energies above hull, some of each missing."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0.05, 0.1, count)
    predicted = true + rng.normal(0, 0.05, count)
    predicted[::37], true[::101] = np.nan, np.nan
    return true, predicted


def wbm() -> tuple[pd.DataFrame, pd.Series]:
    """Reference of 25,000 rows, and formation energies of most of them."""
    rng = np.random.default_rng(1)
    count = 25_000
    frame = pd.DataFrame(
        {
            "e_above_hull_dft": rng.normal(0.05, 0.1, count),
            "formation_energy_dft": rng.normal(-1, 0.5, count),
            "unique_prototype": rng.random(count) < 0.8,
        },
        index=[f"wbm-{i}" for i in range(count)],
    )
    predicted = frame["formation_energy_dft"] + rng.normal(0, 0.05, count)
    predicted.iloc[::37] = np.nan
    return frame, predicted.iloc[:-10]


@pytest.mark.parametrize(("arguments", "expected"), STABLE, ids=["default", "not filled", "threshold"])
def test_stable_metrics_equal_those_of_matbench_discovery(
    arguments: dict[str, Any], expected: dict[str, float]
) -> None:
    assert stable_metrics(*energies(), **arguments) == pytest.approx(expected, **EXACT)


def test_subsets_equal_those_of_matbench_discovery() -> None:
    found = discovery_metrics(*wbm())
    assert found.keys() == SUBSETS.keys()
    for name, expected in SUBSETS.items():
        assert {key: found[name][key] for key in expected} == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("arguments", [{}, {"fillna": False}, {"stability_threshold": 0.05}])
def test_stable_metrics_equal_the_package_itself(seed: int, arguments: dict[str, Any]) -> None:
    package = pytest.importorskip("matbench_discovery.metrics")
    true, predicted = energies(300, seed)
    if hasattr(package, "stable_metrics"):  # release 1.3.1, whose accuracy is not to be had with missing rows
        both = np.isfinite(true) & np.isfinite(predicted)
        true, predicted = true[both], predicted[both]
    else:
        package = pytest.importorskip("matbench_discovery.metrics.discovery")
    expected = package.stable_metrics(pd.Series(true), pd.Series(predicted), **arguments)
    assert stable_metrics(true, predicted, **arguments) == pytest.approx(expected, **EXACT)


def test_most_stable_are_unique_prototypes_by_predicted_distance() -> None:
    frame = pd.DataFrame(
        {
            "e_above_hull_dft": [-0.1, -0.2, 0.3, 0.1],
            "formation_energy_dft": [-1.0, -1.0, -1.0, -1.0],
            "unique_prototype": [True, False, True, True],
        },
        index=list("abcd"),
    )
    found = discovery_metrics(frame, pd.Series({"a": -0.5, "b": -1.0, "c": -1.4}))
    # predicted distances 0.4, -0.2, -0.1 and none: b is found, c is not stable, a is missed
    assert [found["full_test_set"][name] for name in ("TP", "FP", "FN", "TN")] == [1, 1, 1, 1]
    assert [found["unique_prototypes"][name] for name in ("TP", "FP", "FN", "TN")] == [0, 1, 1, 1]
    # a third of the unique prototypes is stable, given or not
    assert found["unique_prototypes"]["DAF"] == 0.0
    published = discovery_metrics(frame, pd.Series({"a": -1.1}), unique_prevalence=0.25)
    assert published["most_stable_10k"]["DAF"] == 4.0


def test_nothing_to_divide_by_is_nan() -> None:
    found = stable_metrics([0.1, 0.2], [0.3, 0.4])
    assert np.isnan([found[name] for name in ("Precision", "Recall", "F1", "DAF", "TPR", "FNR")]).all()
    assert (found["FPR"], found["TNR"], found["Accuracy"]) == (0.0, 1.0, 1.0)
    assert all(np.isnan(value) for value in regression_metrics([np.nan], [1.0]).values())
    assert regression_metrics([1.0, 1.0], [1.0, 1.0])["R2"] == 1.0
    assert regression_metrics([1.0, 1.0], [1.0, 2.0])["R2"] == 0.0


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="2 reference energies, but 1 predicted"):
        stable_metrics([0.0, 1.0], [0.0])
    with pytest.raises(ValueError, match="stability_threshold = nan"):
        stable_metrics([0.0], [0.0], stability_threshold=np.nan)
    frame, predicted = wbm()
    with pytest.raises(ValueError, match=r"1 predictions belong to no row of the reference: \['mp-1'\]"):
        discovery_metrics(frame, pd.Series({"mp-1": 0.0}))
    with pytest.raises(ValueError, match="columns unique are missing: there are e_above_hull_dft"):
        discovery_metrics(frame, predicted, unique_prototype="unique")


@pytest.mark.parametrize(
    "values",
    [
        [True, False, np.nan, True],
        ["True", "False", "", "yes"],
        ["1", "0", None, "1.0"],
        [1, 0, 0, 1],
    ],
    ids=["nan", "texts", "figures", "numbers"],
)
def test_unique_prototypes_are_those_that_say_so(values: list[Any]) -> None:
    frame = pd.DataFrame(
        {
            "e_above_hull_dft": [0.0, 0.1, 0.0, 0.2],
            "formation_energy_dft": [-1.0, -1.0, -1.0, -1.0],
            "unique_prototype": pd.Series(values, dtype=object),
        }
    )
    found = discovery_metrics(frame, frame["formation_energy_dft"])["unique_prototypes"]
    assert sum(found[name] for name in ("TP", "FP", "TN", "FN")) == 2
    assert (found["TP"], found["TN"]) == (1, 1)


def test_a_text_that_is_neither_is_named() -> None:
    columns = {
        "e_above_hull_dft": [0.0],
        "formation_energy_dft": [-1.0],
        "unique_prototype": ["AB_cP2_221_a_b"],
    }
    frame = pd.DataFrame(columns, index=["wbm-1"])
    with pytest.raises(
        ValueError, match="'unique_prototype' of wbm-1 is 'AB_cP2_221_a_b': expected true or false"
    ):
        discovery_metrics(frame, frame["formation_energy_dft"])
