"""Levels of theory that entries of a file say themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedEntry

from aiida_pet.analysis.hull.levels_of_theory import (
    Theory,
    contradicts,
    functional_of,
    is_materials_project,
    same_level,
)
from aiida_pet.analysis.hull.reference_files import MixedLevelsError, ReferenceFileError, read_references


def entry(
    formula: str, name: str, run_type: str | None = "GGA", correction: float = 0.0, **further: Any
) -> Any:
    adjustments = (
        [CompositionEnergyAdjustment(correction, 1, name="MP2020 anion correction (oxide)")]
        if correction
        else []
    )
    parameters = {"run_type": run_type} if run_type else {}
    made = ComputedEntry(
        formula,
        -8.0 * Composition(formula).num_atoms,
        parameters=parameters,
        entry_id=name,
        energy_adjustments=adjustments,
    )
    return made.as_dict() | further


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def reader(content: Any, **options: Any) -> Any:
        path = tmp_path / "mp.json"
        path.write_text(json.dumps(content))
        return read_references(path, **options)

    return reader


MIXED = [entry("Mo", "mp-129-GGA"), entry("W", "mp-91-GGA"), entry("Mo", "mp-129-R2SCAN", "R2SCAN")]


def test_several_functionals_in_one_file_are_refused_with_counts_and_examples(read: Any) -> None:
    with pytest.raises(MixedLevelsError, match="entries of 2 levels") as caught:
        read(MIXED)
    assert "PBE (2, for example mp-129-GGA), r2SCAN (1, for example mp-129-R2SCAN)" in str(caught.value)
    assert caught.value.levels == ["PBE", "r2SCAN"]


@pytest.mark.parametrize(
    ("level", "ids", "name"),
    [
        ("r2SCAN", ["mp-129-R2SCAN"], "r2SCAN"),
        ("R2SCAN", ["mp-129-R2SCAN"], "r2SCAN"),
        ("PBE", ["mp-129-GGA", "mp-91-GGA"], "PBE"),
        ("GGA", ["mp-129-GGA", "mp-91-GGA"], "PBE"),
    ],
)
def test_one_level_is_kept_on_request(read: Any, level: str, ids: list[str], name: str) -> None:
    found = read(MIXED, level=level)
    assert found.ids.tolist() == ids
    assert found.theories == {"mp": Theory(name)}
    assert f"{len(ids)} of 3 entries have the level {name} and were kept" in found.warnings[0]
    with pytest.raises(ReferenceFileError, match="no entry has the level 'SCAN'; there are PBE"):
        read(MIXED, level="SCAN")


@pytest.mark.parametrize(
    "second",
    [
        entry("W", "b", None, data={"run_type": "R2SCAN"}),
        entry("W", "b", None, parameters={"functional": "PBEsol"}),
        entry("W", "b", None) | {"run_type": "SCAN"},
        entry("W", "b", None) | {"thermo_type": "R2SCAN"},
        entry("W", "b", parameters={"run_type": "GGA", "hubbards": {"W": 6.2}}),
        entry("W", "b", parameters={"run_type": "GGA", "is_hubbard": True}),
        entry("W", "b", "GGA_U"),
    ],
    ids=["data", "functional", "outer", "thermo_type", "hubbards", "is_hubbard", "+U"],
)
def test_the_level_is_read_wherever_it_stands(read: Any, second: Any) -> None:
    with pytest.raises(MixedLevelsError, match=r"PBE \(1, for example a\)"):
        read([entry("Mo", "a"), second])


def test_gga_and_gga_with_u_are_one_level_with_corrections_and_two_without(read: Any) -> None:
    entries = [entry("Mo", "a"), entry("Fe2O3", "b", "GGA+U", -6.0), entry("Fe", "c")]
    found = read(entries)
    assert found.theories == {"mp": Theory("PBE (Materials Project), corrected")}
    assert (found.ids.tolist(), found.warnings) == (["a", "b", "c"], [])
    with pytest.raises(MixedLevelsError, match=r"PBE \(2, .*PBE\+U \(1, for example b"):
        read(entries, energies="uncorrected")


def test_uncorrected_beside_corrected_is_refused(read: Any) -> None:
    entries = [entry("Fe2O3", "b", "GGA+U", -6.0), entry("MgO", "raw"), entry("Mg", "c")]
    with pytest.raises(
        MixedLevelsError, match=r"PBE \(1, for example raw\), PBE, corrected \(2, for example b"
    ):
        read(entries)
    assert read(entries, level="PBE, corrected").ids.tolist() == ["b", "c"]
    assert read(entries, level="PBE").ids.tolist() == ["raw", "c"]  # an element has nothing to correct


def test_what_the_user_says_must_not_contradict_the_entries(read: Any) -> None:
    with pytest.raises(
        ReferenceFileError, match="given as 'r2SCAN', but 2 of 2 entries say PBE, for example mp-129-GGA"
    ):
        read(MIXED[:2], level_of_theory="r2SCAN")
    assert read(MIXED[:2], level_of_theory="PBE, VASP").theories == {"mp": Theory("PBE, VASP")}


def test_documents_of_the_materials_project_hold_entries_by_run_type(read: Any) -> None:
    document = {
        "material_id": "mp-129",
        "thermo_type": "GGA_GGA+U",
        "entries": {"GGA": entry("Mo", "mp-129-GGA")},
    }
    both = document | {"thermo_type": None, "entries": {"GGA": MIXED[0], "R2SCAN": MIXED[2]}}
    for content in ([document], {"data": [document]}):
        found = read(content)
        assert (found.ids.tolist(), found.theories) == (["mp-129-GGA"], {"mp": Theory("PBE")})
    with pytest.raises(MixedLevelsError):
        read([both])
    mixture = [document | {"thermo_type": "GGA_GGA+U_R2SCAN"}]
    assert read(mixture).theories == {"mp": Theory("PBE and r2SCAN mixed")}
    thermo = {"material_id": "mp-1", "composition": {"Mg": 1, "O": 1}, "energy_per_atom": -6.0}
    thermo |= {"uncorrected_energy_per_atom": -5.7, "thermo_type": "GGA_GGA+U"}
    assert read([thermo]).theories == {"mp": Theory("PBE, corrected")}
    assert read([thermo], energies="uncorrected").energy_per_atom.tolist() == [-5.7]


def test_alexandria_entries_are_named_by_their_materials(read: Any) -> None:
    raw = entry("Mo", "x", data={"mat_id": "agm001234"})
    raw["entry_id"] = None
    assert read({"entries": [raw]}).ids.tolist() == ["agm001234"]


def test_a_record_without_composition_says_what_was_expected(read: Any) -> None:
    expected = "entry mp-9: no composition: expected a field 'composition', such as .* or a pymatgen 'structure', got"
    with pytest.raises(ReferenceFileError, match=expected):
        read([{"entry_id": "mp-9", "energy": -3.0}])


@pytest.mark.parametrize(
    ("run_type", "functional"),
    [
        ("GGA", "PBE"),
        ("GGA+U", "PBE+U"),
        ("GGA_U", "PBE+U"),
        ("PBE_U", "PBE+U"),
        ("r2SCAN", "r2SCAN"),
        ("R2SCAN_U", "r2SCAN+U"),
        ("PBESol", "PBEsol"),
        ("GGA_GGA+U", "PBE"),
        ("wB97M-V", "wB97M-V"),
    ],
)
def test_run_types_name_functionals(run_type: str, functional: str) -> None:
    assert functional_of(run_type) == functional


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("PBE, VASP", "vasp (pbe)", True),
        ("PBE", "PBE (Materials Project)", True),
        ("PBE", "PBE, corrected", False),
        ("PBE", "PBE (Materials Project), corrected", False),
        ("PBE, corrected", "PBE (Materials Project), corrected", True),
        ("PBE", "PBEsol", False),
        ("PBE (OMat24)", "PBE (Materials Project)", False),
        ("r2SCAN", "PBE and r2SCAN mixed", False),
    ],
)
def test_levels_are_the_same_unless_they_contradict(first: str, second: str, same: bool) -> None:
    assert same_level(first, second) is same
    assert same_level(second, first) is same


def test_which_levels_are_the_materials_projects() -> None:
    theirs = ["PBE (Materials Project)", "PBE, Materials Project, corrected", "PBE+U, MP"]
    others = ["PBE", "PBE (OMat24)", "r2SCAN", "PBEsol (Materials Project)", "r2SCAN (Materials Project)", ""]
    assert [is_materials_project(level) for level in theirs + others] == [True] * 3 + [False] * 6
    assert contradicts("r2SCAN", "PBE")
    assert not contradicts("PBE+U, VASP", "PBE")
    assert not contradicts("VASP", "PBE")


def test_every_published_model_of_the_materials_project_is_recognised() -> None:
    from aiida_pet.models.registry import list_models

    theirs = {entry.family for entry in list_models() if is_materials_project(entry.level_of_theory)}
    assert theirs == {"pet-oam"}
    assert not re.search(
        "Materials", " ".join(e.level_of_theory for e in list_models() if e.family == "pet-omat")
    )
