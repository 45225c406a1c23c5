"""Counts by element, against counting one by one."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.figures.elements import elements_of


def test_crystals_failures_and_errors_by_element() -> None:
    crystals = [["Mo", "Mo", "Ta"], ["Ta"], ["W", "Ta"], ["H"]]
    numbers = {"H": 1, "Mo": 42, "Ta": 73, "W": 74}
    flat = np.array([numbers[one] for crystal in crystals for one in crystal])
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in crystals])])
    failed = np.array([False, True, False, False])
    errors = np.array([0.1, np.nan, 0.3, np.nan])
    frame = elements_of(flat, offsets, failed, errors, "eV").set_index("element")
    assert frame["count"].to_dict() == {"H": 1, "Mo": 1, "Ta": 3, "W": 1}
    assert frame["failed"].to_dict() == {"H": 0, "Mo": 0, "Ta": 1, "W": 0}
    assert frame["error"].drop("H").to_dict() == pytest.approx({"Mo": 0.1, "Ta": 0.2, "W": 0.3})
    assert np.isnan(frame["error"]["H"])
    assert "error" not in elements_of(flat, offsets, failed).columns
