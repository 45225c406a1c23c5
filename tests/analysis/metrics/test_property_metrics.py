"""Metrics of phonons and elastic moduli, and all of them from one data frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from phonopy.physical_units import get_physical_units

from aiida_pet.analysis.metrics.elastic import elastic_metrics
from aiida_pet.analysis.metrics.phonons import THZ_TO_KELVIN, dynamic_stability_metrics, phonon_metrics
from aiida_pet.analysis.metrics.report import Metric, compare_with_references
from aiida_pet.analysis.metrics.stability import discovery_metrics, stable_metrics


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


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    count = 60
    data = {
        "e_above_hull": rng.normal(0, 0.1, count),
        "formation_energy": rng.normal(-1, 0.1, count),
        "min_frequency": rng.normal(0, 0.1, count),
        "entropy_300": rng.random(count),
        "shear_modulus": rng.random(count) * 100,
        "volume": rng.random(count),
    }
    data |= {f"{name}_dft": values + rng.normal(0, 0.05, count) for name, values in data.items()}
    data |= {"unique": rng.random(count) < 0.7, "n_atoms_primitive": rng.integers(1, 5, count)}
    return pd.DataFrame(data)


def test_a_frame_gives_every_number_its_references_allow_for(frame: pd.DataFrame) -> None:
    names = ("min_frequency", "entropy_300", "shear_modulus", "volume", "e_above_hull")
    found = compare_with_references(frame, {name: f"{name}_dft" for name in names})
    expected = stable_metrics(frame["e_above_hull_dft"], frame["e_above_hull"])
    assert {name: found[f"hull/{name}"].value for name in expected} == expected
    assert found["hull/MAE"].unit == "eV/atom"
    assert found["hull/F1"].unit == ""
    errors = (frame["entropy_300"] - frame["entropy_300_dft"]).abs()
    assert found["phonons/mae_entropy_300"] == Metric(pytest.approx(errors.mean()), "J/(K mol)")
    assert found["phonons/failed_entropy_300"] == Metric(0.0)
    assert found["elastic/mae_log10_shear_modulus"].unit == "log10(GPa)"
    assert found["elastic/mae_shear_modulus"].unit == "GPa"
    assert 0 < found["phonons/stable_accuracy"].value < 1
    assert "volume/RMSE" in found
    per_atom = compare_with_references(frame, {"entropy_300": "entropy_300_dft"}, n_atoms="n_atoms_primitive")
    assert per_atom["phonons/mae_entropy_300"] == Metric(
        pytest.approx((errors / frame["n_atoms_primitive"]).mean()), "J/(K mol) per atom"
    )


def test_with_formation_energies_the_hull_is_that_of_the_references(frame: pd.DataFrame) -> None:
    references = {name: f"{name}_dft" for name in ("e_above_hull", "formation_energy")}
    found = compare_with_references(frame, references, unique_prototype="unique")
    expected = discovery_metrics(frame, frame["formation_energy"], unique_prototype="unique")
    assert found["hull/F1"].value == expected["full_test_set"]["F1"]
    assert found["hull/unique_prototypes/DAF"].value == expected["unique_prototypes"]["DAF"]
    whole = compare_with_references(frame, references)
    assert whole["hull/F1"] == found["hull/F1"]
    assert not any("unique" in name for name in whole)
    alone = compare_with_references(frame, {"formation_energy": "formation_energy_dft"})
    assert alone.keys() == {"formation_energy/MAE", "formation_energy/RMSE", "formation_energy/R2"}


def test_columns_that_are_missing_are_named(frame: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="columns e_hull, other are missing: there are e_above_hull"):
        compare_with_references(frame, {"e_hull": "e_above_hull_dft", "volume": "other"})
