"""`aiida-pet results`: every option changes the table."""

import csv
import io
import json

import pytest

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


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("stauts == left", "no column 'stauts'"),
        ("status = left", "cannot read"),
        ("__import__('os').system('true')", "only columns, numbers, texts"),
        ("energy", "is no condition"),
    ],
)
def test_where_that_is_no_condition_is_refused(invoke, campaign, where, message):
    output = invoke("results", campaign.node.pk, "--where", where, status=1).output
    assert output.startswith("Error: ")
    assert message in output


def test_columns_are_those_asked_for_in_their_order(rows):
    assert list(rows("--columns", "energy, status")[0]) == ["id", "energy", "status"]


def test_columns_all_shows_in_a_table_what_csv_has(invoke, campaign, rows):
    header = invoke("results", campaign.node.pk, "--columns", "all").stdout.splitlines()[0]
    assert header.split() == list(rows()[0])


def test_unknown_column_is_refused_with_the_known(invoke, campaign):
    for option in ("--columns", "--sort"):
        output = invoke("results", campaign.node.pk, option, "enrgy", status=2).output
        assert "there is no column 'enrgy': columns are id, formula" in " ".join(output.split())


def test_sort_sorts_up_and_down(rows):
    assert names(rows("--sort", "id")) == ["a", "b", "d", "max_steps-c"]
    assert names(rows("--sort=-id")) == ["max_steps-c", "d", "b", "a"]


def test_limit_cuts_and_zero_does_not(rows):
    assert names(rows("--limit", "2")) == ["b", "a"]
    assert names(rows("--limit", "0")) == IDS


def test_table_for_people_stops_at_a_screenful_and_says_so(invoke, campaign, monkeypatch):
    monkeypatch.setattr("aiida_pet.cli.results.FIRST_ROWS", 3)
    result = invoke("results", campaign.node.pk)
    assert len(result.stdout.splitlines()) == 2 + 1 + 3
    assert result.stderr == "1 more row: --limit 0 for all, -o FILE for a file\n"


def test_table_has_units_and_marks_what_is_missing(invoke, campaign):
    head, units, _, first, *_, last = invoke("results", campaign.node.pk).stdout.splitlines()
    assert head.split()[:5] == ["id", "formula", "status", "n_atoms", "energy"]
    assert units.split()[:2] == ["eV", "A^3"]
    assert first.split()[:5] == ["b", "NbW", "converged", "2", "-16"]
    assert last.split()[:5] == ["d", "W2", "left", "2", "-"]


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
