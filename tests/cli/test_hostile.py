"""Ids, labels, names and contents of files that try to get in pass import, launch and export as what they are: text."""

import csv
import json
from pathlib import Path

import ase.io
import pytest
from ase.build import bulk

from aiida_pet.io.readers import read_structures
from aiida_pet.io.writers import write_table
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.workchains.jobs import jobs_of

IDS = [
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned;",
    "' || touch pwned || '",
    '" && touch pwned && "',
    "two\nlines touch pwned",
    "tab\tand\rreturn",
    "../../pwned",
    "/tmp/pwned/../x",
    "..",
    ".hidden",
    "-rf",
    "--help",
    "%s {0} ${HOME}",
    "=cmd|'/C touch pwned'!A0",
    'a,b"c',
    "ünïcode 結晶 🜁",
    "x" * 300,
    "\u202egnp.exe",
    "back\\slash\\",
    "(brackets)=[1]{2}",
    '_JSON {"a": 1}',
]
LABEL = "$(touch pwned); `touch pwned` '\"\n../../pwned"


def table():
    crystals = [(name, bulk("W", "bcc", a=3.17, cubic=True)) for name in IDS]
    made = StructureTable.from_ase(crystals)
    made.set_column("note", IDS)
    return made


@pytest.fixture
def hostile_file(tmp_path):
    path = tmp_path / "$(touch pwned); touch pwned & 'x'.json"
    write_table(table(), path)
    return path


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder to work in, in which what a shell was made to write would appear."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def node(read, launch, hostile_file, elsewhere):
    """A launch of the crystals, imported from a file and labelled in the same spirit."""
    document = read("data", "import", hostile_file, "--label", LABEL)
    return launch("relax", document["pk"], "--label", LABEL, "--job-size", 12, "--lanes", 2)


def test_hostile_texts_pass_import_launch_and_export_as_texts(invoke, read, node, tmp_path):
    assert node.is_finished_ok, node.exit_message
    assert node.label == LABEL
    assert node.outputs.results.ids.tolist() == IDS
    jobs = jobs_of(node)
    assert len(jobs) == 2
    for job in jobs:
        script = job.base.repository.get_object_content("_aiidasubmit.sh")
        assert "pet-engine" in script
        assert "pwned" not in script

    out = tmp_path / "out"
    out.mkdir()
    invoke("results", node.pk, "-o", out / "r.csv")
    with (out / "r.csv").open(newline="") as handle:
        assert [row["id"] for row in csv.DictReader(handle)] == IDS
    invoke("results", node.pk, "-o", out / "r.json")
    assert [row["id"] for row in json.loads((out / "r.json").read_text())["rows"]] == IDS
    invoke("results", node.pk, "-o", out / "p.json.gz", "--format", "pymatgen")
    assert read_structures(out / "p.json.gz").table.ids.tolist() == IDS
    invoke("results", node.pk, "-o", out / "r.xyz")
    assert [atoms.info["id"] for atoms in ase.io.read(out / "r.xyz", ":")] == IDS
    assert sorted(path.name for path in out.iterdir()) == ["p.json.gz", "r.csv", "r.json", "r.xyz"]

    invoke("data", "export", node.pk, "-o", tmp_path / "cifs", "--format", "cif")
    files = list((tmp_path / "cifs").rglob("*"))
    assert len(files) == len(IDS)
    assert all(path.is_file() and path.parent == tmp_path / "cifs" for path in files)

    for name in IDS[::4]:
        found = read("find", "--id", name, "--campaign", node.pk)
        assert [row["id"] for row in found["rows"]] == [name]
        steps = json.loads(invoke("trace", "--json", node.pk, "--", name).stdout)["steps"]
        assert steps[0]["row"]["id"] == name
        invoke("show", "--json", node.pk, "--", name)

    assert list(Path.cwd().iterdir()) == []
    wrote = [path for path in tmp_path.rglob("*pwned*") if path.parent.name != "cifs"]
    assert [path.name for path in wrote] == ["$(touch pwned); touch pwned & 'x'.json"]
