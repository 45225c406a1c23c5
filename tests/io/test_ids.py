"""Which field is the id, in files of databases that call it otherwise, and what an import says where none is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from aiida_pet.io.ids import id_of, is_id_key, sounds_like_id
from aiida_pet.io.readers import ReadOptions, read_structures

STRUCTURE = Structure(Lattice.cubic(3.16), ["W"], [[0, 0, 0]]).as_dict()


@pytest.mark.parametrize(
    ("field", "value", "row_id"),
    [
        ("matpes_id", "matpes-20240214_999_1", "matpes-20240214_999_1"),
        ("auid", "aflow:00a1b2", "aflow:00a1b2"),
        ("MaterialId", "0031a2", "0031a2"),
        ("material-id", "12345e6", "12345e6"),
        ("_id", {"$oid": "65a0"}, "65a0"),
        ("_id", "007", "007"),
    ],
)
def test_fields_of_databases_are_ids_as_they_stand(
    field: str, value: Any, row_id: str, tmp_path: Path
) -> None:
    (tmp_path / "set.json").write_text(json.dumps([{field: value, "structure": STRUCTURE}]))
    table = read_structures(tmp_path / "set.json").table
    assert table.ids.tolist() == [row_id]
    assert not table.columns


@pytest.mark.parametrize("missing", ['id=""', "id=None", "id=nan", ""])
def test_what_is_no_id_is_no_column_either(missing: str, tmp_path: Path) -> None:
    (tmp_path / "set.xyz").write_text(f"1\n{missing} mat_id=agm007\nW 0 0 0\n")
    assert read_structures(tmp_path / "set.xyz").table.ids.tolist() == ["agm007"]


def test_better_known_field_goes_first() -> None:
    fields = {"_id": "x", "mat_id": "y", "MaterialID": "z"}
    assert id_of(fields, None) == ("z", "MaterialID")
    assert id_of(fields, "_id") == ("x", "_id")
    assert is_id_key("Material ID", None)
    assert not is_id_key("material", None)


@pytest.mark.parametrize("name", ["mp_id", "uid", "icsd_id", "identifier", "structureID", "sid"])
def test_field_that_sounds_like_an_id_is_named_and_can_be_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(json.dumps([{name: "a", "structure": STRUCTURE}, {name: "b", "structure": STRUCTURE}]))
    result = read_structures(path)
    assert result.table.ids.tolist() == ["set-0", "set-1"]
    assert any(f"give id_key={name!r}: 2 crystals" in line for line in result.summary())
    taken = read_structures(path, ReadOptions(id_key=name))
    assert taken.table.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize("name", ["valid", "grid", "void", "bandgap", "paid", "idea"])
def test_words_that_end_alike_do_not_sound_like_ids(name: str) -> None:
    assert not sounds_like_id(name)


def test_labels_of_rows_with_leading_zeros_are_ids(tmp_path: Path) -> None:
    for name, content in (
        ("columns", {"structure": {"0017": STRUCTURE, "0018": STRUCTURE}}),
        ("split", {"columns": ["structure"], "index": ["0017", "0018"], "data": [[STRUCTURE], [STRUCTURE]]}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        assert read_structures(tmp_path / f"{name}.json").table.ids.tolist() == ["0017", "0018"]
        (tmp_path / f"{name}.json").write_text(json.dumps(content).replace('"001', '"1'))
        assert read_structures(tmp_path / f"{name}.json").table.ids.tolist() == [f"{name}-0", f"{name}-1"]
