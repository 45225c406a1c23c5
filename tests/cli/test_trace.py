"""`aiida-pet trace`: from a row back to its file."""

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.data.table import TableData


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


@pytest.fixture
def training(own_model, make_structures):
    """A training that made a model of crystals, with a table of what each crystal was used for."""
    structures, launch, job = make_structures(["a", "b"]).store(), orm.WorkChainNode(), orm.CalcJobNode()
    launch.set_process_label("TrainWorkChain")
    launch.store()
    job.set_process_label("TrainCalculation")
    job.base.links.add_incoming(launch, LinkType.CALL_CALC, "job")
    for name, value in {"stage": orm.Str("direct"), "parameters": orm.Dict({"epochs": 3})}.items():
        job.base.links.add_incoming(value.store(), LinkType.INPUT_CALC, name)
    job.base.links.add_incoming(structures, LinkType.INPUT_CALC, "structures")
    job.store()
    for name, ids in (("rows", ["a", "b"]), ("errors", ["test", "test W"])):
        table = TableData.from_ids(ids)
        table.base.links.add_incoming(job, LinkType.CREATE, name)
        table.store()
        table.base.links.add_incoming(launch, LinkType.RETURN, name)
    own_model.base.links.add_incoming(job, LinkType.CREATE, "model")
    own_model.base.links.add_incoming(launch, LinkType.RETURN, "model")
    return launch


def test_trace_of_a_model_tells_the_training_that_made_it_and_its_data(invoke, read, training):
    job, model = training.called[0], training.outputs.model
    steps = read("trace", model.pk)["steps"]
    told = [(step["role"], step["pk"]) for step in steps]
    assert told == [
        ("result", model.pk),
        ("training job", job.pk),
        ("training options", job.inputs.parameters.pk),
        ("training set", job.inputs.structures.pk),
    ]
    output = invoke("trace", model.pk).output
    assert f"the direct stage of launch <{training.pk}> made it" in output
    assert "epochs=3" in output


def test_trace_of_an_imported_model_says_that_no_training_made_it(invoke, read, own_model):
    assert "no training of this profile made it" in invoke("trace", own_model.pk).output
    assert len(read("trace", own_model.pk)["steps"]) == 1


def test_trace_of_a_training_names_the_rows_of_its_data_and_follows_them(invoke, read, training):
    output = " ".join(invoke("trace", training.pk, status=2).output.split())
    assert f"<{training.pk}> has 2 rows: name one by its id (a, b, ...)" in output
    assert f"`aiida-pet trace {training.outputs.model.pk}` shows the origin of its model" in output
    assert read("trace", training.pk, "b")["steps"][0]["pk"] == training.outputs.rows.pk
    assert "no row 'test' among the 2" in invoke("trace", training.pk, "test", status=1).output
