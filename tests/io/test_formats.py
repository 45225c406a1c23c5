"""The registry of formats: what reads it, the page that is made of it, and a format that is added by its page."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from click.testing import CliRunner

import aiida_pet.io
from aiida_pet.cli import data as data_commands
from aiida_pet.cli import main
from aiida_pet.io import formats
from aiida_pet.io.formats import FORMATS, Format, UnknownFormatError, format_named, format_of_file
from aiida_pet.tables.crystals import StructureTable

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "dev" / "add-a-format.md").read_text()


def test_page_has_the_table_of_the_registry() -> None:
    page = (DOCS / "formats.md").read_text()
    found = re.search(r"^\| format \| names of files .*?(?=\n\n)", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    assert found.group().splitlines() == formats.table_of_formats()


@pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)
def test_reader_writer_and_subject_of_every_format_exist(one: Format) -> None:
    for name in filter(None, (one.reader, one.writer)):
        module, _, function = name.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    assert importlib.import_module(one.subject).__doc__
    assert one.writer or not one.written


def test_no_two_formats_claim_a_name() -> None:
    for field in ("suffixes", "written", "beginnings", "endings"):
        claimed = [name for one in FORMATS for name in getattr(one, field)]
        assert len(claimed) == len(set(claimed)), field
    names = [one.name for one in FORMATS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.XYZ", "extxyz"),
        ("CONTCAR", "poscar"),
        ("POSCAR.orig", "poscar"),
        ("gatheredPOSCARS", "poscar"),
        ("a.tsv", "csv"),
        ("OUTCAR", None),
        ("notes.txt", None),
    ],
)
def test_name_of_a_file_tells_its_format(name: str, expected: str | None) -> None:
    found = format_of_file(name)
    assert (found.name if found else None) == expected


def test_format_that_is_only_read_is_not_written() -> None:
    assert format_named("jsonl").reader
    with pytest.raises(UnknownFormatError, match="unknown format 'jsonl': expected extxyz, cif"):
        format_named("jsonl", to_write=True)


def test_help_lists_the_formats() -> None:
    for command, names in (
        ("import", "|".join(formats.readable())),
        ("export", ",".join(formats.writable())),
    ):
        shown = CliRunner().invoke(main, ["data", command, "--help"]).output
        assert names in "".join(shown.split())  # no line of help is longer than 80


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Format]:
    """The format that the page adds, by its two steps."""
    file, entry = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    folder = tmp_path / "io"
    folder.mkdir()
    (folder / "simple_cubic.py").write_text(file)
    monkeypatch.setattr(aiida_pet.io, "__path__", [*aiida_pet.io.__path__, str(folder)])
    one = eval(entry, {"Format": Format})
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, one))
    importlib.invalidate_caches()
    importlib.reload(data_commands)  # the choices of --format are those of the start
    yield one
    monkeypatch.undo()
    importlib.reload(data_commands)


def test_format_that_the_page_adds_comes_in_and_goes_out(
    added: Format, aiida_profile: Any, tmp_path: Path
) -> None:
    def run(*arguments: Any) -> str:
        words = ["data", *map(str, arguments)]
        result = CliRunner().invoke(main, words, catch_exceptions=False, terminal_width=200)
        assert result.exit_code == 0, result.output
        return result.output

    path = tmp_path / "crystals.sc"
    path.write_text("Po 3.345 polonium\nXx 1 unknown\nW 2.6\n")
    label = f"cubic-{tmp_path.name}"
    output = run("import", path, "--label", label, "--skip-invalid")
    assert "imported 2 crystals of 2 atoms (W Po)" in output
    assert (
        "structure 'unknown': line 2 is 'Xx 1 unknown\\n': expected an element, an edge in A and an id"
        in output
    )
    again = tmp_path / "again.sc.gz"
    run("export", label, "--output", again)
    assert "the profile has this content already: 2 crystals of 2 atoms" in run("import", again)
    shown = CliRunner().invoke(data_commands.data, ["import", "--help"], terminal_width=200).output
    assert "|simple-cubic]" in shown
    assert "`simple-cubic`" in formats.table_of_formats()[-1]


def test_writer_that_the_page_adds_says_what_it_cannot_hold(
    added: Format, tmp_path: Path, same_crystal: Callable[..., bool]
) -> None:
    from aiida_pet.io.readers import read_structures
    from aiida_pet.io.writers import write_table

    cubic = bulk("Po", "sc", a=3.345)
    table = StructureTable.from_ase([("a", cubic), ("b", bulk("W"))])
    assert write_table(table, tmp_path / "out.sc") == ["b"]
    found = read_structures(tmp_path / "out.sc").table
    assert found.ids.tolist() == ["a"]
    assert same_crystal(found.get_ase("a"), cubic)
