"""`aiida-pet model`; fetching from a hub is tested with the registry, here that the command line passes it on."""

import pytest

from aiida_pet.data.model import PetModelData
from aiida_pet.models.cards import embedded_card, embedded_path
from aiida_pet.models.registry import list_models


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "mine.ckpt"
    path.write_bytes(b"nobody knows this")
    return path


@pytest.fixture
def card(monkeypatch):
    """Describe any checkpoint that is trusted, without opening it."""
    calls = []

    def card_of(path, trust=False):
        calls.append((path, trust))
        return {"name": "mine", "version": "2", "elements": [74], "outputs": ["energy"]}

    monkeypatch.setattr("aiida_pet.models.cards.card_of", card_of)
    return calls


def test_list_shows_nodes_and_published_models(invoke, read, pet_model):
    output = invoke("model", "list").output
    assert any(line.split()[:2] == ["stand-in", str(pet_model.pk)] for line in output.splitlines())
    assert "pet-oam-xl" in output
    document = read("model", "list")
    assert {entry["name"] for entry in document["registry"]} == {entry.name for entry in list_models()}
    assert pet_model.pk in {node["pk"] for node in document["nodes"]}


def test_import_of_the_embedded_model_needs_no_trust(read):
    document = read("model", "import", embedded_path())
    assert document["sha256"] == embedded_card()["sha256"]
    assert read("model", "import", embedded_path())["pk"] == document["pk"]
    assert not read("model", "import", embedded_path())["created"]


def test_import_of_an_unknown_checkpoint_is_refused(invoke, checkpoint):
    output = invoke("model", "import", checkpoint, status=1).output
    assert output.startswith(f"Error: the model {checkpoint}")
    assert "--trust" in output


def test_trust_takes_an_unknown_checkpoint(invoke, read, checkpoint, card):
    output = invoke("model", "import", checkpoint, "--trust").output
    assert card == [(checkpoint, True)]
    node = PetModelData.find(read("model", "show", "mine")["sha256"])
    assert output == f"imported mine 2 <{node.pk}>\n"
    assert (
        invoke("model", "import", checkpoint, "--trust").output == f"is there already: mine 2 <{node.pk}>\n"
    )


def test_a_checkpoint_that_is_none_is_refused_even_if_trusted(invoke, checkpoint):
    pytest.importorskip("torch")
    output = invoke("model", "import", checkpoint, "--trust", status=1).output
    assert str(checkpoint) in output


@pytest.mark.parametrize(("arguments", "version"), [([], None), (["--version", "1.0.0"], "1.0.0")])
def test_import_by_name_fetches_that_version(invoke, checkpoint, card, monkeypatch, *, arguments, version):
    fetched = []

    def fetch(name, wanted=None):
        fetched.append((name, wanted))
        return checkpoint

    monkeypatch.setattr("aiida_pet.models.hub.fetch", fetch)
    invoke("model", "import", "pet-oam-xl", *arguments)
    assert fetched == [("pet-oam-xl", version)]
    assert card == [(checkpoint, False)]


def test_import_of_an_unknown_name_names_the_nearest(invoke):
    assert "pet-oam-xl" in invoke("model", "import", "pet-oam-xxl", status=1).output


@pytest.mark.parametrize("source", ["missing.ckpt", "folder/missing"])
def test_import_of_a_file_that_is_not_there_names_it(invoke, source):
    assert invoke("model", "import", source, status=1).output == f"Error: there is no file {source}\n"


def test_version_of_a_file_is_refused(invoke, checkpoint):
    assert (
        "--version is for published models"
        in invoke("model", "import", checkpoint, "--version", "1", status=2).output
    )


def test_show_finds_a_model_by_pk_name_and_hash(read, pet_model):
    for which in (pet_model.pk, "stand-in", pet_model.sha256, pet_model.uuid):
        assert read("model", "show", which)["pk"] == pet_model.pk


def test_show_of_a_published_model_says_how_to_bring_it(invoke, read):
    document = read("model", "show", "pet-oam-xl")
    assert (document["pk"], document["licence"]) == (None, "BSD-3-Clause")
    assert "`aiida-pet model import pet-oam-xl` imports it" in invoke("model", "show", "pet-oam-xl").stderr


def test_show_of_another_node_says_what_it_is(invoke, make_structures):
    structures = make_structures(1)
    assert "is a StructureSetData, not a model" in invoke("model", "show", structures.pk, status=1).output
