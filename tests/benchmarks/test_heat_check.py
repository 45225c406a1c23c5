"""The comparisons of heat and vibrations: what they read, and that they find what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("phono3py", reason="needs the extra `conductivity`")

from ase.build import bulk

from benchmarks.heat_check import counts, heat_capacity
from benchmarks.heat_check.crystals import known_to, phonondb, with_cells

OF_A_KIND = {"rs": (292, 146, 4, 2), "zb": (444, 222, 4, 2), "wz": (2120, 1254, 8, 6)}


@pytest.fixture(scope="module")
def crystals(shared_data: Path) -> dict[str, Any]:
    if not (shared_data / "phonondb" / "structures.extxyz").is_file():
        pytest.skip("no structures of PhononDB in the shared data")
    return phonondb(shared_data)


def test_benchmark_has_103_crystals_with_their_cells(crystals: dict[str, Any]) -> None:
    kinds = [name.rpartition("-")[2] for name in crystals]
    assert [kinds.count(kind) for kind in ("rs", "zb", "wz")] == [37, 33, 33]
    table = with_cells(crystals)
    assert table.columns["fc3_supercell"].shape == (103, 3, 3)
    assert table.columns["q_mesh"][list(crystals).index("MgO-rs")].tolist() == [19, 19, 19]
    assert set(known_to({8, 12}, crystals)) == {"MgO-rs"}


@pytest.mark.parametrize("name", ["MgO-rs", "SiC-zb", "GaN-wz"])
def test_launch_counts_as_many_displacements_as_phono3py(crystals: dict[str, Any], name: str) -> None:
    atoms = crystals[name].copy()
    if not name.endswith("-wz"):  # seconds of a core, and equal numbers
        atoms.info["fc2_supercell"] = atoms.info["fc3_supercell"]
    third, third_auto, second, second_auto = OF_A_KIND[name.rpartition("-")[2]]
    assert counts.by_hand(atoms) == {"always": (second, third), "auto": (second_auto, third_auto)}
    assert counts.by_the_plan(name, atoms) == {"always": second + third, "auto": second_auto + third_auto}


def test_wrong_count_is_found(crystals: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "by_hand", lambda _: {"always": (4, 292), "auto": (2, 146)})
    monkeypatch.setattr(counts, "by_the_plan", lambda *_: {"always": 296, "auto": 147})
    one, total = counts.verdicts({"MgO-rs": crystals["MgO-rs"]})
    assert (one.good, total.good) == (False, False)
    assert str(one).startswith("NO  MgO-rs")
    assert "0 of 1 equal" in total.found


def test_heat_capacities_are_of_the_smallest_crystals_that_the_model_knows(tmp_path: Path) -> None:
    from pymatgen.io.ase import AseAtomsAdaptor

    folder = tmp_path / "benchmarks"
    folder.mkdir()
    found = {
        "big": bulk("NaCl", "rocksalt", a=5.6, cubic=True),
        "small": bulk("MgO", "rocksalt", a=4.2),
        "other": bulk("AuCu", "cesiumchloride", a=3.0),
    }
    records = [
        {
            "mp_id": name,
            "formula": atoms.get_chemical_formula(),
            "structure": AseAtomsAdaptor.get_structure(atoms).as_dict(),
            "heat_capacity": 37.0,
        }
        for name, atoms in found.items()
    ]
    with gzip.open(folder / "heat-capacity-binaries.json.gz", "wt") as handle:
        json.dump(records, handle)
    chosen = heat_capacity.binaries(tmp_path, {8, 11, 12, 17})
    assert [name.split()[0] for name in chosen] == ["small", "big"]
    atoms, expected = chosen["small MgO"]
    assert expected == 37.0
    np.testing.assert_allclose(atoms.get_volume(), 4.2**3 / 4)


@pytest.fixture(scope="module")
def shipped() -> Any:
    pytest.importorskip("metatomic_ase", reason="needs the extra `engine`")
    from aiida_pet.models import embedded_card, embedded_path
    from benchmarks.model_check.engine import Model

    return Model(embedded_path(), embedded_card()["sha256"])


@pytest.mark.slow
def test_whole_road_agrees_with_phono3py_by_hand(shipped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.heat_check import road

    atoms = bulk("W", a=3.18)
    cells = dict.fromkeys(("fc2_supercell", "fc3_supercell"), 3 * np.eye(3, dtype=int))
    atoms.info |= cells | {"q_mesh": [5, 5, 5], "symm.no": 229}
    monkeypatch.setattr(road, "MESHES", {False: (5, 5, 5)})
    (found,) = road.verdicts(shipped, {"W": atoms})
    assert found.good, found
    assert "supercells, forces within" in found.found
    monkeypatch.setattr(road, "FORCE", 0.0)
    (found,) = road.verdicts(shipped, {"W": atoms})
    assert found.good is False


@pytest.mark.slow
def test_expansion_agrees_with_phonopy_by_hand(shipped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.heat_check import expansion

    monkeypatch.setitem(expansion.CRYSTALS, "W", (bulk("W", a=3.18), 13.5e-6 / 10))
    monkeypatch.setitem(expansion.GIVEN, "mesh", 30.0)
    hand, measured = expansion.verdicts(shipped, ["W"])
    assert hand.good, hand
    assert "1e-6/K" in hand.found
    assert "WARNING" in measured.found  # the experiment was written a tenth as large
