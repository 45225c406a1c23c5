"""Readers of JSON, checked against pymatgen and pandas."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.pymatgen_json import atoms_from_structure
from aiida_pet.io.readers import ReadOptions, read_structures


@pytest.fixture
def structures(crystals: list[Atoms]) -> list[Structure]:
    return [
        AseAtomsAdaptor.get_structure(Atoms(a.numbers, a.positions, cell=a.cell, pbc=True)) for a in crystals
    ]


def write(path: Path, content: Any) -> Path:
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opener(path, "wt") as handle:
        handle.write(content if isinstance(content, str) else json.dumps(content))
    return path


def records(structures: list[Structure]) -> list[dict[str, Any]]:
    return [
        {"material_id": f"mp-{i}", "structure": s.as_dict(), "e_form": 0.1 * i, "formula": s.formula}
        for i, s in enumerate(structures)
    ]


def test_wbm_sample_imports_with_ids_and_columns(shared_data: Path) -> None:
    path = shared_data / "wbm-sample.json.gz"
    with gzip.open(path) as handle:
        raw = json.load(handle)
    table = read_structures(path).table
    assert len(table) == len(raw) == 972
    assert table.ids.tolist() == [record["material_id"] for record in raw]
    for name in ("formula", "energy", "formation_energy_per_atom"):
        assert table.columns[name].tolist() == [record[name] for record in raw]
    assert table.units["energy"] == "eV"
    assert table.units["formation_energy_per_atom"] == "eV/atom"
    for index, record in enumerate(raw):
        expected = Structure.from_dict(record["structure"])
        atoms = table.ase_at(index)
        assert atoms.numbers.tolist() == list(expected.atomic_numbers)
        # both multiply the same fractional coordinates by the same matrix
        np.testing.assert_allclose(atoms.positions, expected.cart_coords, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(atoms.cell.array, expected.lattice.matrix)


@pytest.mark.parametrize("suffix", ["json", "json.gz", "json.bz2"])
def test_list_of_structures_is_numbered_by_the_file(
    tmp_path: Path, structures: list[Structure], same_crystal: Callable[..., bool], suffix: str
) -> None:
    path = write(tmp_path / f"set.{suffix}", [s.as_dict() for s in structures])
    table = read_structures(path).table
    assert table.ids.tolist() == [f"set-{i}" for i in range(5)]
    for index, structure in enumerate(structures):
        assert same_crystal(table.ase_at(index), AseAtomsAdaptor.get_atoms(structure))


def test_computed_structure_entries_give_ids_and_energies(
    tmp_path: Path, structures: list[Structure]
) -> None:
    entries = [
        ComputedStructureEntry(
            s, energy=-1.5 * i, correction=0.25, entry_id=f"e-{i}", data={"gap": 0.5, "deep": {}}
        )
        for i, s in enumerate(structures)
    ]
    table = read_structures(write(tmp_path / "e.json", [entry.as_dict() for entry in entries])).table
    assert table.ids.tolist() == [f"e-{i}" for i in range(5)]
    # pymatgen keeps the uncorrected energy under the name energy
    np.testing.assert_allclose(table.columns["energy"], [entry.uncorrected_energy for entry in entries])
    np.testing.assert_allclose(table.columns["correction"], 0.25)
    np.testing.assert_allclose(table.columns["gap"], 0.5)
    assert table.units["correction"] == "eV"


def test_single_structure_takes_the_file_name(tmp_path: Path, structures: list[Structure]) -> None:
    structures[0].to(filename=str(tmp_path / "mp-149.json"))
    assert read_structures(tmp_path / "mp-149.json").table.ids.tolist() == ["mp-149"]


def test_object_of_structures_takes_its_keys(tmp_path: Path, structures: list[Structure]) -> None:
    plain = write(tmp_path / "a.json", {f"mp-{i}": s.as_dict() for i, s in enumerate(structures)})
    assert read_structures(plain).table.ids.tolist() == [f"mp-{i}" for i in range(5)]
    of_records = {f"key{i}": record for i, record in enumerate(records(structures))}
    table = read_structures(write(tmp_path / "b.json", of_records)).table
    assert table.ids.tolist() == [f"key{i}" for i in range(5)]
    assert table.columns["material_id"].tolist() == [f"mp-{i}" for i in range(5)]


@pytest.mark.parametrize("structure_first", [True, False])
@pytest.mark.parametrize("n_rows", [5, 400])
def test_data_frame_as_matbench_discovery_ships_it(
    tmp_path: Path,
    structures: list[Structure],
    same_crystal: Callable[..., bool],
    structure_first: bool,
    n_rows: int,
) -> None:
    columns = {
        "material_id": [f"wbm-1-{i}" for i in range(n_rows)],
        "formula": [structures[i % 5].formula for i in range(n_rows)],
        "e_form": np.linspace(-1, 1, n_rows),
        "initial_structure": [structures[i % 5] for i in range(n_rows)],
    }
    order = sorted(columns) if structure_first else sorted(columns, reverse=True)
    frame = pd.DataFrame({name: columns[name] for name in order})
    path = tmp_path / "wbm.json.bz2"
    frame.to_json(path, default_handler=lambda value: value.as_dict())
    table = read_structures(path).table
    expected = pd.read_json(path)
    assert table.ids.tolist() == expected.material_id.tolist()
    assert table.columns["formula"].tolist() == expected.formula.tolist()
    np.testing.assert_allclose(table.columns["e_form"], expected.e_form, rtol=0, atol=1e-12)
    for index in (0, 3, n_rows - 1):
        structure = Structure.from_dict(expected.initial_structure[index])
        # pandas writes 10 decimals
        assert same_crystal(table.ase_at(index), AseAtomsAdaptor.get_atoms(structure), 1e-8)


def test_data_frame_with_ids_as_index_and_entries_as_column(
    tmp_path: Path, structures: list[Structure]
) -> None:
    frame = pd.DataFrame(
        {"entry": [ComputedStructureEntry(s, energy=-float(i)) for i, s in enumerate(structures)]},
        index=[f"mp-{i}" for i in range(5)],
    )
    frame.to_json(tmp_path / "mp.json.gz", default_handler=lambda value: value.as_dict())
    table = read_structures(tmp_path / "mp.json.gz").table
    assert table.ids.tolist() == frame.index.tolist()
    np.testing.assert_allclose(table.columns["energy"], [0, -1, -2, -3, -4])


def test_data_frame_without_ids_is_numbered(tmp_path: Path, structures: list[Structure]) -> None:
    pd.DataFrame({"structure": structures}).to_json(
        tmp_path / "f.json", default_handler=lambda value: value.as_dict()
    )
    assert read_structures(tmp_path / "f.json").table.ids.tolist() == [f"f-{i}" for i in range(5)]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.json"])
def test_json_lines_give_a_crystal_per_line(tmp_path: Path, structures: list[Structure], name: str) -> None:
    path = write(tmp_path / name, "\n".join(json.dumps(record) for record in records(structures)) + "\n")
    table = read_structures(path).table
    assert table.ids.tolist() == [f"mp-{i}" for i in range(5)]
    np.testing.assert_allclose(table.columns["e_form"], 0.1 * np.arange(5))


def test_structure_key_chooses_between_structures(tmp_path: Path, structures: list[Structure]) -> None:
    rows = [
        {
            "material_id": f"mp-{i}",
            "initial_structure": s.as_dict(),
            "final_structure": s.copy().scale_lattice(99).as_dict(),
        }
        for i, s in enumerate(structures)
    ]
    listed = write(tmp_path / "list.json", rows)
    framed = tmp_path / "frame.json"
    pd.DataFrame(rows).to_json(framed)
    for path in (listed, framed):
        with pytest.raises(StructureFileError, match=r"final_structure, initial_structure.*structure_key="):
            read_structures(path)
        first = read_structures(path, ReadOptions(structure_key="initial_structure")).table
        last = read_structures(path, ReadOptions(structure_key="final_structure")).table
        np.testing.assert_allclose(first.volumes(), [s.volume for s in structures], rtol=1e-6)
        np.testing.assert_allclose(last.volumes(), 99, rtol=1e-6)


def test_id_key_chooses_the_id(tmp_path: Path, structures: list[Structure]) -> None:
    path = write(tmp_path / "r.json", [r | {"task": f"t{i}"} for i, r in enumerate(records(structures))])
    table = read_structures(path, ReadOptions(id_key="task")).table
    assert table.ids.tolist() == [f"t{i}" for i in range(5)]
    assert table.columns["material_id"].tolist() == [f"mp-{i}" for i in range(5)]
    numbered = read_structures(path, ReadOptions(id_key="")).table
    assert numbered.ids.tolist() == [f"r-{i}" for i in range(5)]


def disordered() -> dict[str, Any]:
    return Structure(Lattice.cubic(3.2), [{"Nb": 0.5, "Ta": 0.5}], [[0, 0, 0]]).as_dict()


def vacancy() -> dict[str, Any]:
    return Structure(Lattice.cubic(3.2), [{"Nb": 0.9}], [[0, 0, 0]]).as_dict()


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"structure": disordered()}, "site 0 is disordered"),
        ({"structure": vacancy()}, "site 0 is disordered"),
        ({"structure": None}, "expected a Structure or ComputedStructureEntry"),
        ({}, "expected a Structure or ComputedStructureEntry"),
        ({"structure": {"lattice": {"matrix": [[1, 2], [3, 4]]}, "sites": []}}, "pymatgen cannot build"),
        (
            {"structure": {"lattice": {"matrix": np.eye(3).tolist()}, "sites": [{"abc": [0, 0, 0]}]}},
            "pymatgen cannot",
        ),
        (
            {
                "structure": {
                    "lattice": {"matrix": np.eye(3).tolist()},
                    "sites": [
                        {"species": [{"element": "Qq", "occu": 1}], "abc": [0, 0, 0], "xyz": [0, 0, 0]}
                    ],
                }
            },
            "Qq",
        ),
    ],
)
def test_broken_record_names_file_and_id_and_costs_no_other(
    tmp_path: Path, structures: list[Structure], broken: dict[str, Any], reason: str
) -> None:
    rows = records(structures)
    rows[2] = {"material_id": "bad-one"} | broken
    path = write(tmp_path / "rows.json", rows)
    with pytest.raises(StructureFileError, match="bad-one") as caught:
        read_structures(path)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    result = read_structures(path, ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["mp-0", "mp-1", "mp-3", "mp-4"]
    assert [(p.file, p.id) for p in result.problems] == [(str(path), "bad-one")]
    assert reason in result.problems[0].reason
    np.testing.assert_allclose(result.table.columns["e_form"], [0, 0.1, 0.3, 0.4])


def test_broken_row_of_a_data_frame_costs_no_other(tmp_path: Path, structures: list[Structure]) -> None:
    column = [s.as_dict() for s in structures]
    column[0], column[3] = disordered(), None
    frame = pd.DataFrame({"structure": column, "material_id": [f"mp-{i}" for i in range(5)]})
    frame.to_json(tmp_path / "f.json")
    result = read_structures(tmp_path / "f.json", ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["mp-1", "mp-2", "mp-4"]
    assert {p.id: p.reason[:18] for p in result.problems} == {
        "mp-0": "site 0 is disorder",
        "mp-3": "expected a structu",
    }


def test_broken_line_costs_no_other(tmp_path: Path, structures: list[Structure]) -> None:
    lines = [json.dumps(record) for record in records(structures)]
    lines[1] = lines[1][:200]
    result = read_structures(write(tmp_path / "a.jsonl", "\n".join(lines)), ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["mp-0", "mp-2", "mp-3", "mp-4"]
    assert result.problems[0].id == "a-1"
    assert "line 2 is not valid JSON" in result.problems[0].reason


def test_truncated_json_keeps_what_came_before(tmp_path: Path, structures: list[Structure]) -> None:
    text = json.dumps(records(structures))
    path = write(tmp_path / "cut.json", text[: int(len(text) * 0.7)])
    with pytest.raises(
        StructureFileError, match=r"cut\.json: cannot be read after \d structures: not valid JSON"
    ):
        read_structures(path)
    result = read_structures(path, ReadOptions(skip_invalid=True))
    assert 1 <= len(result.table) < 5
    assert len(result.problems) == 1


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "3", "null", '{"a": 1}', "[1, 2]", "{", '{"a": {"b": 1}}']
)
def test_json_without_structures_is_refused(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "no.json", content)
    with pytest.raises(StructureFileError, match=r"no\.json"):
        read_structures(path)


def test_oxidation_states_deuterium_and_labels_are_understood() -> None:
    structure = Structure(
        Lattice.cubic(4.2), ["Fe3+", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]], labels=["Fe_a", "D1"]
    )
    assert atoms_from_structure(structure.as_dict()).numbers.tolist() == [26, 1]


def test_partial_periodicity_is_kept() -> None:
    structure = Structure(Lattice(np.diag([3.0, 3.0, 20.0]), pbc=(True, True, False)), ["Mo"], [[0, 0, 0.5]])
    assert atoms_from_structure(structure.as_dict()).pbc.tolist() == [True, True, False]


def test_direct_form_equals_pymatgen_fallback(structures: list[Structure]) -> None:
    for structure in structures:
        raw = structure.as_dict()
        direct = atoms_from_structure(raw)
        lattice = {key: value for key, value in raw["lattice"].items() if key != "matrix"}
        by_parameters = atoms_from_structure(raw | {"lattice": lattice})  # only pymatgen knows this form
        np.testing.assert_allclose(direct.cell.cellpar(), by_parameters.cell.cellpar(), rtol=0, atol=1e-8)
        np.testing.assert_allclose(
            direct.get_all_distances(mic=True), by_parameters.get_all_distances(mic=True), rtol=0, atol=1e-8
        )


def test_nan_positions_are_imported_for_the_engine_to_judge(
    tmp_path: Path, structures: list[Structure]
) -> None:
    rows = records(structures)
    for site in rows[1]["structure"]["sites"]:
        site["abc"] = site["xyz"] = [float("nan")] * 3
    rows[2]["structure"]["lattice"]["matrix"] = np.zeros((3, 3)).tolist()
    table = read_structures(write(tmp_path / "nan.json", rows)).table
    assert np.isnan(table.get_ase("mp-1").positions).all()
    assert table.volumes()[2] == 0
