"""`aiida-pet launch conductivity`: what it counts beforehand, when it refuses, and what reaches the second job."""

from __future__ import annotations

import json

import pytest
from ase.build import bulk
from ase.io import write

CELLS = ("--set", "fc2_supercell=[2,2,2]", "--set", "fc3_supercell=[2,2,2]")


@pytest.fixture
def crystals(tmp_path):
    """A salt and a metal; the file of a set that is not stored."""
    path = tmp_path / "crystals.xyz"
    frames = [bulk("MgO", "rocksalt", a=4.2), bulk("W", a=3.16)]
    for frame, name in zip(frames, ("salt", "metal"), strict=True):
        frame.info["id"] = name
    write(path, frames)
    return path


def test_dry_run_counts_displaced_supercells_and_names_metals(prepare, crystals):
    prepare("conductivity", crystals, *CELLS, "--dry-run")
    output = prepare.result.output
    assert "displaced supercells with" in output
    assert "the largest crystal, salt, has" in output
    assert "all elements of 1 crystal (metal) are metals" in output
    assert "nothing was started" in output
    prepare("conductivity", crystals, *CELLS, "--dry-run", "--json")
    cost = json.loads(prepare.result.stdout)["cost"]
    assert cost["counted"] == cost["n_rows"] == 2
    assert cost["metals"] == ["metal"]
    assert cost["displacements"] > cost["largest"] > 10


def test_much_is_refused_without_being_asked_for(prepare, crystals, monkeypatch):
    monkeypatch.setattr("aiida_pet.campaigns.displacements.MOST_WITHOUT_ASKING", 10)
    prepare("conductivity", crystals, *CELLS, status=1)
    assert "Give --yes to compute them" in prepare.result.output
    assert not prepare.builders
    assert prepare("conductivity", crystals, *CELLS, "--yes") is not None


def test_options_of_the_transport_reach_its_job(prepare, crystals, pet_code):
    builder = prepare(
        "conductivity", crystals, *CELLS, "--protocol", "phonondb-v1",
        "--transport-code", str(pet_code.pk), "--transport-settings", "threads=3",
        "--transport-options", "max_wallclock_seconds=7200",
    )  # fmt: skip
    assert builder.transport_code.pk == pet_code.pk
    assert builder.transport_settings["threads"] == 3
    assert builder.transport_options["max_wallclock_seconds"] == 7200
    parameters = builder.parameters.get_dict()
    assert (parameters["modes"], parameters["nac"], parameters["boundary"]) == (True, False, 1e6)
    assert parameters["fc3_supercell"] == [2, 2, 2]


def test_protocol_of_the_benchmark_is_of_conductivities_alone(prepare, crystals):
    prepare("relax", crystals, "--protocol", "phonondb-v1", status=2)
    assert "phonondb-v1" in prepare.result.output


def test_missing_phono3py_is_told_before_anything_starts(prepare, crystals, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "phono3py", None)
    prepare("conductivity", crystals, *CELLS, status=1)
    assert "pip install 'aiida-pet[conductivity]'" in prepare.result.output
