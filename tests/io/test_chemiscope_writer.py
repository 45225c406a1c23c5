"""Files for chemiscope hold what the table holds, and say what is missing where chemiscope is not installed."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.io.chemiscope_writer import MissingChemiscopeError
from aiida_pet.io.from_python import table_of_crystals
from aiida_pet.io.writers import write_table
from aiida_pet.tables.crystals import StructureTable


@pytest.fixture
def table() -> StructureTable:
    table = table_of_crystals({"Mo": bulk("Mo"), "MoW": bulk("MoW", "cesiumchloride", a=3.16)})
    table.set_column("energy", np.array([-10.8, np.nan]), "eV")
    table.set_column("status", np.array(["converged", "max_steps"]))
    table.set_column("is_stable", np.array([True, False]))
    table.set_column("stress", np.zeros((2, 6)), "eV/A^3")
    return table


def test_crystals_and_columns_are_in_the_file(table: StructureTable, tmp_path: Path) -> None:
    pytest.importorskip("chemiscope")
    path = tmp_path / "alloys.json.gz"
    assert write_table(table, path, "chemiscope") == []
    document = json.loads(gzip.decompress(path.read_bytes()))
    assert document["meta"]["name"] == "alloys"
    first, second = document["structures"]
    assert (first["size"], second["size"]) == (1, 2)
    assert second["names"] == ["Mo", "W"]
    atoms = table.get_ase("MoW")
    assert np.transpose([second[axis] for axis in "xyz"]) == pytest.approx(atoms.positions)
    assert np.reshape(second["cell"], (3, 3)) == pytest.approx(atoms.cell.array)
    properties = document["properties"]
    assert properties["id"]["values"] == ["Mo", "MoW"]
    assert properties["energy"]["units"] == "eV"
    assert properties["energy"]["values"] == pytest.approx([-10.8, np.nan], nan_ok=True)
    assert properties["is_stable"]["values"] == [1, 0]
    assert properties["status"]["values"] == ["converged", "max_steps"]
    assert "stress" not in properties


def test_remedy_is_told_where_it_is_missing(
    table: StructureTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "chemiscope", None)
    monkeypatch.delitem(sys.modules, "chemiscope.input", raising=False)
    with pytest.raises(MissingChemiscopeError, match=r"pip install 'aiida-pet\[chemiscope\]'"):
        write_table(table, tmp_path / "alloys.json", "chemiscope")
    assert not (tmp_path / "alloys.json").exists()
