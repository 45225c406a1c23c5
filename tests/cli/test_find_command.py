"""`aiida-pet find`: every option chooses rows, and the table says which launch they are of."""

import pytest

IDS = ["cli-find-a", "cli-find-b", "max_steps-cli-find"]


@pytest.fixture
def campaign(make_campaign):
    made = make_campaign(IDS)
    made.finish_job(IDS)
    made.set_results(IDS)
    made.end(made.node)
    made.node.label = "by hand"
    return made


def ids(document):
    return [row["id"] for row in document["rows"]]


def test_row_is_found_by_its_id_with_its_launch(invoke, read, campaign):
    document = read("find", "--id", IDS[0])
    assert (document["n_rows"], document["complete"]) == (1, True)
    (row,) = document["rows"]
    assert (row["campaign"], row["label"], row["model"]) == (campaign.node.pk, "by hand", "")
    assert (row["id"], row["formula"], row["energy"]) == (IDS[0], "NbW", -16.0)
    lines = invoke("find", "--id", IDS[0]).stdout.splitlines()
    assert lines[0].split()[:5] == ["campaign", "label", "model", "id", "formula"]
    assert str(campaign.node.pk) in lines[2]


def test_every_option_chooses(read, campaign):
    only = ("--campaign", campaign.node.pk)
    assert ids(read("find", *only, "--id", IDS[1], "--id", IDS[2])) == IDS[1:]
    assert ids(read("find", *only, "--formula", "WMo")) == [IDS[1]]
    assert ids(read("find", *only, "--element", "W", "--element", "Nb")) == [IDS[0]]
    assert ids(read("find", *only, "--where", "status == max_steps")) == [IDS[2]]
    assert ids(read("find", *only, "--element", "W", "--where", "status == converged")) == IDS[:2]


def test_limit_cuts_and_says_so(invoke, read, campaign):
    arguments = ("find", "--element", "W", "--campaign", campaign.node.pk)
    document = read(*arguments, "--limit", 2)
    assert (ids(document), document["complete"]) == (IDS[:2], False)
    assert read(*arguments, "--limit", 3)["complete"] is True
    assert len(read(*arguments, "--limit", 0)["rows"]) == 3


def test_table_for_people_stops_at_a_screenful_and_says_so(invoke, campaign, monkeypatch):
    monkeypatch.setattr("aiida_pet.cli.find.FIRST_ROWS", 2)
    result = invoke("find", "--element", "W", "--campaign", campaign.node.pk)
    assert len(result.stdout.splitlines()) == 2 + 2
    assert result.stderr == "these are the first 2: --limit 0 for all\n"


def test_what_is_not_there_is_told(invoke, read, campaign):
    assert invoke("find", "--id", "nobody's id").stderr == "no row of any launch fits\n"
    assert read("find", "--id", "nobody's id") == {"n_rows": 0, "complete": True, "rows": []}


def test_question_must_be_one(invoke, campaign):
    assert "say what to find" in invoke("find", status=2).output
    assert "Error: 'Zz' is no element" in invoke("find", "--element", "Zz", status=1).output
    assert "Error: cannot read 'energy = 1'" in invoke("find", "--where", "energy = 1", status=1).output
    pk = campaign.structures.pk
    assert "expected a ProcessNode" in invoke("find", "--id", "a", "--campaign", pk, status=1).output
