"""Errors of conductivities by hand, and against what was published of a run."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.analysis.metrics.conductivity import (
    conductivity_metrics,
    difference,
    mode_metrics,
    relative_mode_error,
    spectrum_distance,
)
from aiida_pet.io.mode_conductivities import ModeConductivity, read_mode_conductivities

WEIGHTS = np.array([1, 3])
OURS = ModeConductivity(np.array([[1.0, 2.0], [3.0, 6.0]]), WEIGHTS, np.array([[1.0, 2.0], [3.0, 4.0]]))
THEIRS = ModeConductivity(np.array([[2.0, 2.0], [6.0, 2.0]]), WEIGHTS, np.array([[1.5, 2.5], [3.5, 4.5]]))


def test_errors_by_hand():
    assert (OURS.kappa, THEIRS.kappa) == (3.0, 3.0)
    assert difference([3.0, 1.0, np.nan, 1.0], [3.0, 3.0, 1.0, np.nan])[:3].tolist() == [0.0, -1.0, -2.0]
    # |1-2| + 0 + |3-6| + |6-2| = 8 over 4 points, twice over 6
    assert relative_mode_error(OURS, THEIRS) == pytest.approx(2 * 8 / 4 / 6)
    assert relative_mode_error(THEIRS, THEIRS) == 0.0
    assert spectrum_distance(OURS, THEIRS) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "ours",
    [
        None,
        ModeConductivity(np.ones((3, 2)), np.ones(3)),
        ModeConductivity(np.full((2, 2), np.nan), WEIGHTS),
    ],
    ids=["none", "another shape", "no numbers"],
)
def test_worst_where_there_is_nothing_to_compare(ours):
    assert relative_mode_error(ours, THEIRS) == 2.0
    assert np.isnan(spectrum_distance(ours, THEIRS))


def test_means_count_what_failed():
    found = mode_metrics(
        {"a": OURS, "soft": None, "lost": None, "unknown": OURS},
        dict.fromkeys(("a", "soft", "lost", "absent"), THEIRS),
        imaginary={"soft": True},
    )
    assert found["SRME"] == pytest.approx((2 * 8 / 4 / 6 + 2 + 2) / 3)
    assert (found["imaginary_mode_rate"], found["failure_rate"]) == pytest.approx((1 / 3, 1 / 3))
    everything = mode_metrics({"a": OURS}, {"a": THEIRS, "absent": THEIRS}, all_references=True)
    assert everything["SRME"] == pytest.approx((2 * 8 / 4 / 6 + 2) / 2)
    assert everything["failure_rate"] == 0.5
    scalars = conductivity_metrics([3.0, np.nan, 9.0], [3.0, 1.0, np.nan])
    assert scalars == {"SRD": -1.0, "SRE": 1.0, "without_kappa": 0.5}


def test_nothing_known_gives_no_numbers():
    assert all(np.isnan(value) for value in conductivity_metrics([1.0], [np.nan]).values())
    assert all(np.isnan(value) for value in mode_metrics({}, {}).values())


@pytest.mark.parametrize(
    ("name", "srme", "sre"),
    [
        ("MgO-rs", 0.1673, 0.0469),
        ("NaF-rs", 0.3807, 0.3258),
        ("AlAs-zb", 0.4006, 0.2456),
        ("GaAs-wz", 0.5340, 0.0563),
    ],
)
def test_published_modes_give_the_published_error(shared_data, name, srme, sre):
    folder = shared_data / "phonondb"
    if not (folder / f"mace-0b-{name}.json.gz").is_file():
        pytest.skip("the published run is not in the shared data")
    ((material, ours),) = read_mode_conductivities(folder / f"mace-0b-{name}.json.gz").items()
    theirs = read_mode_conductivities(folder / "kappa-pbe.json.gz")[material]
    assert relative_mode_error(ours, theirs) == pytest.approx(srme, abs=6e-5)
    assert abs(difference([ours.kappa], [theirs.kappa])[0]) == pytest.approx(sre, abs=6e-5)
