"""Reference phases of tables and files; files are written by pymatgen itself."""

from __future__ import annotations

import gzip
import json
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram, PhaseDiagram
from pymatgen.core import Lattice, Structure
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry, ManualEnergyAdjustment

from aiida_pet.analysis.hull.levels_of_theory import Theory
from aiida_pet.analysis.hull.reference_files import ReferenceFileError, read_references
from aiida_pet.analysis.hull.references import References
from aiida_pet.tables.table import DuplicateIdError
from support.phases import element_rows, entries_of, phase_table, random_rows


def structure_entry(name: str, energy: float, adjustment: float = 0.0) -> ComputedStructureEntry:
    structure = Structure(Lattice.cubic(4.2), ["Fe"] * 4 + ["O"] * 4, np.random.default_rng(0).random((8, 3)))
    adjustments = [ManualEnergyAdjustment(adjustment)] if adjustment else []
    parameters = {
        "run_type": "GGA+U",
        "hubbards": {"Fe": 5.3, "O": 0.0},
        "potcar_symbols": ["PBE Fe_pv", "PBE O"],
    }
    return ComputedStructureEntry(
        structure, energy, energy_adjustments=adjustments, parameters=parameters, entry_id=name
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any, str], Path]:
    def written(content: Any, name: str = "refs.json.gz") -> Path:
        path = tmp_path / name
        opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
        with opened(path, "wt") as text:
            json.dump(content, text, default=np.generic.tolist)  # facets are numpy integers
        return path

    return written


@pytest.mark.parametrize("name", ["refs.json", "refs.json.gz", "refs.json.xz"])
def test_lists_of_entries_give_corrected_energies(write: Any, name: str) -> None:
    entries = [structure_entry("mp-1", -50.0, -3.0), ComputedEntry("Fe2Ta", -18.0, entry_id="mp-2")]
    path = write([entry.as_dict() for entry in entries], name)
    found = read_references(path, level_of_theory="PBE+U")
    assert found.ids.tolist() == ["mp-1", "mp-2"]
    np.testing.assert_allclose(found.energy_per_atom, [e.energy_per_atom for e in entries], rtol=1e-14)
    assert found.theories == {"refs": Theory("PBE+U, corrected")}
    raw = read_references(path, level_of_theory="PBE+U", energies="uncorrected")
    np.testing.assert_allclose(raw.energy_per_atom, [-50 / 8, -6.0], rtol=1e-14)
    assert raw.theories == {"refs": Theory("PBE+U")}


@pytest.mark.parametrize("form", ["by id", "frame", "records", "one"])
def test_other_forms_of_files_hold_the_same_entry(write: Any, form: str) -> None:
    entry = structure_entry("mp-7", -50.0, -3.0)
    raw = entry.as_dict()
    content = {
        "by id": {"mp-7": {key: value for key, value in raw.items() if key != "entry_id"}},
        "frame": {"material_id": {"0": "mp-7"}, "entry": {"0": raw}, "nsites": {"0": 8}},
        "records": [{"material_id": "mp-7", "entry": raw}],
        "one": raw,
    }[form]
    found = read_references(write(content))
    assert found.ids.tolist() == ["mp-7"]
    assert found.energy_per_atom.tolist() == [entry.energy_per_atom]
    assert found.compositions.numbers.tolist() == [[8, 26]]
    assert found.theories == {"refs": Theory("PBE, corrected")}  # the entry says its run type
    assert found.warnings == []


@pytest.mark.parametrize("kind", [PhaseDiagram, PatchedPhaseDiagram])
def test_phase_diagrams_of_pymatgen_are_read(write: Any, kind: Any) -> None:
    rows = element_rows("Li Fe O") + random_rows(np.random.default_rng(0), "Li Fe O", 30)
    entries = entries_of(phase_table(rows))
    diagram = kind(entries) if kind is PhaseDiagram else kind(entries, verbose=False)
    found = read_references(write(diagram.as_dict()))
    assert len(found) == len(diagram.all_entries)
    assert sorted(found.energy_per_atom.tolist()) == pytest.approx(
        sorted(entry.energy_per_atom for entry in diagram.all_entries), abs=1e-13
    )


def test_mp2020_corrects_as_pymatgen_and_names_what_it_rejects(write: Any) -> None:
    good = structure_entry("mp-1", -50.0)
    bad = structure_entry("mp-2", -50.0)
    bad.parameters["hubbards"] = {"Fe": 1.0}
    path = write([good.as_dict(), bad.as_dict()])
    found = read_references(path, level_of_theory="PBE", energies="mp2020")
    expected = MaterialsProject2020Compatibility(check_potcar=False).process_entries(
        [structure_entry("mp-1", -50.0)], clean=True
    )
    assert found.ids.tolist() == ["mp-1"]
    assert found.energy_per_atom.tolist() == pytest.approx([expected[0].energy_per_atom], abs=1e-13)
    assert found.energy_per_atom[0] < -50 / 8
    assert "rejects 1 entries, which are left out: mp-2" in found.warnings[0]


def test_elements_of_matcalc_are_read(shared_data: Path) -> None:
    path = shared_data / "mp-element-references.json.gz"
    with gzip.open(path, "rt") as text:
        raw = json.load(text)
    found = read_references(path, label="mp", level_of_theory="PBE, VASP")
    assert len(found) == sum(len(record["structure"]) for record in raw.values())
    carbon = found.energy_per_atom[found.compositions.numbers[:, 0] == 6]
    assert carbon.min() == min(raw["C"]["energy_per_atom"])
    assert set(found.source.tolist()) == {"mp"}


@pytest.mark.parametrize("name", ["ppd.pkl.gz", "ppd.json.gz"])
def test_pickles_are_refused_unopened(tmp_path: Path, name: str) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "opened",))

    path = tmp_path / name
    path.write_bytes(gzip.compress(pickle.dumps(Trap())))
    with pytest.raises(ReferenceFileError, match=f"{name} is a pickle.*as_dict"):
        read_references(path)
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy": None}, "entry mp-9: energy None, expected a number in eV"),
        ({"energy": float("nan")}, "entry mp-9: energy nan, expected a number in eV"),
        ({"energy": "-3"}, "entry mp-9: energy '-3', expected a number"),
        ({"energy": 10**400}, "entry mp-9: energy 1000"),
        ({"correction": "-3"}, "entry mp-9: correction '-3', expected a number in eV"),
        ({"correction": float("inf")}, "entry mp-9: correction inf, expected a number in eV"),
        ({"composition": {"Xx": 1}}, "entry mp-9: no composition: unknown element 'Xx'"),
        ({"composition": {}}, "entry mp-9: composition {}, expected positive amounts"),
    ],
)
def test_damaged_entries_are_named(write: Any, change: dict[str, Any], message: str) -> None:
    import re

    good = ComputedEntry("Fe2O3", -30.0, entry_id="mp-8").as_dict()
    bad = ComputedEntry("FeO", -9.0, entry_id="mp-9").as_dict() | change
    path = write([good, bad])
    with pytest.raises(ReferenceFileError, match=re.escape(f"{path}: {message}")):
        read_references(path)


def test_files_that_are_none_are_named(tmp_path: Path, write: Any) -> None:
    with pytest.raises(ReferenceFileError, match="no such file"):
        read_references(tmp_path / "absent.json")
    with pytest.raises(ReferenceFileError, match=r"empty.json.gz: no entries in it. Expected pymatgen"):
        read_references(write([], "empty.json.gz"))
    cut, bad = tmp_path / "cut.json", tmp_path / "bad.npz"
    cut.write_text('[{"energy": 1')
    bad.write_bytes(b"nothing")
    with pytest.raises(ReferenceFileError, match=r"cut.json: not valid JSON"):
        read_references(cut)
    with pytest.raises(ReferenceFileError, match=r"bad.npz is not a table of references"):
        read_references(bad)


def test_tables_give_their_converged_rows() -> None:
    table = phase_table(element_rows("Mo Ta W"), ["converged", "max_steps", "converged"])
    found = References.of_structures(table, "set", Theory("PBE", ("abc",)))
    assert found.ids.tolist() == ["el-Mo", "el-W"]
    assert found.elements == [42, 74]
    assert found.warnings == ["1 references of 'set' did not converge: el-Ta"]
    table.columns["status"][:] = "diverged"
    with pytest.raises(ValueError, match="none of the 3 references 'set' converged"):
        References.of_structures(table, "set")
    del table.columns["energy"]
    with pytest.raises(ValueError, match=r"references 'set' have no column 'energy' \(eV per cell\)"):
        References.of_structures(table, "set")


def test_a_table_of_references_is_the_way_back(tmp_path: Path) -> None:
    parts = [
        References.of_structures(phase_table(element_rows("Mo Ta")), "own", Theory("PBE", ("abc", "def"))),
        References.of_structures(phase_table(element_rows("W Ta")), "mp", Theory("r2SCAN")),
    ]
    joined = References.concatenate(parts)
    assert joined.ids.tolist() == ["el-Mo", "own:el-Ta", "el-W", "mp:el-Ta"]
    joined.to_table().save(tmp_path / "refs.npz")
    back = read_references(tmp_path / "refs.npz")
    assert back.ids.tolist() == joined.ids.tolist()
    assert back.source.tolist() == joined.source.tolist()
    assert back.theories == joined.theories
    np.testing.assert_array_equal(back.energy_per_atom, joined.energy_per_atom)
    np.testing.assert_array_equal(back.compositions.numbers, joined.compositions.numbers)
    np.testing.assert_array_equal(back.compositions.amounts, joined.compositions.amounts)


def test_references_that_cannot_be_joined_are_refused() -> None:
    one = References.of_structures(phase_table(element_rows("Mo")), "same", Theory("PBE"))
    two = References.of_structures(phase_table(element_rows("Ta")), "same", Theory("r2SCAN"))
    with pytest.raises(
        ValueError, match="two sources of references are called 'same', with the levels PBE and r2SCAN"
    ):
        References.concatenate([one, two])
    with pytest.raises(DuplicateIdError, match="same:el-Mo"):
        References.concatenate([one, one])
    with pytest.raises(ValueError, match="no references given"):
        References.concatenate([])
