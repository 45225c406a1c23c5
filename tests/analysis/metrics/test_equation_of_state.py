"""Metrics of equations of state against closed forms and what they must be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiida_pet.analysis.metrics.equation_of_state import NUMBERS, eos_metrics
from aiida_pet.analysis.metrics.report import compare_with_references

# a crystal like silicon, per atom, and the same with 0.1 % more volume
SILICON = ([20.4530, 88.545, 4.31], [20.4530 * 1.001, 88.545, 4.31])


def columns(*rows: list[float]) -> dict[str, np.ndarray]:
    return dict(zip(NUMBERS, np.array(rows, dtype=float).T, strict=True))


def test_delta_of_a_shift_is_that_of_two_parabolas():
    """Near the minimum E is B (V - V0)^2 / 2 V0, so that a shift d V0 costs Delta = B d sqrt(<(V - V0)^2>)."""
    one, other = SILICON
    found = eos_metrics(columns(one), columns(other), [1])
    width = 0.06 * one[0] / np.sqrt(3)
    assert found["delta"] == pytest.approx(1000 * 88.545 / 160.21766 * 0.001 * width, rel=0.03)
    assert found["failed"] == 0.0
    # a cell of two atoms has twice the volume, and the same per atom
    twice = [[2 * row[0], *row[1:]] for row in SILICON]
    assert eos_metrics(columns(twice[0]), columns(twice[1]), [2])["delta"] == pytest.approx(found["delta"])


def test_rows_without_an_equation_failed_and_those_without_a_reference_do_not_count():
    one, other = SILICON
    nothing = [np.nan] * 3
    found = eos_metrics(columns(one, nothing, one), columns(other, other, nothing), [1, 1, 1])
    assert found["failed"] == 0.5
    assert found["delta"] == pytest.approx(eos_metrics(columns(one), columns(other), [1])["delta"])
    assert eos_metrics({"eos_volume": [1.0]}, columns(other), [1]) == {}
    assert np.isnan(eos_metrics(columns(nothing), columns(other), [1])["delta"])


def test_report_has_them_beside_errors_of_each_number():
    one, other = SILICON
    frame = pd.DataFrame(columns(one) | {f"their_{name}": values for name, values in columns(other).items()})
    pairs = {name: f"their_{name}" for name in NUMBERS}
    found = compare_with_references(frame.assign(n_atoms=1), pairs)
    assert found["eos/delta"].unit == "meV/atom"
    assert found["eos/delta"].value > 0.1
    assert found["eos_volume/MAE"].value == pytest.approx(0.020453)
    assert "eos/delta" not in compare_with_references(frame, {"eos_volume": "their_eos_volume"})
