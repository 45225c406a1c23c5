"""The known phases: real prototypes, each once, with what they compete with; and how a screening of them is judged."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import spglib
from ase.data import covalent_radii
from ase.io import read
from ase.neighborlist import neighbor_list

GROUPS = {
    "fcc": 225,
    "bcc": 229,
    "hcp": 194,
    "diamond": 227,
    "beta-tin": 141,
    "A7": 166,
    "A8": 152,
    "A11": 64,
    "alpha-N2": 205,
    "graphite": 194,
    "B2": 221,
    "B32": 227,
    "L1_0": 123,
    "L1_2": 221,
    "D0_3": 225,
    "D0_19": 194,
    "D0_22": 139,
    "D0_24": 194,
    "C11_b": 139,
    "rocksalt": 225,
    "zincblende": 216,
    "wurtzite": 186,
    "fluorite": 225,
    "rutile": 136,
    "B_h": 187,
}


@pytest.fixture(scope="module")
def script(load_script: Any) -> ModuleType:
    return load_script("known_phases")


@pytest.fixture(scope="module")
def report(load_script: Any) -> ModuleType:
    return load_script("phases_report")


@pytest.fixture(scope="module")
def phases(script: ModuleType) -> list[Any]:
    return script.known_phases()


def test_each_is_what_it_is_called(phases: list[Any]) -> None:
    assert len({phase.id for phase in phases}) == len(phases) > 100
    for phase in phases:
        cell = (phase.atoms.cell[:], phase.atoms.get_scaled_positions(), phase.atoms.numbers)
        dataset = spglib.get_symmetry_dataset(cell, symprec=1e-3)
        assert dataset.number == GROUPS[phase.prototype], phase.id
        assert len(spglib.find_primitive(cell, symprec=1e-3)[2]) == len(phase.atoms), phase.id


def test_neighbours_are_as_far_apart_as_radii_say(phases: list[Any]) -> None:
    for phase in phases:
        first, second, distances = neighbor_list("ijd", phase.atoms, 5.0)
        radii = covalent_radii[phase.atoms.numbers]
        ratio = (distances / (radii[first] + radii[second])).min()
        assert 0.75 < ratio < 1.25, phase.id


def test_each_composition_has_one_known_phase_at_most_and_competitors(phases: list[Any]) -> None:
    known = Counter(phase.formula for phase in phases if phase.is_known)
    assert max(known.values()) == 1
    rivals = Counter(phase.formula for phase in phases if not phase.is_known)
    with_rivals = [formula for formula in known if rivals[formula]]
    assert len(with_rivals) >= 30
    assert {"AlNi", "AlNi3", "AlTi", "AlTi3", "MoTa", "MgO", "ClNa", "NTi"} <= set(with_rivals)


def test_every_compound_has_crystals_of_its_elements_beside_it(phases: list[Any]) -> None:
    elements = frozenset().union(*(phase.elements for phase in phases))
    assert {symbol for phase in phases if len(phase.elements) == 1 for symbol in phase.elements} == elements


def test_only_elements_of_the_model_are_left(script: ModuleType, phases: list[Any]) -> None:
    few = script.known_phases({"Nb", "Mo", "Ta", "W"})
    assert len(few) == 4 * 3 + 6 * 2 + 12 * 2
    assert all(phase.elements <= {"Nb", "Mo", "Ta", "W"} for phase in few)
    assert len(frozenset().union(*(phase.elements for phase in phases))) >= 20


def test_file_holds_all_with_their_ids(script: ModuleType, phases: list[Any], tmp_path: Path) -> None:
    script.write_phases(tmp_path / "phases.xyz", phases)
    found = read(tmp_path / "phases.xyz", index=":")
    assert [atoms.info["id"] for atoms in found] == [phase.id for phase in phases]
    assert np.allclose([a.get_volume() for a in found], [p.atoms.get_volume() for p in phases])


def test_published_moduli_are_those_of_the_materials_project(phases: list[Any], shared_data: Path) -> None:
    path = shared_data / "benchmarks" / "elasticity-binaries.json.gz"
    theirs = {row["mp_id"]: row for row in json.loads(gzip.decompress(path.read_bytes()))}
    compared = 0
    for phase in phases:
        row = phase.moduli and theirs.get(phase.moduli.source)
        if not row:
            continue
        compared += 1
        assert phase.moduli.bulk == pytest.approx(row["bulk_modulus_vrh"], abs=0.1), phase.id
        assert phase.moduli.shear == pytest.approx(row["shear_modulus_vrh"], abs=0.1), phase.id
        volume = abs(np.linalg.det(row["structure"]["lattice"]["matrix"])) / len(row["structure"]["sites"])
        assert phase.atoms.get_volume() / len(phase.atoms) == pytest.approx(volume, rel=0.12), phase.id
    assert compared >= 15


def rows_of(**energies: tuple[float, float | None]) -> list[dict[str, Any]]:
    return [
        {
            "id": name.replace("_of_", "-"),
            "status": "converged",
            "energy_per_atom": energy,
            "e_above_hull": above,
        }
        for name, (energy, above) in energies.items()
    ]


def test_phases_are_found_missed_or_without_an_answer(report: ModuleType, phases: list[Any]) -> None:
    rows = rows_of(
        MgO_of_rocksalt=(-6.0, 0.0),
        MgO_of_zincblende=(-5.9, 0.1),
        TiN_of_rocksalt=(-9.0, 0.05),
        TiN_of_zincblende=(-9.05, 0.0),
        NaCl_of_rocksalt=(-3.0, 0.009),
    )
    found = {one.phase.id: one for one in report.judged(rows, phases)}
    assert found["MgO-rocksalt"].word == "found"
    assert found["MgO-rocksalt"].gap == pytest.approx(0.1)
    assert (found["TiN-rocksalt"].word, found["TiN-rocksalt"].rival) == ("missed", "TiN-zincblende")
    assert found["TiN-rocksalt"].gap == pytest.approx(-0.05)
    assert (found["NaCl-rocksalt"].word, found["NaCl-rocksalt"].gap) == ("found", None)
    assert found["NiAl-B2"].word == "no answer"
    told = report.sums(list(found.values()))
    assert told.startswith(f"2 of {len(found)} known phases lie on the hull or within 10 meV/atom of it")
    assert "missed: TiN-rocksalt; without an answer: " in told
    table = report.phases_table(list(found.values())).splitlines()
    assert next(line.split() for line in table if line.startswith("TiN-")) == [
        "TiN-rocksalt", "missed", "50", "TiN-zincblende", "-50",
    ]  # fmt: skip


def test_moduli_stand_beside_published_ones_and_a_silent_error_is_told(
    report: ModuleType, phases: list[Any]
) -> None:
    rows = [
        {"id": "MgO-rocksalt", "bulk_modulus": 160.0, "shear_modulus": 110.0, "warnings": ""},
        {"id": "TiN-rocksalt", "bulk_modulus": 180.0, "shear_modulus": 190.0, "warnings": "rough"},
        {"id": "TiC-rocksalt", "bulk_modulus": 252.0, "shear_modulus": 90.0, "warnings": ""},
        {"id": "MgO-zincblende", "bulk_modulus": 100.0, "shear_modulus": 60.0, "warnings": ""},
        {"id": "CaO-rocksalt", "bulk_modulus": None, "shear_modulus": None, "warnings": ""},
    ]
    lines = {line.split()[0]: line for line in report.moduli_table(rows, phases).splitlines() if line.split()}
    assert lines["MgO-rocksalt"].split()[1:5] == ["160", "152", "+6", "%"]
    assert lines["TiN-rocksalt"].endswith("rough")
    assert "-35 % !" in lines["TiN-rocksalt"]
    assert "MgO-zincblende" not in lines
    assert "CaO-rocksalt" not in lines
    assert report.silent_errors(rows, phases) == ["TiC-rocksalt"]
