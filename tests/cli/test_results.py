"""`aiida-pet results`: every option changes the table."""

import csv
import gzip
import io
import json

import ase.io
import pandas as pd
import pytest
from ase.db import connect
from pymatgen.core import Structure

IDS = ["b", "a", "max_steps-c", "d"]


@pytest.fixture
def campaign(make_campaign):
    made = make_campaign(IDS)
    made.finish_job(["b", "a", "max_steps-c"])
    made.set_results(IDS)
    made.end(made.node, exit_status=400)
    return made


@pytest.fixture
def rows(invoke, campaign):
    """Run `results` and return its rows as dictionaries of texts."""

    def run(*arguments):
        text = invoke("results", campaign.node.pk, "--format", "csv", *arguments).stdout
        return list(csv.DictReader(io.StringIO(text)))

    return run


def names(rows):
    return [row["id"] for row in rows]


def test_results_are_in_the_order_of_the_input_with_all_columns(rows):
    found = rows()
    assert names(found) == IDS
    assert {"id", "formula", "n_atoms", "status", "energy", "stress_xx", "spacegroup_0_01"} <= set(found[0])
    assert float(found[0]["energy"]) == -16.0


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("status != converged", ["max_steps-c", "d"]),
        ("status == 'max_steps'", ["max_steps-c"]),
        ("status in [left, max_steps]", ["max_steps-c", "d"]),
        ("energy < 0 and not status == converged", ["max_steps-c"]),
        ("id == a", ["a"]),
        ("n_atoms > 2", []),
    ],
)
def test_where_chooses_rows(rows, where, expected):
    assert names(rows("--where", where)) == expected


def test_where_that_fits_no_row_is_told(invoke, campaign):
    result = invoke("results", campaign.node.pk, "--where", "n_atoms > 2")
    assert result.stderr == "none of the 4 rows fulfils 'n_atoms > 2'\n"
    told = invoke("results", campaign.node.pk, "--where", "status != convergd").stderr
    assert "'status != convergd': status is never 'convergd' (did you mean converged" in " ".join(
        told.split()
    )


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("stauts == left", "no column 'stauts'"),
        ("status = left", "cannot read"),
        ("__import__('os').system('true')", "only columns, numbers, texts"),
        ("energy", "is not a condition"),
    ],
)
def test_where_that_is_no_condition_is_refused(invoke, campaign, where, message):
    output = invoke("results", campaign.node.pk, "--where", where, status=1).output
    assert output.startswith("Error: ")
    assert message in output


def test_columns_are_those_asked_for_in_their_order(rows):
    assert list(rows("--columns", "energy, status")[0]) == ["id", "energy", "status"]


def test_a_column_of_several_values_stands_for_its_components(invoke, campaign, rows):
    parts = [f"stress_{part}" for part in ("xx", "yy", "zz", "yz", "xz", "xy")]
    assert list(rows("--columns", "stress,energy,stress_xx")[0]) == ["id", *parts, "energy"]
    told = " ".join(invoke("results", campaign.node.pk, "--sort", "stress", status=2).output.split())
    assert "it has several values in each row: name one of stress_xx to stress_xy" in told
    assert "stress_yy" not in told  # among the columns that there are


def test_columns_all_shows_in_a_table_what_csv_has(invoke, campaign, rows):
    header = invoke("results", campaign.node.pk, "--columns", "all").stdout.splitlines()[0]
    assert header.split() == list(rows()[0])


def test_unknown_column_is_refused_with_the_known(invoke, campaign):
    for option in ("--columns", "--sort"):
        output = invoke("results", campaign.node.pk, option, "enrgy", status=2).output
        assert "no column 'enrgy' (did you mean energy?): columns are id, formula" in " ".join(output.split())


def test_sort_sorts_up_and_down(rows):
    assert names(rows("--sort", "id")) == ["a", "b", "d", "max_steps-c"]
    assert names(rows("--sort=-id")) == ["max_steps-c", "d", "b", "a"]


def test_limit_cuts_and_zero_does_not(rows):
    assert names(rows("--limit", "2")) == ["b", "a"]
    assert names(rows("--limit", "0")) == IDS


def test_table_for_people_stops_at_a_screenful_and_says_so(invoke, campaign, monkeypatch):
    monkeypatch.setattr("aiida_pet.cli.results.FIRST_ROWS", 3)
    result = invoke("results", campaign.node.pk)
    # what is the same in all rows, two lines of headings, the rule, the rows
    assert len(result.stdout.splitlines()) == 1 + 2 + 1 + 3
    assert result.stderr == "1 more row: --limit 0 shows all, -o FILE writes all to a file\n"


def test_table_has_units_and_marks_what_is_missing(invoke, campaign):
    same, head, units, _, first, *_, last = invoke("results", campaign.node.pk).stdout.splitlines()
    assert same.startswith("in all 4 rows: n_atoms 2")
    assert head.split()[:5] == ["id", "formula", "status", "heads", "energy"]
    assert units.split()[:2] == ["eV", "A^3"]
    assert first.split()[:5] == ["b", "NbW", "converged", "conservative", "-16.000"]
    assert last.split()[:5] == ["d", "W2", "left", "-", "-"]


def test_wide_and_columns_show_what_is_the_same_in_all_rows(invoke, campaign):
    for arguments in (["--wide"], ["--columns", "formula,n_atoms"]):
        lines = invoke("results", campaign.node.pk, *arguments).stdout.splitlines()
        assert lines[0].split()[:2] == ["id", "formula"]
        assert "n_atoms" in lines[0].split()


def test_json_has_units_counts_and_null_for_what_is_missing(read, campaign):
    document = read("results", campaign.node.pk, "--columns", "energy,status,stress_xx")
    assert document["units"] == {"energy": "eV", "stress_xx": "eV/A^3"}
    assert (document["n_rows"], document["complete"]) == (4, True)
    assert document["rows"][0] == {"id": "b", "energy": -16.0, "status": "converged", "stress_xx": 0.0}
    assert document["rows"][3]["energy"] is None


def test_json_and_another_format_exclude_each_other(invoke, campaign):
    assert (
        "exclude each other"
        in invoke("results", campaign.node.pk, "--json", "--format", "csv", status=2).output
    )


@pytest.mark.parametrize(
    ("name", "first"), [("out.csv", "id,formula"), ("out.json", "{"), ("out.txt", "id ")]
)
def test_output_takes_the_format_of_its_name(invoke, campaign, tmp_path, name, first):
    path = tmp_path / name
    result = invoke("results", campaign.node.pk, "-o", path)
    assert (result.stdout, result.stderr) == ("", f"wrote {path}\n")
    assert path.read_text().startswith(first)


def test_format_decides_over_the_name_of_the_output(invoke, campaign, tmp_path):
    path = tmp_path / "out.csv"
    invoke("results", campaign.node.pk, "-o", path, "--format", "json")
    assert json.loads(path.read_text())["n_rows"] == 4


def test_results_of_a_running_launch_are_those_of_its_finished_jobs(invoke, read, make_campaign):
    made = make_campaign(IDS)
    made.finish_job(["b", "a"])
    made.add_job(["max_steps-c", "d"])
    document = read("results", made.node.pk)
    assert (document["complete"], names(document["rows"])) == (False, ["b", "a"])
    told = f"process <{made.node.pk}> is waiting: these are the 2 rows of 1 of 2 jobs so far\n"
    assert invoke("results", made.node.pk).stderr == told


def test_results_of_a_launch_without_any_says_where_to_look(invoke, make_campaign):
    made = make_campaign(IDS)
    output = invoke("results", made.node.pk, status=1).output
    assert f"process <{made.node.pk}> is waiting and has no results yet; see `aiida-pet status" in output


def test_results_of_a_set_are_its_rows(read, make_structures):
    structures = make_structures(3)
    document = read("results", structures.pk)
    assert names(document["rows"]) == structures.ids.tolist()


def test_extxyz_has_the_chosen_crystals_with_their_columns(invoke, campaign, tmp_path):
    path = tmp_path / "relaxed.xyz.gz"
    result = invoke("results", campaign.node.pk, "-o", path, "--where", "status != left", "--sort", "id")
    assert result.stderr == f"wrote {path}\n"
    found = ase.io.read(path, ":", format="extxyz")
    assert [atoms.info["id"] for atoms in found] == ["a", "b", "max_steps-c"]
    assert found[0].get_potential_energy() == -16.0
    assert found[0].info["spacegroup_0_01"] == 229


def test_extxyz_has_only_the_columns_that_were_asked_for(invoke, campaign, tmp_path):
    path = tmp_path / "relaxed.extxyz"
    invoke("results", campaign.node.pk, "-o", path, "--limit", 1, "--columns", "formula,fmax,stress_xx")
    atoms = ase.io.read(path)
    assert set(atoms.info) == {"id", "fmax", "aiida_pet"}
    assert set(atoms.calc.results) == {"stress"}
    output = invoke("results", campaign.node.pk, "-o", path, "--force", "--columns", "fmx", status=2).output
    assert "no column 'fmx' (did you mean fmax?)" in " ".join(output.split())


def test_pymatgen_json_is_read_by_pymatgen(invoke, campaign, tmp_path):
    path = tmp_path / "relaxed.json.gz"
    invoke("results", campaign.node.pk, "-o", path, "--format", "pymatgen", "--where", "id == a")
    with gzip.open(path, "rt") as handle:
        (record,) = json.load(handle)
    assert (record["material_id"], record["energy"]) == ("a", -16.0)
    assert Structure.from_dict(record["structure"]).composition.reduced_formula == "MoW"


def test_json_and_csv_are_compressed_as_their_names_say(invoke, campaign, tmp_path):
    invoke("results", campaign.node.pk, "-o", tmp_path / "out.json.gz")
    invoke("results", campaign.node.pk, "-o", tmp_path / "out.csv.gz")
    with gzip.open(tmp_path / "out.json.gz", "rt") as handle:
        assert names(json.load(handle)["rows"]) == IDS
    assert pd.read_csv(tmp_path / "out.csv.gz")["id"].tolist() == IDS


def test_formats_of_files_are_not_printed(invoke, campaign):
    for form in ("extxyz", "pymatgen", "parquet", "matbench-discovery"):
        output = invoke("results", campaign.node.pk, "--format", form, status=2).output
        assert f"{form} is a format of files: name a file with -o" in output


def test_parquet_without_pyarrow_says_how_to_get_it(invoke, campaign, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    output = invoke("results", campaign.node.pk, "-o", tmp_path / "out.parquet", status=1).output
    assert output.startswith("Error: parquet needs pyarrow")


def test_parquet_has_the_rows(invoke, campaign, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, which writes parquet, is not installed")
    invoke("results", campaign.node.pk, "-o", tmp_path / "out.parquet", "--where", "id != a")
    found = parquet.read_table(tmp_path / "out.parquet")
    assert found.column("id").to_pylist() == ["b", "max_steps-c", "d"]


def test_nothing_is_written_where_no_row_is_left_or_no_folder_is_there(invoke, campaign, tmp_path):
    path = tmp_path / "out.xyz"
    output = invoke("results", campaign.node.pk, "-o", path, "--where", "n_atoms > 9", status=1).output
    assert "nothing to write" in output
    assert not path.exists()
    output = invoke("results", campaign.node.pk, "-o", tmp_path / "no" / "out.xyz", status=1).output
    assert "there is no folder" in output


def test_submission_needs_formation_energies_and_takes_those_of_a_hull(
    invoke, launch, make_structures, tmp_path
):
    structures = make_structures(["a", "b", "max_steps", "d"])
    node = launch("relax", structures.pk)
    path = tmp_path / "2026-11-21-discovery.csv.gz"
    arguments = ("results", node.pk, "-o", path, "--format", "matbench-discovery")
    assert "no column 'formation_energy'" in invoke(*arguments, status=1).output
    assert not path.exists()

    from ase.build import bulk

    from aiida_pet.data.structures import StructureSetData

    references = StructureSetData.from_iterator(
        (f"el-{symbol}", bulk(symbol, "bcc", a=3.2)) for symbol in ("Nb", "Mo", "Ta", "W")
    ).store()
    hull = launch("hull", node.pk, "--relax-references", references.pk)
    assert hull.is_finished_ok, hull.exit_message
    result = invoke("results", hull.pk, "-o", path, "--format", "matbench-discovery")
    column = "e_form_per_atom"
    assert f"(pred_col {column}): 4 rows, 1 of them without a formation energy" in result.stderr
    assert "(struct_col structure): 4 crystals, 1 of them not converged" in result.stderr
    frame = pd.read_csv(path).set_index("material_id")
    expected = dict(
        zip(hull.outputs.results.ids, hull.outputs.results.column("formation_energy"), strict=True)
    )
    assert frame[column].drop("max_steps").to_dict() == {
        name: round(value, 4) for name, value in expected.items() if name != "max_steps"
    }
    assert pd.isna(frame.loc["max_steps", column])
    relaxed = pd.read_json(tmp_path / "2026-11-21-geo-opt.jsonl.gz", lines=True).set_index("material_id")
    assert list(relaxed) == ["structure", "energy", "converged", "n_steps"]
    assert relaxed["converged"].to_dict() == {"a": True, "b": True, "max_steps": False, "d": True}
    refused = invoke(*arguments[:3], tmp_path / "pet.csv.gz", *arguments[4:], status=1).output
    assert "expected a date and -discovery.csv.gz" in refused


def test_nothing_is_overwritten_unless_it_is_asked_for(campaign, invoke, tmp_path):
    path = tmp_path / "mine.xyz"
    path.write_text("mine")
    output = invoke("results", campaign.node.pk, "-o", path, status=1).output
    assert f"{path} exists already: --force replaces it" in output
    assert path.read_text() == "mine"
    invoke("results", campaign.node.pk, "-o", path, "--force")
    assert path.read_text() != "mine"


@pytest.mark.parametrize("name", ["a.xlsx", "a.foo.gz", "a"])
def test_unknown_suffix_is_refused_with_those_known(campaign, invoke, tmp_path, name):
    output = invoke("results", campaign.node.pk, "-o", tmp_path / name, status=2).output
    assert "its name matches no format" in output
    assert ".parquet" in output
    assert not (tmp_path / name).exists()


def test_ase_database_is_written(campaign, invoke, tmp_path):
    invoke("results", campaign.node.pk, "-o", tmp_path / "a.db")
    with connect(tmp_path / "a.db") as database:
        assert database.count() > 0
