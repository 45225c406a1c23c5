"""Modes of results beside those of the benchmark's file, by the command line."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.campaigns import metrics
from aiida_pet.campaigns.mode_conductivities import modes_of_table
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

WEIGHTS = np.array([1, 3])
MODES = np.arange(1.0, 13.0)
FREQUENCIES = np.linspace(1.0, 4.0, 12)


@pytest.fixture
def results(aiida_profile):
    """Two crystals, one of which has imaginary modes."""
    from aiida_pet.data.structures import StructureSetData

    table = StructureTable.from_ase((name, bulk("MgO", "rocksalt", a=4.2)) for name in ("a", "soft"))
    table.set_column("kappa_300", np.array([MODES.sum() / 4, np.nan]), "W/(m K)")
    table.set_column("has_imaginary_modes", np.array([False, True]))
    table.ragged = {
        "kappa_modes": Ragged.of([np.repeat(MODES[:, None], 6, axis=1), None]),
        "kappa_weights": Ragged.of([WEIGHTS, None]),
        "kappa_frequencies": Ragged.of([FREQUENCIES, None]),
    }
    return StructureSetData.from_table(table).store()


@pytest.fixture
def reference(tmp_path):
    """The benchmark's file, of these two crystals and a third one."""
    names = {"0": "a", "1": "soft", "2": "absent"}
    columns = {
        "mp_id": names,
        "frequencies": {key: (FREQUENCIES + 0.5).reshape(2, 6).tolist() for key in names},
        "temperatures": {key: [300.0] for key in names},
        "weights": {key: WEIGHTS.tolist() for key in names},
        "mode_kappa_TOT_ave": {key: [(2 * MODES).reshape(2, 6).tolist()] for key in names},
    }
    path = tmp_path / "kappas.json.gz"
    path.write_bytes(gzip.compress(json.dumps(columns).encode()))
    return path


def test_modes_come_back_as_they_were(results):
    found = modes_of_table(results)
    assert found["soft"] is None
    assert found["a"].kappa == pytest.approx(MODES.sum() / 4)
    assert found["a"].frequencies.tolist() == FREQUENCIES.reshape(2, 6).tolist()


def test_numbers_of_the_benchmark(results, reference):
    found = metrics(results, reference)
    numbers = {name.removeprefix("conductivity/"): one.value for name, one in found.numbers.items()}
    # half of the reference everywhere: 2 (2 k - k) / 3 k; the other counts 2
    assert numbers == pytest.approx(
        {
            "SRD": (-2 / 3 - 2) / 2,
            "SRE": (2 / 3 + 2) / 2,
            "without_kappa": 0.5,
            "SRME": (2 / 3 + 2) / 2,
            "spectrum_w1": 0.5,
            "imaginary_mode_rate": 0.5,
            "failure_rate": 0.0,
        }
    )
    everything = metrics(results, reference, all_references=True)
    assert everything["conductivity/SRME"] == pytest.approx((2 / 3 + 4) / 3)
    assert everything["conductivity/failure_rate"] == pytest.approx(1 / 3)


def test_results_are_their_own_reference(results):
    found = metrics(results, results)
    assert found["conductivity/SRME"] == 0.0
    assert found["conductivity/SRE"] == 0.0


def test_file_that_is_none_is_told(results, tmp_path):
    from aiida_pet.campaigns.errors import UnusableReferenceError

    path = tmp_path / "bad.json"
    path.write_text('{"mp_id": "a", "weights": [1], "mode_kappa_TOT": [[1]], "frequencies": []}')
    with pytest.raises(UnusableReferenceError, match=r"bad.json: a: conductivities of modes have shape"):
        metrics(results, path)
