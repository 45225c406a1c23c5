"""All metrics from one data frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiida_pet.analysis.metrics.report import Metric, compare_with_references
from aiida_pet.analysis.metrics.stability import discovery_metrics, stable_metrics


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
