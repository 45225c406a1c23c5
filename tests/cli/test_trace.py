"""`aiida-pet trace`: from a row back to its file."""

import pytest
from aiida import orm


@pytest.fixture
def node(launch, alloys_file):
    return launch("relax", alloys_file)


def test_trace_leads_from_row_through_jobs_to_the_file(invoke, read, node, alloys_file, tmp_path):
    document = read("trace", node.pk, "alloy-3")
    steps = {step["role"]: step for step in document["steps"]}
    job = orm.load_node(steps["job"]["pk"])
    assert job in node.called_descendants
    assert "alloy-3" in job.outputs.results.ids.tolist()
    assert steps["result"]["row"]["energy"] == pytest.approx(-64.0)
    assert steps["model"]["uuid"] == node.inputs.model.uuid
    assert steps["code"]["uuid"] == node.inputs.code.uuid
    assert steps["input"]["pk"] == node.inputs.structures.pk
    assert steps["input"]["row"]["series"] == "odd"
    assert steps["input"]["imported_from"][-1]["path"] == str(alloys_file)  # others imported the same
    output = invoke("trace", node.pk, "alloy-3").output
    assert f"imported from {alloys_file} (sha256 " in output
    assert "status converged, " in output
    assert "energy -64 eV" in output
    assert str(tmp_path / "pet-engine") in output


def test_trace_of_a_set_names_the_file_that_is_called_like_the_row(invoke, read, alloys_file, tmp_path):
    pk = read("data", "import", alloys_file)["pk"]
    invoke("data", "export", pk, "-o", tmp_path / "cifs", "--format", "cif")
    files = sorted((tmp_path / "cifs").iterdir())
    many = read("data", "import", *files)["pk"]
    assert (
        f"imported from {tmp_path / 'cifs' / 'alloy-2.cif'} (sha256"
        in invoke("trace", many, "alloy-2").output
    )


def test_trace_of_a_row_that_is_not_there_names_it(invoke, make_structures):
    structures = make_structures(2)
    output = invoke("trace", structures.pk, "nobody", status=1).output
    assert output.startswith("Error: no row 'nobody' among the 2")


def test_trace_of_another_node_says_what_it_is(invoke, pet_model):
    assert "is a PetModelData, expected" in invoke("trace", pet_model.pk, "x", status=1).output
