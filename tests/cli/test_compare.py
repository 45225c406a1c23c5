"""`aiida-pet compare`: what two sets of results have in common and where they differ."""

import pytest
from ase.build import bulk


@pytest.fixture
def pair(aiida_profile):
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.tables.crystals import StructureTable

    made = []
    for ids, energies, statuses in (
        (["a", "b", "c"], [-16.0, -17.0, -18.0], ["converged"] * 3),
        (["b", "c", "d"], [-17.5, -18.0, 0.0], ["converged", "max_steps", "converged"]),
    ):
        table = StructureTable.from_ase((name, bulk("W", a=3.17, cubic=True)) for name in ids)
        table.set_column("energy", energies, "eV")
        table.set_column("status", statuses)
        made.append(StructureSetData.from_table(table).store())
    return made


def test_json_has_counts_differences_and_rows(read, pair):
    document = read("compare", pair[0].pk, pair[1].pk)
    assert (document["first"], document["second"]) == (pair[0].pk, pair[1].pk)
    assert (document["n_common"], document["n_answered"]) == (2, 1)
    assert (document["only_first"], document["only_second"]) == (["a"], ["d"])
    assert document["statuses"] == [{"first": "converged", "second": "max_steps", "n_rows": 1}]
    (energy,) = document["columns"]
    assert (energy["column"], energy["unit"], energy["n_rows"]) == ("energy_per_atom", "eV/atom", 1)
    assert energy["mean"] == energy["median_abs"] * -1 == -0.25
    (row,) = document["rows"]
    assert (row["id"], row["formula"], row["difference"]) == ("b", "W2", -0.25)


def test_text_tells_the_same(invoke, pair):
    output = " ".join(invoke("compare", pair[0].pk, pair[1].pk).output.split())
    assert output.startswith("2 rows in both, 1 converged in both 1 row only in the first: a")
    assert "1 row only in the second: d" in output
    assert "converged max_steps 1" in output
    assert "energy_per_atom eV/atom 1 1 -0.25 0.25 0.25 0.25" in output
    assert "energy_per_atom b W2 -8.5 -8.75 -0.25" in output


def test_column_where_and_limit_choose(read, invoke, pair):
    document = read("compare", pair[0].pk, pair[1].pk, "--column", "energy", "--where", "id != b")
    assert [one["column"] for one in document["columns"]] == ["energy"]
    assert (document["n_common"], document["only_first"]) == (1, ["a"])
    assert read("compare", pair[0].pk, pair[1].pk, "--limit", 0)["rows"] == []
    output = invoke("compare", pair[0].pk, pair[1].pk, "--column", "x", status=1).output
    assert "Error: column 'x' is not in both: they share energy_per_atom" in output


def test_launch_without_results_is_told(invoke, make_campaign, pair):
    made = make_campaign(["a"])
    output = invoke("compare", made.node.pk, pair[0].pk, status=1).output
    assert f"process <{made.node.pk}> is waiting and has no results" in output


def test_two_launches_on_the_same_ids_are_told_apart_by_how_they_were_made(read, invoke, launch, alloys_file):
    structures = read("data", "import", alloys_file)["pk"]
    loose = launch(
        "relax", structures, "--protocol", "fast", "--set", "max_steps=40", "--where", "n_atoms > 2"
    )
    tight = launch("relax", structures)
    document = read("compare", loose.pk, tight.pk)
    assert (document["first"], document["second"]) == (loose.pk, tight.pk)
    assert (document["n_common"], document["n_answered"]) == (5, 5)
    assert (document["only_first"], document["only_second"]) == ([], ["alloy-0"])
    assert {name: tuple(pair.values()) for name, pair in document["settings"].items()} == {
        "parameters.dtype": ("float32", "mixed"),
        "parameters.fmax": (0.05, 0.02),
        "parameters.max_steps": (40, 500),
        "parameters.stress_max": (0.5, 0.1),
    }
    (energy,) = [one for one in document["columns"] if one["column"] == "energy_per_atom"]
    assert (energy["n_rows"], energy["n_different"]) == (5, 0)
    output = " ".join(invoke("compare", loose.pk, tight.pk).output.split())
    assert "differences in workflow, model and parameters" in output
    assert "parameters.max_steps 40 500" in output
