"""The judges of a model: their crystals are what their names say, and a ripple in E(V) is found."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers
from pymatgen.io.ase import AseAtomsAdaptor

pytest.importorskip("torch", reason="needs the extra `engine`")

from benchmarks.model_check import binaries, phases
from benchmarks.model_check.crystals import bcc_orderings
from benchmarks.model_check.engine import Model
from benchmarks.model_check.polymorphs import labelled_energies, polymorphs
from benchmarks.model_check.references import Judged, verdicts
from benchmarks.model_check.smoothness import Smoothness, birch_murnaghan, judge
from benchmarks.recipe.compounds import reduced
from benchmarks.recipe.real import is_held_back
from tests.support.small_model import small_model

VOLUMES = 16.0 * (1 + np.arange(-0.02, 0.021, 0.0025)) ** 3


def group_of(atoms: Atoms) -> int:
    """Return the number of the space group."""
    found = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers))
    return int(found.number)


@pytest.mark.parametrize(("name", "group"), [("B2", 221), ("B32", 227), ("D0_3", 225), ("C11_b", 139)])
def test_orderings_are_those_of_their_names_on_bcc(name: str, group: int) -> None:
    orderings = {key: atoms for key, atoms in bcc_orderings().items() if key.startswith(f"{name}-")}
    assert len(orderings) == (6 if name in ("B2", "B32") else 12)
    for atoms in orderings.values():
        assert group_of(atoms) == group
        alike = atoms.copy()
        alike.numbers[:] = 42
        assert group_of(alike) == 229


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("L1_2-Ni3Al", 221),
        ("L1_0-TiAl", 123),
        ("D0_19-Ti3Al", 194),
        ("D0_22-Al3Ti", 139),
        ("B2-MoTa", 221),
        ("MgO-rocksalt", 225),
        ("TiN-zincblende", 216),
    ],
)
def test_phases_are_those_of_their_names(name: str, group: int) -> None:
    atoms = phases.candidates()[name]
    assert group_of(atoms) == group
    counts = sorted(np.unique(atoms.numbers, return_counts=True)[1].tolist())
    assert counts[-1] / counts[0] == (3 if "3" in name.split("-")[1] else 1)


def test_a_smooth_pressure_has_no_departure_and_a_ripple_has_its_own() -> None:
    smooth = birch_murnaghan(VOLUMES, 16.2, 150.0, 4.5)
    found = judge(VOLUMES, smooth)
    assert found.volume == pytest.approx(16.2, rel=1e-6)
    assert found.bulk_modulus == pytest.approx(150.0, rel=1e-5)
    assert found.departure < 1e-6
    # B = -V dP/dV of a ripple a sin(w ln V) is a w at most: here 30 GPa of 150
    rippled = judge(VOLUMES, smooth + 0.3 * np.sin(100.0 * np.log(VOLUMES / 16.2)))
    assert 0.1 < rippled.departure < 0.3


def test_pressure_of_the_equation_of_state_is_the_derivative_of_its_energy() -> None:
    v0, b0, b1, v, h = 16.0, 1.0, 4.7, 15.1, 1e-4

    def energy(volume: float) -> float:
        eta2 = (v0 / volume) ** (2 / 3)
        return 9 * v0 * b0 / 16 * ((eta2 - 1) ** 3 * b1 + (eta2 - 1) ** 2 * (6 - 4 * eta2))

    expected = -(energy(v + h) - energy(v - h)) / (2 * h)
    assert birch_murnaghan(np.array([v]), v0, b0, b1)[0] == pytest.approx(expected, rel=1e-6)


def test_distances_are_from_the_hull_of_the_others() -> None:
    crystals = {
        "A": bulk("Al"),
        "B": bulk("Ni"),
        "AB": bulk("NiAl", "cesiumchloride", a=2.9),
        "other": bulk("Cu"),
    }
    energies = {"A": -1.0, "B": -3.0, "AB": -2.5, "other": -9.0}
    assert phases.distances(crystals, energies, ["AB"]) == {"AB": pytest.approx(-0.5)}
    assert np.isnan(phases.distances(crystals, {"A": -1.0, "B": -3.0}, ["AB"])["AB"])


def test_verdicts_name_what_is_beyond_a_bound() -> None:
    good = Judged("Al-fcc", 0.001, 0.02, 0.03, False, 0.02)
    bad = Judged("W-bcc", 0.05, 0.5, 0.03, True, 0.5)
    reached = [one[2] for one in verdicts([good], {})]
    assert reached == [True] * 5
    told = list(verdicts([good, bad], {"B2-MoW": Smoothness(15.8, 300.0, 0.13)}))
    assert "W-bcc" in told[0][1]
    assert not told[0][2]
    assert "B2-MoW" in told[4][1]
    assert not told[4][2]


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("Ti-omega", 191),
        ("Si-beta-tin", 141),
        ("C-graphite", 194),
        ("TiO2-anatase", 141),
        ("TiO2-fluorite", 225),
    ],
)
def test_polymorphs_are_those_of_their_names(name: str, group: int) -> None:
    assert group_of(polymorphs()[name]) == group


def test_every_polymorph_has_a_label() -> None:
    assert set(labelled_energies()) == set(polymorphs())
    assert labelled_energies()["C-graphite"] < labelled_energies()["C-diamond"]


def test_a_polymorph_in_another_order_than_the_labels_have_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = labelled_energies()
    swapped = labels | {"Ti-omega": labels["Ti-bcc"], "Ti-bcc": labels["Ti-omega"]}
    monkeypatch.setattr(phases, "energies_of", lambda model, crystals: swapped)
    monkeypatch.setattr(phases, "model_elements", lambda model: {6, 8, 14, 22, 26})
    monkeypatch.setattr(phases, "candidates", dict)
    told = {asked.split(":")[0]: (found, good) for asked, found, good in phases.verdicts(None)}
    assert {name: good for name, (_, good) in told.items()} == {
        "Ti": False, "Si": True, "C": True, "Fe": True, "TiO2": True
    }  # fmt: skip
    assert "Ti-omega above Ti-fcc" in told["Ti"][0]
    assert "fcc +40 (+40)" in told["Ti"][0]


def test_binaries_to_judge_by_are_kept_back_small_and_not_soft(tmp_path: Path) -> None:
    pairs = [f"{metal}{anion}" for metal in ("Nb", "Mo", "Ta", "W") for anion in "BCN"]
    kept = [formula for formula in pairs if is_held_back(reduced(bulk(formula, "rocksalt", a=4.3)))]
    assert 0 < len(kept) < len(pairs)

    def entry(formula: str, atoms: Atoms, bulk_modulus: float = 200.0) -> dict[str, Any]:
        structure = AseAtomsAdaptor.get_structure(atoms).as_dict()
        moduli = {"bulk_modulus_vrh": bulk_modulus, "shear_modulus_vrh": 100.0}
        return {"formula": formula, "mp_id": "mp-1", "structure": structure} | moduli

    entries = [entry(formula, bulk(formula, "rocksalt", a=4.3)) for formula in pairs]
    entries.append(entry("large", bulk(kept[0], "rocksalt", a=4.3, cubic=True)))
    entries.append(entry("soft", bulk(kept[0], "rocksalt", a=4.3), 3.0))
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / binaries.FILE).write_bytes(gzip.compress(json.dumps(entries).encode()))
    every = {atomic_numbers[symbol] for symbol in ("Nb", "Mo", "Ta", "W", "B", "C", "N")}
    assert [one.name for one in binaries.read_binaries(tmp_path, every)] == [f"{name}-mp-1" for name in kept]
    assert binaries.read_binaries(tmp_path, every - {5, 6, 7}) == []
    learnt = frozenset({reduced(Atoms(kept[0]))})
    assert [one.name for one in binaries.read_binaries(tmp_path, every, learnt)] == [
        f"{name}-mp-1" for name in kept[1:]
    ]


def test_moduli_are_compared_with_the_published_ones() -> None:
    model = Model(*small_model())
    crystal = bulk("W", "bcc", a=3.17)
    first = binaries.differences(model, [binaries.Binary("W", crystal, (100.0, 100.0))])
    halved = binaries.differences(model, [binaries.Binary("W", crystal, (200.0, 50.0))])
    assert first.names == ["W"]
    assert first.without == []
    assert first.bulk[0] > 0.5
    np.testing.assert_allclose(halved.bulk + 1, (first.bulk + 1) / 2)
    np.testing.assert_allclose(halved.shear + 1, (first.shear + 1) * 2)
    several = binaries.Differences(["a", "b", "c"], np.array([0.1, -0.5, 0.2]), np.zeros(3), [])
    assert several.line("bulk") == "median 20%, beyond 30%: 33%"
