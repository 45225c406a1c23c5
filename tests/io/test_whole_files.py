"""Files that are there whole or not at all."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from aiida_pet.io.whole_files import open_whole, whole_file


def test_file_is_replaced_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with open_whole(path) as handle:
        handle.write("new")
        handle.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [child.name for child in tmp_path.iterdir()] == ["out.txt"]


def test_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(TypeError), open_whole(path) as handle:
        print("new", 1, file=handle, sep=3)  # type: ignore[call-overload]
    assert path.read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["out.txt"]


def test_text_is_compressed_as_the_name_says(tmp_path: Path) -> None:
    with open_whole(tmp_path / "out.xz") as handle:
        handle.write("one\ntwo\n")
    assert lzma.decompress((tmp_path / "out.xz").read_bytes()) == b"one\ntwo\n"


def test_other_name_is_beside_and_another_each_time(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with whole_file(tmp_path / "out") as part:
            part.touch()
            names.add(part)
    assert len(names) == 3
    assert {part.parent for part in names} == {tmp_path}


def test_link_in_the_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out").symlink_to(victim)
    with open_whole(tmp_path / "out") as handle:
        handle.write("new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "out").is_symlink()
