"""Files in other encodings than UTF-8 are read by their mark, and stray bytes as Latin-1, which is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import read_structures

STRUCTURE = Structure(Lattice.cubic(3.16), ["W", "Mo"], [[0, 0, 0], [0.5, 0.5, 0.5]])
CIF = str(CifWriter(STRUCTURE))
TEXTS = {
    "set.csv": f'id,cif\n"a-\u00f6","{CIF}"\n',
    "set.json": json.dumps([{"id": "a-\u00f6", "structure": STRUCTURE.as_dict()}], ensure_ascii=False),
    "set.jsonl": json.dumps({"id": "a-\u00f6", "structure": STRUCTURE.as_dict()}, ensure_ascii=False),
    "set.cif": CIF + "\n_pet_id a-\u00f6\n",
    "set.vasp": "id=a-\u00f6\n" + Poscar(STRUCTURE).get_str().split("\n", 1)[1],
    "set.xyz": '2\nLattice="3.16 0 0 0 3.16 0 0 0 3.16" id="a-\u00f6"\nW 0 0 0\nMo 1.58 1.58 1.58\n',
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", TEXTS)
def test_first_bytes_tell_the_encoding(name: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(TEXTS[name].encode(encoding))
    result = read_structures(path)
    assert result.table.ids.tolist() == ["a-\u00f6"]
    assert result.table.n_atoms.tolist() == [2]
    assert not result.left_out.remarks


def test_letters_of_latin_1_are_kept_and_told(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_bytes(TEXTS["set.csv"].encode("latin-1"))
    result = read_structures(path)
    assert result.table.ids.tolist() == ["a-\u00f6"]
    assert any("set.csv" in line and "Latin-1" in line and "UTF-8" in line for line in result.summary())


def test_json_of_latin_1_is_damage_and_says_what_helps(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_bytes(TEXTS["set.json"].encode("latin-1"))
    with pytest.raises(StructureFileError, match=r"set\.json: cannot be read: it is not UTF-8 .*as UTF-8"):
        read_structures(path)


def test_files_without_such_letters_are_not_told_about(tmp_path: Path) -> None:
    bulk("W").write(tmp_path / "w.xyz", format="extxyz")
    assert read_structures(tmp_path / "w.xyz").summary() == []
