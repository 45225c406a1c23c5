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
    assert lines[0].split()[:5] == ["id", "campaign", "label", "model", "formula"]
    assert str(campaign.node.pk) in lines[3].split()


def test_columns_are_those_that_are_asked_for(invoke, read, campaign):
    only = ("find", "--id", IDS[0], "--campaign", campaign.node.pk)
    (row,) = read(*only, "--columns", "volume,n_steps")["rows"]
    assert set(row) == {"campaign", "label", "model", "id", "volume", "n_steps"}
    assert "did you mean volume?" in invoke(*only, "--columns", "volum", status=1).output


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
    assert result.stdout.splitlines()[-3:] == ["----------  -------", "cli-find-a  NbW", "cli-find-b  MoW"]
    assert result.stderr == "these are the first 2; --limit 0 shows all\n"


def test_what_is_not_there_is_told(invoke, read, campaign):
    assert invoke("find", "--id", "nobody's id").stderr == "no row of any launch fulfils all options\n"
    assert read("find", "--id", "nobody's id") == {"n_rows": 0, "complete": True, "rows": []}


def test_question_must_be_one(invoke, campaign):
    assert "say what to find" in invoke("find", status=2).output
    assert "Error: 'Zz' is no element" in invoke("find", "--element", "Zz", status=1).output
    assert "Error: cannot read 'energy = 1'" in invoke("find", "--where", "energy = 1", status=1).output
    pk = campaign.structures.pk
    assert "expected a ProcessNode" in invoke("find", "--id", "a", "--campaign", pk, status=1).output


def test_hull_and_modulus_are_asked_for_together(invoke, read, make_campaign):
    from aiida.common import LinkType

    from aiida_pet.data.structures import StructureSetData

    # both bounds are strict; what was never on the hull or has no modulus is not found
    rows = {
        "fits": (0.01, 120.0),
        "on-the-bound": (0.02, 120.0),
        "off-the-hull": (0.3, 200.0),
        "soft": (0.0, 100.0),
        "no-hull": (float("nan"), 200.0),
        "no-modulus": (0.0, float("nan")),
        "fits-too": (0.0, 100.5),
    }
    made = make_campaign(list(rows))
    table = made.structures.to_table()
    table.set_column("stage", ["done"] * len(rows))
    table.set_column("e_above_hull", [hull for hull, _ in rows.values()], "eV/atom")
    table.set_column("shear_modulus", [modulus for _, modulus in rows.values()], "GPa")
    results = StructureSetData.from_table(table).store()
    results.base.links.add_incoming(made.node, LinkType.RETURN, "results")
    made.end(made.node)
    asked = ("find", "--where", "e_above_hull<0.02 and shear_modulus>100", "--campaign", made.node.pk)
    document = read(*asked)
    assert ids(document) == ["fits", "fits-too"]
    assert [row["shear_modulus"] for row in document["rows"]] == [120.0, 100.5]
    assert {"e_above_hull", "shear_modulus"} <= set(invoke(*asked).stdout.split())


def test_launches_of_unlike_kinds_are_told_together(invoke, read, campaign, make_campaign):
    from aiida.common import LinkType

    from aiida_pet.data.structures import StructureSetData

    # neither has the texts and numbers of the other
    screen = make_campaign(["cli-find-screened"])
    table = screen.structures.to_table()
    table.set_column("stage", ["phonons"])
    results = StructureSetData.from_table(table).store()
    results.base.links.add_incoming(screen.node, LinkType.RETURN, "results")
    screen.end(screen.node)
    asked = ("find", "--id", IDS[0], "--id", "cli-find-screened")
    asked += ("--campaign", campaign.node.pk, "--campaign", screen.node.pk)
    screened, relaxed = read(*asked)["rows"]
    assert (screened["id"], screened["stage"], screened["status"]) == ("cli-find-screened", "phonons", None)
    assert screened["energy"] is None
    assert (relaxed["id"], relaxed["stage"], relaxed["status"]) == (IDS[0], None, "converged")
    assert relaxed["energy"] == -16.0
    assert "nan" not in invoke(*asked).stdout.lower()
