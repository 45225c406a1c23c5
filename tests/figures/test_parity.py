"""Pairs and errors against numbers by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiida_pet.figures.parity import parity_of
from aiida_pet.figures.source import NotDrawnError


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    values = pd.DataFrame(
        {"energy": [1.0, 2.0, 3.0, np.nan, 5.0], "n_atoms": [1, 2, 1, 1, 1]}, index=list("abcde")
    )
    references = pd.DataFrame(
        {"energy": [3.5, 2.5, 1.0, 9.0], "other": [2.0, 2.0, 2.0, 2.0]}, index=list("cbax")
    )
    return values, references


def test_rows_are_paired_by_id() -> None:
    found = parity_of(*frames(), "energy")
    assert found.ids.tolist() == ["a", "b", "c"]
    assert found.reference.tolist() == [1.0, 2.5, 3.5]
    assert (found.mae, found.bias) == (pytest.approx(1 / 3), pytest.approx(-1 / 3))
    assert found.rmse == pytest.approx(np.sqrt(0.5 / 3))
    assert (found.unit, found.only_values, found.only_references) == ("eV", 1, 1)
    assert found.to_frame()["difference"].tolist() == [0.0, -0.5, -0.5]


def test_other_column_and_per_atom_change_the_pairs() -> None:
    assert parity_of(*frames(), "energy", "other").reference.tolist() == [2.0, 2.0, 2.0]
    per_atom = parity_of(*frames(), "energy", per_atom=True)
    assert (per_atom.value.tolist(), per_atom.unit) == ([1.0, 1.0, 3.0], "eV/atom")


def test_far_off_rows_are_outliers() -> None:
    values = pd.DataFrame({"x": np.random.default_rng(0).normal(0, 0.01, 100)})
    values.loc[7, "x"] = 5.0
    found = parity_of(values, pd.DataFrame({"x": np.zeros(100)}), "x")
    assert found.ids[found.outliers].tolist() == ["7"]


def test_nothing_shared_and_no_numbers_are_said() -> None:
    values, references = frames()
    with pytest.raises(NotDrawnError, match="share 0 ids"):
        parity_of(values, references.set_axis(list("stuv")), "energy")
    with pytest.raises(NotDrawnError, match="parity plot of the references needs the column n_atoms"):
        parity_of(values, references, "n_atoms")
    with pytest.raises(NotDrawnError, match="'name' has no numbers"):
        parity_of(values.assign(name="x"), references, "name", "energy")
