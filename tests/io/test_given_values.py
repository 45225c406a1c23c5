"""Settings that crystals bring: every reader reads them into the same columns, or says which not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.db import connect
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_pet.io.from_python import table_of_crystals
from aiida_pet.io.readers import ImportResult, ReadOptions, read_structures
from aiida_pet.job.given_columns import GIVEN_COLUMNS
from aiida_pet.job.input_columns import carried_columns

# row by row, not symmetric: a transposed one is another
MATRIX = [[0, 2, 2], [3, 0, 2], [2, 2, 0]]
GIVEN: dict[str, Any] = {
    "supercell_matrix": MATRIX,
    "primitive_matrix": [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]],
    "fc2_supercell": [4, 4, 2],
    "fc3_supercell": [value for row in MATRIX for value in row],
    "q_mesh": [19, 19, 10],
}
EXPECTED = {name: np.array(value, dtype=float) for name, value in GIVEN.items()} | {
    "fc2_supercell": np.diag([4.0, 4, 2]),
    "fc3_supercell": np.array(MATRIX, dtype=float),
}
DISPLACEMENTS = [[0, 0, 0.01, 0, 0], [1, 7, 0, 0, -0.01]]


def crystals() -> list[Any]:
    return [bulk("MgO", "rocksalt", a=4.2), bulk("NaCl", "rocksalt", a=5.6)]


def check(found: ImportResult) -> None:
    """The first row has all settings, the second none."""
    assert found.summary() == []
    for name, expected in EXPECTED.items():
        np.testing.assert_array_equal(found.table.columns[name][0], expected, err_msg=name)
        assert np.isnan(found.table.columns[name][1]).all(), name


def test_what_is_read_in_is_what_tasks_read() -> None:
    read = carried_columns()
    assert set(GIVEN_COLUMNS) <= {*read.rows, *read.ragged}
    assert set(GIVEN) | {"displacements"} == set(GIVEN_COLUMNS)


def test_extxyz_as_ase_writes_it(tmp_path: Path) -> None:
    first, second = crystals()
    # ase writes arrays of two dimensions as _JSON, and others as plain numbers
    first.info |= {name: np.array(value) for name, value in GIVEN.items()}
    ase.io.write(tmp_path / "set.xyz", [first, second])
    text = (tmp_path / "set.xyz").read_text()
    assert 'supercell_matrix="_JSON [[' in text
    assert 'q_mesh="19 19 10"' in text
    check(read_structures(tmp_path / "set.xyz"))


def test_extxyz_displacements(tmp_path: Path) -> None:
    first, second = crystals()
    first.info["displacements"] = np.array(DISPLACEMENTS)
    ase.io.write(tmp_path / "set.xyz", [first, second])
    ragged = read_structures(tmp_path / "set.xyz").table.ragged["displacements"]
    np.testing.assert_array_equal(ragged[0], DISPLACEMENTS)
    assert len(ragged[1]) == 0


def test_json_of_pymatgen(tmp_path: Path) -> None:
    records = [
        {"id": f"row-{place}", "structure": AseAtomsAdaptor.get_structure(atoms).as_dict()}
        for place, atoms in enumerate(crystals())
    ]
    records[0] |= GIVEN
    (tmp_path / "set.json").write_text(json.dumps(records))
    check(read_structures(tmp_path / "set.json"))


def test_json_with_a_mesh_under_another_name(tmp_path: Path) -> None:
    """Three numbers of a crystal with three atoms are no column per atom."""
    water = bulk("MgO", "rocksalt", a=4.2)
    water.append("O")
    record = {"id": "a", "structure": AseAtomsAdaptor.get_structure(water).as_dict(), "mesh": [5, 6, 7]}
    (tmp_path / "set.json").write_text(json.dumps([record]))
    options = ReadOptions.of(None, None, None, False, column_map={"mesh": "q_mesh"})
    assert read_structures(tmp_path / "set.json", options).table.columns["q_mesh"].tolist() == [[5, 6, 7]]


@pytest.mark.parametrize("name", ["set.db", "set.json"])
def test_databases_of_ase(tmp_path: Path, name: str) -> None:
    database = connect(tmp_path / name, type=name.rpartition(".")[2])
    first, second = crystals()
    database.write(first, data={key: np.array(value) for key, value in GIVEN.items()})
    database.write(second)
    check(read_structures(tmp_path / name))


def test_csv_with_texts_and_with_components(tmp_path: Path) -> None:
    """A table beside a file of crystals; what is given component by component is what an export writes."""
    for place, atoms in enumerate(crystals()):
        ase.io.write(tmp_path / f"row-{place}.cif", atoms)
    texts = {name: json.dumps(value) for name, value in GIVEN.items() if name != "q_mesh"}
    names = ["id", *texts, "q_mesh_0", "q_mesh_1", "q_mesh_2"]
    quoted = ",".join(f'"{text}"' for text in texts.values())
    lines = [",".join(names), f"row-0,{quoted},19,19,10", f"row-1,{','.join([''] * len(texts))},,,"]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    check(read_structures(tmp_path))


def test_csv_with_structures(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "a.cif", crystals()[0])
    cif = (tmp_path / "a.cif").read_text().replace('"', '""')
    (tmp_path / "a.cif").unlink()
    (tmp_path / "set.csv").write_text(f'id,cif,fc3_supercell,q_mesh\na,"{cif}",2 2 2,"[5, 5, 5]"\n')
    table = read_structures(tmp_path / "set.csv").table
    np.testing.assert_array_equal(table.columns["fc3_supercell"][0], 2 * np.eye(3))
    assert table.columns["q_mesh"].tolist() == [[5, 5, 5]]


def test_atoms_of_python() -> None:
    first, second = crystals()
    first.info |= GIVEN
    table = table_of_crystals({"a": first, "b": second})
    for name, expected in EXPECTED.items():
        np.testing.assert_array_equal(table.columns[name][0], expected)
    second.info["q_mesh"] = [5, 5]
    with pytest.raises(ValueError, match=r"q_mesh of 1 crystal \(b\) .* expected 3 positive whole numbers"):
        table_of_crystals({"a": first, "b": second})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("q_mesh", 19),
        ("q_mesh", [19, 19]),
        ("q_mesh", [19, 19, 0]),
        ("q_mesh", [19, 19, 9.5]),
        ("fc3_supercell", [[1, 0, 0], [1, 0, 0], [0, 0, 1]]),
        ("fc3_supercell", [2, 2, -2]),
        ("fc3_supercell", [[2, 0], [0, 2]]),
        ("fc2_supercell", [2, 2, 2.5]),
        ("supercell_matrix", [[2, 0, 0], [0, 2, 0], [0, 0, -2]]),
        ("supercell_matrix", "two by two"),
        ("primitive_matrix", [[1, 0, 0], [1, 0, 0], [0, 0, 1]]),
        ("displacements", [[0.1, 0, 0], [0, 0.1, 0]]),
    ],
)
def test_what_does_not_fit_is_named_with_its_row(tmp_path: Path, name: str, value: Any) -> None:
    good, wrong = crystals()
    good.info |= GIVEN | {"id": "good"}
    wrong.info |= {"id": "wrong", name: np.array(value) if isinstance(value, list) else value}
    ase.io.write(tmp_path / "set.xyz", [good, wrong])
    found = read_structures(tmp_path / "set.xyz")
    (line,) = found.summary()
    assert line.startswith(f"{name} of 1 crystal (wrong) is left out: wrong has ")
    assert line.endswith(GIVEN_COLUMNS[name].expected)
    assert found.table.ids.tolist() == ["good", "wrong"]
    if name in GIVEN:
        assert np.isnan(found.table.columns[name][1]).all()


def test_zeros_and_nan_are_no_value(tmp_path: Path) -> None:
    first, second = crystals()
    first.info |= {"fc3_supercell": np.zeros((3, 3)), "q_mesh": np.full(3, np.nan)}
    second.info |= {"fc3_supercell": 2 * np.eye(3, dtype=int), "q_mesh": [3, 3, 3]}
    ase.io.write(tmp_path / "set.xyz", [first, second])
    found = read_structures(tmp_path / "set.xyz")
    assert found.summary() == []
    assert np.isnan(found.table.columns["fc3_supercell"][0]).all()
    assert np.isnan(found.table.columns["q_mesh"][0]).all()


def test_crystals_of_the_benchmark(shared_data: Path) -> None:
    """The road of docs/conductivity.md: cells and meshes are those of the file as ASE reads it."""
    path = shared_data / "phonondb" / "structures.extxyz"
    found = read_structures(path, ReadOptions(id_key="mp_id"))
    assert found.summary() == []
    frames = ase.io.read(path, ":")
    assert len(frames) == len(found.table) == 103
    for name in ("fc2_supercell", "fc3_supercell", "q_mesh"):
        np.testing.assert_array_equal(found.table.columns[name], [atoms.info[name] for atoms in frames])


@pytest.mark.parametrize(
    ("name", "shape", "advice"),
    [
        ("dft_forces", (2, 3), "column_map={'dft_forces': 'forces'} reads such a field as forces"),
        ("REF_stress", (9,), "column_map={'REF_stress': 'stress'} reads such a field as stress"),
        ("virials", (3, 3), "column_map={'virials': 'virial'} reads such a field as virial"),
        ("virial", (9,), "virial_sign='minus' reads virials as stress = -virial / volume"),
        ("dft_forces", (4, 3), ""),
        ("force_constants", (2, 3), ""),
        ("force_uncertainty", (2, 3), ""),
        ("atomic_energy", (2,), ""),
        ("stress_history", (4, 6), ""),
    ],
)
def test_advice_on_results_fits_what_a_field_can_be(
    tmp_path: Path, name: str, shape: tuple[int, ...], advice: str
) -> None:
    """What is advised is done: the advice must lead to a column of results."""
    atoms = crystals()[0]
    record = {"id": "a", "structure": AseAtomsAdaptor.get_structure(atoms).as_dict()}
    value = np.eye(3).ravel() if shape == (9,) else np.eye(*shape) if len(shape) == 2 else np.ones(shape)
    record[name] = value.tolist()
    (tmp_path / "set.json").write_text(json.dumps([record]))
    told = [line for line in read_structures(tmp_path / "set.json").summary() if "reads" in line]
    assert told == ([advice] if advice else [])
    if "column_map" in advice:
        target = advice.rpartition(" ")[2]
        options = ReadOptions.of(None, None, None, False, column_map={name: target})
        table = read_structures(tmp_path / "set.json", options).table
        assert {"input_forces", "input_stress"} & {*table.columns, *table.atom_columns}
