"""Metrics of phonons: errors by hand, and units against phonopy's."""

from __future__ import annotations

import numpy as np
import pytest
from phonopy.physical_units import get_physical_units

from aiida_pet.analysis.metrics.phonons import THZ_TO_KELVIN, dynamic_stability_metrics, phonon_metrics


def test_a_terahertz_in_kelvin_is_that_of_phonopy() -> None:
    units = get_physical_units()
    assert pytest.approx(units.THzToEv / units.KB, rel=1e-6) == THZ_TO_KELVIN
    # CODATA 2018: h / k_B = 4.799243073e-11 s K
    assert pytest.approx(47.99243073, rel=1e-9) == THZ_TO_KELVIN


def test_phonon_errors_are_per_cell_or_per_atom_and_failures_counted() -> None:
    predicted = {
        "max_frequency": [10.0, 5.0, np.nan],
        "entropy_300": [50.0, 30.0, np.nan],
        "heat_capacity_300": [1.0, 1.0, 1.0],
    }
    reference = {
        "max_frequency": [11.0, 5.0, 7.0],
        "entropy_300": [54.0, 36.0, 1.0],
        "free_energy_300": [1.0, 2.0, 3.0],
    }
    found = phonon_metrics(predicted, reference)
    assert found == pytest.approx(
        {
            "mae_max_frequency": THZ_TO_KELVIN / 2,
            "failed_max_frequency": 1 / 3,
            "mae_entropy_300": 5.0,
            "failed_entropy_300": 1 / 3,
        }
    )
    per_atom = phonon_metrics(predicted, reference, n_atoms=[2, 3, 1])
    assert per_atom["mae_entropy_300"] == pytest.approx(2.0)
    assert per_atom["mae_max_frequency"] == found["mae_max_frequency"]


def test_dynamic_stability_is_a_classification() -> None:
    found = dynamic_stability_metrics(
        [-1.0, -0.01, 0.0, -2.0, np.nan, 0.0], [-3.0, 0.0, -1.0, 0.0, 0.0, -0.02], threshold=-0.05
    )
    # right: 0, 1, 5; stable are said to be 1, 2, 5, and are 1, 3, 5
    assert found == pytest.approx({"accuracy": 0.6, "precision": 2 / 3, "recall": 2 / 3, "n_rows": 5})
    assert np.isnan(dynamic_stability_metrics([np.nan], [1.0])["accuracy"])
