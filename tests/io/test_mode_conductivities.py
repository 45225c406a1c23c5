"""Files of modes: names and shapes that are in use, and what is wrong with others."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from aiida_pet.io.mode_conductivities import holds_mode_conductivities, read_mode_conductivities

MODES = np.arange(12.0).reshape(2, 6, 1) * np.ones(6)  # (Q, B, 6), diagonal and off-diagonal alike
MODES[..., 3:] = 99.0
FREQUENCIES = np.arange(12.0).reshape(2, 6)


def write(path, record):
    text = json.dumps(record, default=lambda value: value.tolist())
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("mode_kappa_TOT_ave", MODES[None, ..., 0]),
        ("mode_kappa_TOT", MODES[None]),
        ("mode_kappa_tot_rta", MODES[None]),
        ("mode_kappa_tot_rta", MODES),
    ],
)
@pytest.mark.parametrize("ending", ["json", "json.gz"])
def test_each_name_and_shape(tmp_path, key, values, ending):
    record = {"mp_id": "mp-1", "frequencies": FREQUENCIES, "weights": [1, 2], key: values}
    path = write(tmp_path / f"one.{ending}", record)
    assert holds_mode_conductivities(path)
    found = read_mode_conductivities(path)["mp-1"]
    assert found.modes.tolist() == FREQUENCIES.tolist() == found.frequencies.tolist()
    assert found.kappa == pytest.approx(66 / 3)


def test_table_by_column_with_several_temperatures_and_one_without_conductivity(tmp_path):
    columns = {
        "material_id": {"0": "a", "1": "b"},
        "temperatures": {"0": [100, 300], "1": [300]},
        "ph_freqs": {"0": np.zeros((9, 6)), "1": None},
        "mode_weights": {"0": [1, 2], "1": None},
        "mode_kappa_tot_rta": {"0": np.stack([0 * MODES, MODES]), "1": None},
    }
    found = read_mode_conductivities(write(tmp_path / "many.json", columns))
    assert found["b"] is None
    assert found["a"].kappa == pytest.approx(22)
    assert found["a"].frequencies is None  # they are of other points


def test_crystal_with_imaginary_modes_has_none(tmp_path):
    record = {"mp_id": "a", "weights": [1, 2], "mode_kappa_TOT": MODES[None], "imaginary_freqs": True}
    assert read_mode_conductivities(write(tmp_path / "a.json", record)) == {"a": None}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"a": 1}, "expected an object with mp_id"),
        (
            {"mp_id": "a", "weights": [1], "mode_kappa_TOT": MODES[None]},
            "a: conductivities of modes have shape",
        ),
        (
            {"mp_id": "a", "weights": [1, 2], "mode_kappa_TOT": MODES[None], "temperatures": [500]},
            "expected 300 K",
        ),
        ({"mp_id": {"0": "a", "1": "a"}}, "a occurs twice"),
    ],
)
def test_wrong_files_are_told(tmp_path, record, message):
    with pytest.raises(ValueError, match=message):
        read_mode_conductivities(write(tmp_path / "bad.json", record))


def test_other_files_are_not_taken_for_one(tmp_path):
    assert not holds_mode_conductivities(write(tmp_path / "set.json", {"mp_id": "a", "structure": {}}))
    assert not holds_mode_conductivities(tmp_path / "absent.json")
    (tmp_path / "x.csv").write_text('"mp_id","frequencies"')
    assert not holds_mode_conductivities(tmp_path / "x.csv")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b'{"mp_id": "a"')[:10])
    assert not holds_mode_conductivities(tmp_path / "cut.json.gz")
