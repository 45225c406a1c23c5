from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError
from ase import Atoms

from aiida_pet.io.crystal import ImportProblem, StructureFileError
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import DuplicateIdError, Table


@pytest.fixture
def make(aiida_profile: Any) -> Any:
    from aiida_pet.data.structures import StructureSetData

    return StructureSetData


def pairs(crystals: list[Atoms]) -> list[tuple[str, Atoms]]:
    return [(atoms.info["material_id"], atoms) for atoms in crystals]


def test_round_trip_through_the_database_keeps_everything(make: Any, structure_table: StructureTable) -> None:
    loaded = orm.load_node(make.from_table(structure_table).store().pk)
    again = loaded.to_table()
    for name in ("ids", "numbers", "positions", "cells", "pbc", "offsets"):
        np.testing.assert_array_equal(getattr(again, name), getattr(structure_table, name))
        assert getattr(again, name).dtype.kind == getattr(structure_table, name).dtype.kind
    np.testing.assert_array_equal(again.atom_columns["forces"], structure_table.atom_columns["forces"])
    assert again.units == structure_table.units
    assert list(again.columns) == list(structure_table.columns)


def test_attributes_say_what_is_in_the_set(make: Any, structure_table: StructureTable) -> None:
    node = make.from_table(structure_table).store()
    attributes = node.base.attributes.all
    assert attributes["elements"] == ["Na", "Si", "Cl", "Ti", "Mo", "Ta", "W"]
    assert attributes["n_atoms"] == 15
    assert attributes["sizes"] == {"min": 1, "max": 8, "mean": 3.0}
    assert attributes["atom_columns"] == {"forces": "eV/A"}
    assert attributes["counts"]["status"] == {"converged": 3, "max_steps": 1, "diverged": 1}
    assert attributes["ranges"]["energy"] == [-27.0, -10.9]


def test_iterator_is_consumed_one_at_a_time(make: Any, crystals: list[Atoms], same_crystal: Callable) -> None:
    alive = []

    def stream() -> Any:
        for index in range(500):
            atoms = crystals[index % 5].copy()
            alive.append(index)
            yield f"c{index}", atoms

    node = make.from_iterator(stream(), columns={"x": np.arange(500.0)}, units={"x": "eV"}, label="mine")
    assert len(node) == len(alive) == 500
    assert node.label == "mine"
    assert node.unit("x") == "eV"
    assert same_crystal(node.get_ase("c7"), crystals[2], 0)


def test_get_ase_gives_atoms_of_their_own(make: Any, crystals: list[Atoms], same_crystal: Callable) -> None:
    node = make.from_iterator(pairs(crystals)).store()
    atoms = node.get_ase("wbm-1-3")
    assert same_crystal(atoms, crystals[3], 0)
    assert atoms.info == {"id": "wbm-1-3"}
    atoms.positions += 1
    atoms.cell *= 2
    atoms.pbc = False
    atoms.numbers[:] = 1
    assert same_crystal(node.get_ase("wbm-1-3"), crystals[3], 0)


def test_iter_ase_goes_in_order(make: Any, crystals: list[Atoms], same_crystal: Callable) -> None:
    node = make.from_iterator(pairs(crystals)).store()
    found = list(node.iter_ase())
    assert [atoms.info["id"] for atoms in found] == node.ids.tolist()
    assert all(same_crystal(one, other, 0) for one, other in zip(found, crystals, strict=True))


def test_select_takes_columns_along(make: Any, structure_table: StructureTable) -> None:
    part = make.from_table(structure_table).select(["wbm-1-3", "wbm-1-1"])
    assert part.n_atoms.tolist() == [8, 2]
    assert part.columns["n_steps"].tolist() == [4, 2]
    np.testing.assert_array_equal(
        part.atom_columns["forces"][:8], structure_table.atom_columns["forces"][structure_table.atoms_of(3)]
    )


def test_data_frame_has_formula_and_size(make: Any, structure_table: StructureTable) -> None:
    frame = make.from_table(structure_table).to_dataframe()
    assert frame["formula"].tolist() == ["Mo", "TaW", "Ti2", "Cl4Na4", "Si2"]
    assert frame["n_atoms"].tolist() == [1, 2, 2, 8, 2]
    assert frame["energy"].iloc[0] == -10.9


def test_equal_content_has_one_hash_however_it_came(
    make: Any, crystals: list[Atoms], structure_table: StructureTable
) -> None:
    one = make.from_iterator(pairs(crystals)).store()
    other = make.from_iterator(iter(pairs(crystals)), label="another label").store()
    assert one.base.caching.get_hash() == other.base.caching.get_hash()
    structure_table.positions[0, 0] += 1e-12
    moved = make.from_table(structure_table).store()
    assert moved.base.caching.get_hash() != one.base.caching.get_hash()


def test_empty_set_is_refused(make: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.xyz").touch()
    with pytest.raises(ValueError, match="needs at least one row"):
        make.from_iterator([])
    with pytest.raises(StructureFileError, match="no structures in"):
        make.from_file(tmp_path / "empty.xyz")
    with pytest.raises(ValidationError, match="needs rows"):
        make().store()


def test_duplicate_ids_are_refused_with_the_ids(make: Any, crystals: list[Atoms], tmp_path: Path) -> None:
    with pytest.raises(DuplicateIdError, match="'wbm-1-2'"):
        make.from_iterator([*pairs(crystals), ("wbm-1-2", crystals[0])])
    ase.io.write(tmp_path / "set.xyz", [*crystals, crystals[4]])
    with pytest.raises(DuplicateIdError, match=r"'wbm-1-4' in .*set\.xyz"):
        make.from_file(tmp_path / "set.xyz")


def test_table_without_crystals_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="needs a StructureTable, got Table"):
        make.from_table(Table(np.array(["a"])))


def test_atom_array_of_other_length_is_refused_at_store(make: Any, structure_table: StructureTable) -> None:
    node = make.from_table(structure_table)
    node.set_array("atoms_forces", np.zeros((3, 3)))
    with pytest.raises(ValidationError, match="'atoms_forces' must have 15 atoms"):
        node.store()


def test_unknown_atom_column_is_named(make: Any, structure_table: StructureTable) -> None:
    node = make.from_table(structure_table)
    assert node.atom_column("forces").shape == (15, 3)
    with pytest.raises(KeyError, match="no column per atom 'force', there are: forces"):
        node.atom_column("force")


def test_crystals_without_atoms_or_with_nan_are_stored(make: Any) -> None:
    broken = Atoms("Mo", positions=[[np.nan] * 3], cell=np.zeros((3, 3)))
    node = make.from_iterator([("none", Atoms(cell=np.eye(3), pbc=True)), ("nan", broken)]).store()
    assert orm.load_node(node.pk).to_table().n_atoms.tolist() == [0, 1]
    only_empty = make.from_iterator([("none", Atoms(cell=np.eye(3), pbc=True))]).store()
    assert len(orm.load_node(only_empty.pk).get_ase("none")) == 0


def test_from_file_passes_its_options_on(make: Any, crystals: list[Atoms], tmp_path: Path) -> None:
    path = tmp_path / "set.dat"
    ase.io.write(path, crystals, format="extxyz")
    assert len(make.from_file(path, file_format="extxyz").store()) == 5
    assert make.from_file(path, file_format="extxyz", id_key="").ids[0] == "set.dat-0"
    path.write_text(path.read_text() + "1\n\nQq 0 0 0\n")
    with pytest.raises(StructureFileError, match=r"set\.dat-5"):
        make.from_file(path, file_format="extxyz")
    problems: list[ImportProblem] = []
    node = make.from_file([path], file_format="extxyz", skip_invalid=True, problems=problems, label="partial")
    assert len(node) == 5
    assert [problem.id for problem in problems] == ["set.dat-5"]
    assert node.label == "partial"


def test_wbm_sample_is_stored_with_ids_and_columns(make: Any, shared_data: Path) -> None:
    node = make.from_file(shared_data / "wbm-sample.json.gz").store()
    assert len(node) == 972
    assert node.unit("formation_energy_per_atom") == "eV/atom"
    assert node.row("wbm-3-38149")["formula"] == "Sm(MgSn)2"
    assert node.row("wbm-3-38149")["energy"] == -34.79162033
    assert len(node.base.attributes.get("elements")) > 50


def test_rows_of_a_large_set_are_read_from_its_files_once(
    make: Any, crystals: list[Atoms], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = StructureTable.from_ase(pairs(crystals))
    n = 257_000
    index = np.arange(n) % 5
    sizes = small.n_atoms[index]
    atoms = np.concatenate([np.arange(15)] * (n // 5 + 1))[: int(sizes.sum())]
    large = StructureTable(
        ids=np.char.add("wbm-", np.arange(n).astype(str)),
        columns={"energy": np.linspace(-1, 1, n), "status": np.array(["converged", "left"])[index % 2]},
        numbers=small.numbers[atoms],
        positions=small.positions[atoms],
        cells=small.cells[index],
        pbc=small.pbc[index],
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )
    pk = make.from_table(large).store().pk
    node = orm.load_node(pk)
    assert len(node.to_table()) == n
    node.get_ase("wbm-0")

    def read(name: str) -> None:
        raise AssertionError(f"{name} is read again")

    monkeypatch.setattr(node, "get_array", read)
    for i in range(0, n, 257):
        atoms = node.get_ase(f"wbm-{i}")
        np.testing.assert_array_equal(atoms.positions, crystals[i % 5].positions)
