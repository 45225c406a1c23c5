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
    told = " ".join(output.split())
    assert "if all lanes run side by side (without the transport)" in told
    assert "on one core, after the forces" in told
    prepare("conductivity", crystals, *CELLS, "--dry-run", "--json")
    cost = json.loads(prepare.result.stdout)["cost"]
    assert cost["counted"] == cost["n_rows"] == 2
    assert cost["metals"] == ["metal"]
    assert cost["displacements"] > cost["largest"] > 10
    assert cost["transport_s"] > 0


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


def test_a_singular_matrix_is_one_error_and_not_a_warning_for_each_row(prepare, crystals):
    prepare(
        "conductivity", crystals, "--set", "fc3_supercell=[[1,0,0],[1,0,0],[0,0,1]]", "--dry-run", status=1
    )
    output = prepare.result.output
    assert "bad parameters of conductivity" in output
    assert output.count("fc3_supercell = ") == 1
    assert "Warning" not in output


BENCHMARK = ("conductivity", "--protocol", "phonondb-v1")


@pytest.mark.parametrize("dry", [True, False])
def test_a_set_without_the_cells_that_a_protocol_takes_from_it_is_warned_about(prepare, crystals, dry):
    prepare(BENCHMARK[0], crystals, *BENCHMARK[1:], *(("--dry-run",) if dry else ()))
    told = " ".join(prepare.result.output.split())
    assert (
        "Warning: given_cells=true, but the set has no column fc2_supercell: fc2_min_image=12.0 is used"
        in told
    )
    assert "the set has no column fc3_supercell: fc3_min_image=8.0 is used instead" in told
    assert "the set has no column q_mesh: mesh=50.0 is used instead" in told


def test_a_set_without_cells_is_not_warned_about_where_nobody_asked_for_them(prepare, crystals):
    prepare("conductivity", crystals, "--dry-run")
    assert "given_cells" not in prepare.result.output.replace("given_cells=yes", "").replace(
        "given_cells=true", ""
    )
    assert "has no column" not in prepare.result.output


def test_rows_without_cells_are_counted(prepare, tmp_path):
    frames = [bulk("MgO", "rocksalt", a=4.2) for _ in range(3)]
    for place, frame in enumerate(frames):
        frame.info |= {"id": f"row-{place}", "fc2_supercell": [2, 2, 2]}
        if place:
            frame.info |= {"fc3_supercell": [2, 2, 2], "q_mesh": [5, 5, 5]}
    write(tmp_path / "three.xyz", frames)
    prepare("conductivity", tmp_path / "three.xyz", "--dry-run", "--json")
    two, three, mesh = json.loads(prepare.result.stdout)["notes"]
    assert "1 of 3 crystals lack fc2_supercell or fc3_supercell, which are used only together" in two
    assert "column fc3_supercell has no value for 1 of 3 crystals: fc3_min_image=8.0 is used instead" in three
    assert "column q_mesh has no value for 1 of 3 crystals: mesh=50.0 is used instead" in mesh


def test_the_road_of_the_benchmark_takes_its_cells(invoke, prepare, shared_data):
    """Counts of the page: rocksalt needs 292 displaced supercells, zincblende 444, wurtzite 2,120."""
    file = shared_data / "phonondb" / "structures.extxyz"
    output = invoke("data", "import", file, "--id-key", "mp_id", "--label", "phonondb-cells").output
    assert "left out" not in output
    prepare(
        "conductivity",
        "phonondb-cells",
        "--protocol",
        "phonondb-v1",
        "--where",
        "name == MgO",
        "--dry-run",
        "--json",
    )
    document = json.loads(prepare.result.stdout)
    assert document["notes"] == []
    assert document["cost"]["largest"] == 292 + 4
