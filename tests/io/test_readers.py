"""What all formats share: folders, archives, compression, ids, problems."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.db import connect

from aiida_pet.io.column_collector import ColumnCollector
from aiida_pet.io.crystal import (
    StructureFileError,
    column_name,
    scalar,
)
from aiida_pet.io.equal_crystals import equal_crystals
from aiida_pet.io.ids import id_of, id_text
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.readers import DuplicateImportError, ReadOptions, read_structures
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import DuplicateIdError


@pytest.fixture
def extxyz(tmp_path: Path, crystals: list[Atoms]) -> Path:
    path = tmp_path / "set.xyz"
    ase.io.write(path, crystals)
    return path


@pytest.mark.parametrize(("suffix", "opener"), [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)])
def test_compressed_file_gives_the_same(extxyz: Path, suffix: str, opener: Callable) -> None:
    packed = extxyz.with_name(extxyz.name + suffix)
    with opener(packed, "wb") as target:
        target.write(extxyz.read_bytes())
    plain, table = read_structures(extxyz).table, read_structures(packed).table
    assert table.ids.tolist() == plain.ids.tolist()
    np.testing.assert_array_equal(table.positions, plain.positions)


def test_compressed_database_gives_the_same(tmp_path: Path, crystals: list[Atoms]) -> None:
    ase.io.write(tmp_path / "a.db", crystals)
    with gzip.open(tmp_path / "b.db.gz", "wb") as target:
        target.write((tmp_path / "a.db").read_bytes())
    plain, table = (read_structures(tmp_path / name).table for name in ("a.db", "b.db.gz"))
    np.testing.assert_array_equal(table.positions, plain.positions)


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_damaged_compression_is_refused_with_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.xyz{suffix}"
    path.write_bytes(b"not compressed at all")
    with pytest.raises(StructureFileError, match=r"a\.xyz"):
        read_structures(path)


def test_truncated_gzip_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "a.xyz.gz"
    rng = np.random.default_rng(0)
    crystals = [bulk("Mo", a=3 + rng.random()) for _ in range(2000)]
    with gzip.open(path, "wt") as handle:
        ase.io.write(handle, crystals, format="extxyz")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(StructureFileError, match=r"a\.xyz\.gz: cannot be read after \d+ structures"):
        read_structures(path)
    result = read_structures(path, ReadOptions(skip_invalid=True))
    assert 1000 < len(result.table) < 2000
    assert len(result.problems) == 1


def test_zip_of_one_extxyz_per_id_as_matbench_discovery_ships_it(
    tmp_path: Path, crystals: list[Atoms]
) -> None:
    path = tmp_path / "wbm-initial-atoms.extxyz.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for atoms in crystals:
            member = tmp_path / "one.extxyz"
            ase.io.write(member, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True))
            archive.write(member, f"{atoms.info['material_id']}.extxyz")
    table = read_structures(path).table
    assert table.ids.tolist() == [f"wbm-1-{i}" for i in range(5)]
    np.testing.assert_allclose(table.get_ase("wbm-1-3").positions, crystals[3].positions, rtol=0, atol=1e-8)


@pytest.mark.parametrize("member", ["../up.xyz", "a/../../up.xyz", "/etc/up.xyz", "..\\up.xyz", "C:\\up.xyz"])
def test_zip_with_a_member_outside_of_it_is_refused_whole(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.xyz", "1\n\nMo 0 0 0\n")
        archive.writestr(member, "1\n\nMo 0 0 0\n")
    before = sorted(path.name for path in tmp_path.parent.rglob("*"))
    with pytest.raises(
        StructureFileError, match=r"a\.zip: cannot be read: an archive with a member that leads out"
    ):
        read_structures(tmp_path / "a.zip")
    (tmp_path / "b.xyz").write_text("1\nid=b\nTa 0 0 0\n")
    result = read_structures([tmp_path / "a.zip", tmp_path / "b.xyz"], ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["b"]
    assert [Path(problem.file).name for problem in result.problems] == ["a.zip"]
    assert sorted(path.name for path in tmp_path.parent.rglob("*")) == sorted([*before, "b.xyz"])


def test_zip_problem_names_the_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good.xyz", "1\n\nMo 0 0 0\n")
        archive.writestr("bad.xyz", "1\n\nQq 0 0 0\n")
    with pytest.raises(StructureFileError, match=r"a\.zip:bad\.xyz: structure 'bad'"):
        read_structures(tmp_path / "a.zip")


def test_folder_is_walked_in_order_of_names(tmp_path: Path, crystals: list[Atoms]) -> None:
    for atoms in crystals:
        atoms.info.clear()
    folder = tmp_path / "in"
    for name in ("b/mp-2.cif", "b/mp-1.vasp", "runs/x/POSCAR", "runs/y/z/POSCAR", ".hidden/h.cif"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ase.io.write(folder / name, crystals[1])
    ase.io.write(folder / "a.xyz", crystals)
    ids = read_structures(folder).table.ids.tolist()
    assert ids == [*(f"a-{i}" for i in range(5)), "mp-1", "mp-2", "runs/x", "runs/y/z"]


def test_folder_passes_over_what_has_no_format(tmp_path: Path, extxyz: Path) -> None:
    (tmp_path / "README.md").write_text("read me")
    result = read_structures(tmp_path)
    assert len(result.table) == 5
    (line,) = result.summary()
    assert line == f"1 file was skipped, since its name matches no format: {tmp_path / 'README.md'}"


def test_ids_must_be_unique_within_a_file(tmp_path: Path, crystals: list[Atoms]) -> None:
    crystals[3].info["material_id"] = crystals[1].info["material_id"]
    ase.io.write(tmp_path / "set.xyz", crystals)
    with pytest.raises(DuplicateIdError, match=r"'wbm-1-1' in .*set\.xyz") as caught:
        read_structures(tmp_path / "set.xyz")
    assert caught.value.duplicates == ["wbm-1-1"]


def test_ids_must_be_unique_over_all_files_and_all_are_named(extxyz: Path) -> None:
    other = extxyz.with_name("other.xyz")
    shutil.copy(extxyz, other)
    with pytest.raises(DuplicateImportError) as caught:
        read_structures([extxyz, other], ReadOptions(skip_invalid=True))
    assert caught.value.duplicates == [f"wbm-1-{i}" for i in range(5)]
    assert caught.value.places["wbm-1-4"] == [str(extxyz), str(other)]
    assert "5 ids occur more than once" in str(caught.value)
    assert f"'wbm-1-4' in {extxyz}, {other}" in str(caught.value)


def test_files_of_one_name_in_several_folders_are_told_apart(tmp_path: Path) -> None:
    for number, name in enumerate(["d1/a.xyz", "d2/a.xyz", "d2/b.xyz", "d2/b.cif"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        ase.io.write(tmp_path / name, Atoms("W", cell=[3 + number, 3, 3], pbc=True))
    expected = ["d1/a", "d2/a", "d2/b.cif", "d2/b.xyz"]
    assert read_structures(tmp_path).table.ids.tolist() == expected
    assert read_structures(sorted(tmp_path.rglob("*.*"))).table.ids.tolist() == expected


def test_advice_on_duplicates_works_when_it_is_followed(tmp_path: Path) -> None:
    frames = [bulk("W", a=3 + number / 10) for number in range(3)]
    for number, folder in enumerate(("d1", "d2")):
        (tmp_path / folder).mkdir()
        for atoms in frames:
            atoms.info["id"] = "same" if number else "other"
        ase.io.write(tmp_path / folder / "a.xyz", frames[number : number + 2], format="extxyz")
    files = [tmp_path / "d1/a.xyz", tmp_path / "d2/a.xyz"]
    with pytest.raises(DuplicateImportError, match="id_key='' numbers them"):
        read_structures(files)
    ids = read_structures(files, ReadOptions(id_key="")).table.ids.tolist()
    assert ids == ["d1/a-0", "d1/a-1", "d2/a-0", "d2/a-1"]
    with pytest.raises(DuplicateImportError, match=r"a\.xyz is given twice: give it once"):
        read_structures([files[0], files[0]], ReadOptions(id_key=""))


def test_numbering_avoids_duplicate_names(tmp_path: Path, crystals: list[Atoms]) -> None:
    for atoms in crystals:
        atoms.info["name"] = "all the same"
        del atoms.info["material_id"]
    ase.io.write(tmp_path / "set.xyz", crystals)
    with pytest.raises(DuplicateImportError, match="'' numbers them"):
        read_structures(tmp_path / "set.xyz")
    table = read_structures(tmp_path / "set.xyz", ReadOptions(id_key="")).table
    assert table.ids.tolist() == [f"set-{i}" for i in range(5)]
    assert set(table.columns["name"].tolist()) == {"all the same"}


def test_field_of_ids_that_is_not_there_is_told(tmp_path: Path, extxyz: Path) -> None:
    with connect(tmp_path / "a.db") as target:
        target.write(bulk("W"))
    for path, count in ((extxyz, 5), (tmp_path / "a.db", 1)):
        result = read_structures(path, ReadOptions(id_key="uid"))
        assert result.table.ids[0].startswith(path.stem)
        crystals = "5 crystals" if count == 5 else "1 crystal"
        assert any(
            line.startswith("no field 'uid' holds an id") and line.endswith(crystals)
            for line in result.summary()
        )


def test_nothing_to_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.xyz").touch()
    for paths in (tmp_path / "empty", tmp_path / "empty.xyz", []):
        with pytest.raises(StructureFileError, match="no structures in"):
            read_structures(paths)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match=r"gone\.xyz: no such file or folder"):
        read_structures(tmp_path / "gone.xyz")


def test_only_broken_structures_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("1\n\nQq 0 0 0\n")
    with pytest.raises(StructureFileError, match=r"1 could not be read, the first: .*structure 'a'.*Qq"):
        read_structures(tmp_path / "a.xyz", ReadOptions(skip_invalid=True))


def test_broken_file_costs_no_other(tmp_path: Path, extxyz: Path) -> None:
    (tmp_path / "b.db").write_text("no database")
    (tmp_path / "c.zip").write_text("no archive")
    result = read_structures(
        [tmp_path / "b.db", tmp_path / "c.zip", extxyz, tmp_path / "gone"], ReadOptions(skip_invalid=True)
    )
    assert len(result.table) == 5
    assert [Path(problem.file).name for problem in result.problems] == ["b.db", "c.zip", "gone"]
    assert result.problems[2].reason == "no such file or folder"


def test_broken_archive_in_a_folder_costs_no_other_file(tmp_path: Path, extxyz: Path) -> None:
    (tmp_path / "a.zip").write_text("no archive")
    with pytest.raises(StructureFileError, match=r"a\.zip: cannot be read: expected a zip archive"):
        read_structures(tmp_path)
    result = read_structures(tmp_path, ReadOptions(skip_invalid=True))
    assert len(result.table) == 5
    assert [Path(problem.file).name for problem in result.problems] == ["a.zip"]


def test_member_of_an_archive_without_format_is_passed_over(extxyz: Path) -> None:
    with zipfile.ZipFile(extxyz.with_suffix(".zip"), "w") as archive:
        archive.write(extxyz, "set.xyz")
        archive.writestr("LICENSE", "text")
    result = read_structures(extxyz.with_suffix(".zip"))
    assert len(result.table) == 5
    assert result.summary()[0].endswith("set.zip:LICENSE")


def test_text_encodings_do_not_matter_to_the_numbers(tmp_path: Path) -> None:
    poscar = "Universit\u00e4t\n1.0\n3 0 0\n0 3 0\n0 0 3\nMo\n1\nDirect\n0.5 0 0\n"
    (tmp_path / "latin.vasp").write_bytes(poscar.encode("latin-1"))
    (tmp_path / "bom.xyz").write_bytes(b"\xef\xbb\xbf1\r\n\r\nMo 1.5 0 0\r\n")
    table = read_structures([tmp_path / "latin.vasp", tmp_path / "bom.xyz"]).table
    assert table.positions[:, 0].tolist() == [1.5, 1.5]


def test_unknown_format_is_refused_with_those_known() -> None:
    with pytest.raises(StructureFileError, match="unknown file_format 'xls': expected extxyz, cif"):
        ReadOptions.of("xls", None, None, False)


# -- columns -------------------------------------------------------------------------------------------------------


def collected(values: list) -> np.ndarray:
    collector = ColumnCollector()
    for row, value in enumerate(values):
        collector.add(row, {} if value is None else {"x": value}, {})
    return collector.build(len(values))["x"]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 2, 3], "i", [1, 2, 3]),
        ([True, False], "b", [True, False]),
        ([1, 2.5], "f", [1.0, 2.5]),
        (["a", None, "bc"], "U", ["a", "", "bc"]),
        (["a", 2], "U", ["a", "2"]),
        ([None, 1, None], "f", [np.nan, 1.0, np.nan]),
        ([True, None], "f", [1.0, np.nan]),
        ([2**70, 1], "f", [2.0**70, 1.0]),
    ],
)
def test_column_type_follows_its_values(values: list, kind: str, expected: list) -> None:
    column = collected([scalar(value) for value in values])
    assert column.dtype.kind == kind
    np.testing.assert_array_equal(column, np.array(expected))


def test_column_that_starts_late_and_ends_early_is_filled() -> None:
    collector = ColumnCollector()
    collector.add(2, {"x": 1.5}, {"f": np.ones((2, 3))})
    np.testing.assert_array_equal(collector.build(5)["x"], [np.nan, np.nan, 1.5, np.nan, np.nan])
    filled = collector.build_atoms(np.array([0, 1, 2, 4, 5, 6]))["f"]
    np.testing.assert_array_equal(np.isfinite(filled[:, 0]), [False, False, True, True, False, False])


def test_very_long_text_is_left_out_and_counted() -> None:
    left_out = LeftOut()
    collector = ColumnCollector(left_out)
    collector.add(0, {"x": "a" * 100_000, "y": 1}, {})
    collector.add(1, {"x": "b"}, {})
    assert list(collector.build(2)) == ["y"]
    (line,) = left_out.lines()
    assert line.startswith("column 'x' is left out, since a text has 100000 characters")
    assert line.endswith(": 2 crystals")


def test_flags_per_atom_stay_flags_and_are_false_where_missing() -> None:
    collector = ColumnCollector()
    collector.add(1, {}, {"held": np.array([[True, False, True]])})
    column = collector.build_atoms(np.array([0, 1, 2]))["held"]
    assert column.dtype == bool
    assert column.tolist() == [[False, False, False], [True, False, True]]


def test_column_of_several_units_is_refused() -> None:
    collector = ColumnCollector()
    collector.add(0, {"gap": 1.0}, {}, {"gap": "eV"})
    collector.add(1, {"gap": 2.0}, {}, {"gap": "Hartree"})
    with pytest.raises(ValueError, match="column 'gap' has several units, Hartree, eV"):
        collector.units()


# -- ids -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0031", "0031"),
        ("1e3", "1e3"),
        ("nan", "nan"),
        ("T", "T"),
        (" a b ", " a b "),
        (7, "7"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (np.int64(5), "5"),
        (float("nan"), None),
        (None, None),
        ("  ", None),
        ([1], None),
        ({}, None),
    ],
)
def test_id_is_the_text_of_the_file(value: object, text: str | None) -> None:
    assert id_text(value) == text


def test_exported_id_goes_before_other_keys_and_an_explicit_key_before_all() -> None:
    fields = {"entry_id": "mp-1-GGA", "material_id": "mp-1", "name": "n", "id": "mine", "uid": "u"}
    assert id_of(fields, None) == ("mine", "id")
    assert id_of(fields, "uid") == ("u", "uid")
    assert id_of(fields, "") == (None, None)
    assert id_of({"id": float("nan"), "Material_ID": "mp-2"}, None) == ("mp-2", "Material_ID")


# -- equal crystals ----------------------------------------------------------------------------------------------------


def test_equal_crystals_are_found_whatever_the_order_of_their_atoms() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    turned = atoms[::-1]
    moved, other, open_ = atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[0, 0] += 0.01
    other.numbers[0] = 19
    open_.pbc = (True, True, False)
    noisy = atoms.copy()
    noisy.positions += 1e-9
    crystals = {"a": atoms, "moved": moved, "b": turned, "other": other, "open": open_, "c": noisy}
    assert equal_crystals(StructureTable.from_ase(list(crystals.items()))) == [["a", "b", "c"]]


def test_import_tells_equal_crystals_and_fields_left_out(tmp_path: Path) -> None:
    frames = [bulk("W", "bcc", a=3.2, cubic=True) for _ in range(3)]
    frames[2].cell[0, 0] = 4.0
    for name, atoms in zip("abc", frames, strict=True):
        atoms.info |= {"id": name, "dipole": np.zeros(3)}
    ase.io.write(tmp_path / "set.xyz", frames, format="extxyz")
    result = read_structures(tmp_path / "set.xyz")
    assert result.equal == [["a", "b"]]
    assert result.summary() == [
        "left out of the set: dipole: 3 crystals",
        "2 crystals are equal to another crystal with a different id (a = b): all were imported, and each "
        "will be computed",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("e_form", "e_form"),
        ("E above hull (eV)", "E_above_hull_eV"),
        ("2nd", "c_2nd"),
        ("id", "id_"),
        ("is", "is_"),
    ],
)
def test_column_name_can_stand_in_a_query(name: str, expected: str) -> None:
    assert column_name(name) == expected
    assert expected.isidentifier()


def test_columns_whose_names_become_equal_stay_apart() -> None:
    collector = ColumnCollector()
    collector.add(0, {"a b": 1, "a_b": 2, "a.b": 3}, {})
    assert {name: values.tolist() for name, values in collector.build(1).items()} == {
        "a_b": [1],
        "a_b_2": [2],
        "a_b_3": [3],
    }


def test_crystals_that_no_task_takes_are_told_and_kept(tmp_path: Path) -> None:
    sound, far, flat = bulk("W"), bulk("Mo"), bulk("Ta")
    far.positions[0, 1] = np.nan
    flat.cell[2] = flat.cell[0] + flat.cell[1]
    for name, atoms in (("sound", sound), ("far", far), ("flat", flat)):
        atoms.info["id"] = name
    ase.io.write(tmp_path / "set.extxyz", [sound, far, flat])
    result = read_structures(tmp_path / "set.extxyz")
    assert result.table.ids.tolist() == ["sound", "far", "flat"]
    (line,) = (line for line in result.summary() if "sound geometry" in line)
    assert line.startswith(
        "2 crystals without a sound geometry, 'far' 'flat': no task takes them; the first: position"
    )
    ase.io.write(tmp_path / "one.extxyz", sound)
    assert not any("sound geometry" in line for line in read_structures(tmp_path / "one.extxyz").summary())
