"""Real crystals to learn: which files they come from, what is kept back, and what is judged by."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor

pytest.importorskip("torch", reason="needs the extra `engine`")

from benchmarks.model_check.engine import Model
from benchmarks.recipe.compounds import reduced
from benchmarks.recipe.on_policy import ELEMENTS, Crystals, frames_of
from benchmarks.recipe.real import HELD_BACK, KNOWN, Judges, is_held_back, real_crystals
from tests.support.small_model import small_model

ROCKSALTS = [
    f"{metal}{anion}" for metal in ("Li", "Na", "Mg", "Ca", "Ti", "V", "Cr", "Fe", "Zr") for anion in "CNOFS"
]


def rocksalt(formula: str, a: float = 4.6) -> Atoms:
    return bulk(formula, "rocksalt", a=a)


def as_pymatgen(path: Path, crystals: list[Atoms]) -> Path:
    entries = [{"structure": AseAtomsAdaptor.get_structure(atoms).as_dict()} for atoms in crystals]
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
    return path


def test_about_a_fifth_of_the_formulas_is_kept_back():
    names = [f"A{first}B{second}" for first in range(40) for second in range(40)]
    assert np.mean([is_held_back(name) for name in names]) == pytest.approx(HELD_BACK, abs=0.03)


def test_crystals_of_databases_are_kept_back_by_formula_and_well_known_ones_are_not(tmp_path):
    crystals = [rocksalt(formula) for formula in ROCKSALTS]
    kept = {reduced(atoms) for atoms in crystals if is_held_back(reduced(atoms))}
    assert 2 < len(kept) < len(crystals) / 2
    database = as_pymatgen(tmp_path / "database.json.gz", crystals)
    found = real_crystals([database], ELEMENTS, (), 16)
    assert {kind for kind, _ in found} == {KNOWN}
    assert {reduced(atoms) for _, atoms in found} == {reduced(atoms) for atoms in crystals} - kept
    np.testing.assert_allclose(found[0][1].cell.array, rocksalt(str(found[0][1].symbols)).cell.array)
    references = [
        {
            "numbers": a.numbers.tolist(),
            "cell": a.cell.tolist(),
            "scaled": a.get_scaled_positions().tolist(),
        }
        for a in crystals
    ]
    (tmp_path / "references.json").write_text(json.dumps(references))
    ase.io.write(tmp_path / "crystals.xyz", crystals)
    for name in ("references.json", "crystals.xyz"):
        known = real_crystals([tmp_path / name], ELEMENTS, (), 16)
        assert [reduced(atoms) for _, atoms in known] == [reduced(atoms) for atoms in crystals]


def test_other_elements_and_large_crystals_are_left_out(tmp_path):
    path = tmp_path / "crystals.xyz"
    ase.io.write(path, [bulk("Pd"), bulk("Cu"), bulk("Al", cubic=True)])
    assert [str(atoms.symbols) for _, atoms in real_crystals([path], ELEMENTS, (), 3)] == ["Cu"]


def test_a_judge_is_the_same_crystal_but_not_another_of_its_formula(tmp_path):
    path = tmp_path / "judges.xyz"
    strained = bulk("Ti", "hcp", a=2.94, c=4.65)
    strained.set_cell(strained.cell.array * 1.05, scale_atoms=True)
    ase.io.write(path, [strained, rocksalt("MgO", 4.2)])
    judges = Judges([path])
    assert bulk("Ti", "hcp", a=2.94, c=4.68) in judges
    assert bulk("Ti", "hcp", a=2.94, c=4.65).repeat((2, 1, 1)) in judges
    assert bulk("Ti", "bcc", a=3.25) not in judges
    assert bulk("MgO", "zincblende", a=4.6) not in judges
    assert rocksalt("CaO", 4.8) not in judges
    everything = tmp_path / "all.xyz"
    ase.io.write(everything, [bulk("Ti", "bcc", a=3.25), rocksalt("MgO", 4.3)])
    assert [str(atoms.symbols) for _, atoms in real_crystals([everything], ELEMENTS, judges, 16)] == ["Ti"]


def test_prototypes_of_given_systems_are_drawn():
    systems = [frozenset({"Ti", "Al"}), frozenset({"Fe"}), frozenset({"Ti", "O"})]
    crystals = Crystals(np.random.default_rng(3), frozenset({"O2Ti"}), 10, systems)
    drawn = [crystals.draw() for _ in range(60)]
    assert {kind for kind, _ in drawn} == {"system"}
    assert {frozenset(atoms.symbols) for _, atoms in drawn} == set(systems)
    found = {reduced(atoms) for _, atoms in drawn}
    assert "O2Ti" not in found
    assert not any(map(is_held_back, found))
    assert len(found) > 10


def test_frames_of_known_crystals_are_of_a_kind_of_their_own():
    model = Model(*small_model())
    kinds = ("alloy", KNOWN, "system")
    crystals = [(kind, bulk("Mo", a=3.1)) for kind in kinds]
    frames = frames_of(model, crystals, np.random.default_rng(1), steps=(1,), disturbed_frames=0)
    assert [frame.info["kind"] for frame in frames] == ["alloys", KNOWN, "crystals"]
