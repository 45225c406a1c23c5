"""Metrics of elastic moduli, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.analysis.metrics.elastic import elastic_metrics


def test_moduli_that_are_missing_or_negative_failed() -> None:
    predicted = {"bulk_modulus": [100.0, 20.0, np.nan, -5.0], "shear_modulus": [50.0] * 4}
    found = elastic_metrics(predicted, {"bulk_modulus": [10.0, 20.0, 30.0, 5.0]})
    assert found == pytest.approx(
        {
            "mae_bulk_modulus": 100 / 3,
            "mae_log10_bulk_modulus": 0.5,
            "failed_bulk_modulus": 0.5,
        }
    )
