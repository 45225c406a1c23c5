"""Histograms against numpy's counts; outliers, missing values, counts of words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiida_pet.figures.histogram import Counts, Histogram, distribution_of, histogram
from aiida_pet.figures.source import NotDrawnError


def test_bins_hold_what_numpy_counts() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    found = histogram(values, bins=20)
    assert found.counts.tolist() == np.histogram(values, found.edges)[0].tolist()
    assert (len(found.counts), found.n_values) == (20, 2000)
    assert found.median == pytest.approx(np.median(values))


def test_wild_values_are_counted_beside_the_bins() -> None:
    values = np.r_[np.linspace(0, 1, 99), 1e9, -1e9, np.nan, np.inf]
    found = histogram(values)
    assert (found.below, found.above, found.missing) == (1, 1, 2)
    assert found.edges[0] == pytest.approx(0.0)
    assert found.edges[-1] == pytest.approx(1.0)
    assert found.to_frame()["rows"].sum() == 101


def test_whole_numbers_have_a_bar_each() -> None:
    found = histogram([1, 2, 2, 5])
    assert found.edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]
    assert found.counts.tolist() == [1, 2, 0, 0, 1]


@pytest.mark.parametrize("values", [[0.5], [0.5] * 9, [3.0, 3.0, 3.0]])
def test_equal_values_are_in_one_bin(values: list[float]) -> None:
    assert histogram(values).counts.tolist() == [len(values)]


def test_unit_is_that_of_the_frame_else_of_the_catalogue() -> None:
    frame = pd.DataFrame({"bulk_modulus": [1.5, 2.0]})
    found = distribution_of(frame, "bulk_modulus")
    assert isinstance(found, Histogram)
    assert found.unit == "GPa"
    frame.attrs["units"] = {"bulk_modulus": "kbar"}
    assert distribution_of(frame, "bulk_modulus").unit == "kbar"  # type: ignore[union-attr]


def test_words_and_flags_are_counted() -> None:
    frame = pd.DataFrame({"status": ["a", "b", "a"], "flag": pd.array([True, None, False], dtype="boolean")})
    assert distribution_of(frame, "status") == Counts("status", ("a", "b"), (2, 1), 0)
    assert distribution_of(frame, "flag").missing == 1


def test_what_cannot_be_drawn_is_said() -> None:
    frame = pd.DataFrame({"energy": [np.nan], "volume": [1.0]})
    with pytest.raises(NotDrawnError, match="no column 'volum' \\(did you mean volume"):
        distribution_of(frame, "volum")
    with pytest.raises(NotDrawnError, match="no row has a value of 'energy'"):
        distribution_of(frame, "energy")
