"""`aiida-pet data import` ends with one summary, and its messages name options of the command line."""

from pathlib import Path

import pytest
from aiida import orm

FRAME = '1\nLattice="{a} 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 id={id}{more}\nW 0 0 0\n'


def frame(name, a=3.0, more=""):
    return FRAME.format(id=name, a=a, more=f" {more}" if more else "")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_summary_says_once_what_was_left_out_and_what_reads_it(invoke, read, tmp_path):
    virial = 'virial="1 0 0 0 1 0 0 0 1"'
    path = write(tmp_path, "a.xyz", frame("a", 3, virial) + frame("b", 3.1, virial) + frame("c", 3.1))
    output = invoke("data", "import", path).output
    assert output.count("left out of the set: virial: 2 crystals") == 1
    assert "--virial-sign minus reads virials as stress = -virial / volume" in output
    assert "2 crystals are equal to another crystal with a different id (b = c)" in output
    assert "virial_sign" not in output
    document = read("data", "import", path, "--virial-sign", "minus")
    assert document["summary"] == [line for line in output.splitlines() if "equal to another" in line]
    assert orm.load_node(document["pk"]).to_table().columns["input_stress"][0][0] == pytest.approx(-1 / 27)


def test_clean_import_has_no_summary(invoke, tmp_path):
    first, second = invoke(
        "data", "import", write(tmp_path, "a.xyz", frame("007", 3.0071))
    ).output.splitlines()
    assert first.startswith("imported 1 crystal of 1 atom (W) as <")
    assert second.startswith("`aiida-pet data show ")


def test_options_of_results_reach_the_columns(read, tmp_path):
    path = write(tmp_path, "a.xyz", frame("007", 3, "REF_energy=-1.5 s='1 2 3 0 0 0' gap=0.5"))
    options = (
        "--column-map",
        "REF_energy=energy",
        "--column-map",
        "s=stress",
        "--column-map",
        "gap=band_gap",
    )
    node = orm.load_node(
        read("data", "import", path, *options, "--stress-unit", "GPa", "--stress-sign", "minus")["pk"]
    )
    columns = node.to_table().columns
    assert node.ids.tolist() == ["007"]
    assert columns["input_energy"].tolist() == [-1.5]
    assert columns["band_gap"].tolist() == [0.5]
    assert columns["input_stress"][0][:3] == pytest.approx(
        [-1 / 160.2177, -2 / 160.2177, -3 / 160.2177], rel=1e-5
    )


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--column-map", "REF_energy"), 2, "'REF_energy' is not FIELD=NAME"),
        (("--column-map", "a=energy", "--column-map", "a=stress"), 2, "a is given twice"),
        (
            ("--column-map", "a=energy", "--column-map", "b=energy"),
            1,
            "--column-map maps several fields to 'energy'",
        ),
        (
            ("--column-map", "REF_enrgy=energy"),
            1,
            "no structure has a field 'REF_enrgy' (--column-map names it)",
        ),
        (("--stress-unit", "bar"), 2, "is not one of"),
        (("--virial-sign", "both"), 2, "is not one of"),
    ],
)
def test_options_that_fit_nothing_are_refused(invoke, tmp_path, options, status, message):
    path = write(tmp_path, "a.xyz", frame("a"))
    assert message in " ".join(invoke("data", "import", path, *options, status=status).output.split())


def test_messages_name_options_and_their_advice_works(invoke, read, tmp_path):
    path = write(tmp_path, "a.xyz", frame("a") + frame("b").replace("W 0", "Qq 0") + frame("c", 3.1))
    output = invoke("data", "import", path, status=1).output
    assert "expected an element symbol (--skip-invalid imports the rest)" in output
    output = invoke("data", "import", path, "--skip-invalid").output
    assert output.count("'b'") == 1

    nameless = write(tmp_path, "crystals", frame("a"))
    output = invoke("data", "import", nameless, status=1).output
    assert "its name matches no format (--format NAME says it, where NAME is one of extxyz" in output
    assert read("data", "import", nameless, "--format", "extxyz")["n_rows"] == 1

    twice = write(tmp_path, "twice.xyz", frame("a") + frame("a", 3.1))
    output = invoke("data", "import", twice, status=1).output
    assert "--id-key '' numbers them" in output
    assert read("data", "import", twice, "--id-key", "")["n_rows"] == 2

    for text in (output, invoke("data", "import", path, path, status=1).output):
        assert not any(argument in text for argument in ("id_key", "skip_invalid", "file_format"))


def test_run_folders_given_one_by_one_are_named_by_folder(read, tmp_path):
    poscar = "same\n1\n{a} 0 0\n0 3 0\n0 0 3\nW\n1\nDirect\n0 0 0\n"
    files = [write(tmp_path, f"runs/mp-{i}/CONTCAR", poscar.format(a=3 + i / 10)) for i in (1, 2)]
    assert orm.load_node(read("data", "import", *files)["pk"]).ids.tolist() == ["mp-1", "mp-2"]
