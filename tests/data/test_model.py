from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.exceptions import ValidationError

CARD = {
    "name": "pet-test",
    "version": "1.2.0",
    "elements": ["W", "Mo", 41],
    "cutoff": 4.5,
    "outputs": ["energy", "non_conservative_force"],
    "dtype": "float32",
    "n_parameters": 1234,
    "level_of_theory": "PBE",
    "licence": "MIT",
    "errors": {"not": "an attribute"},
}


@pytest.fixture
def make(aiida_profile_clean: Any) -> Any:
    from aiida_pet.data.model import PetModelData

    return PetModelData


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "whatever-name.ckpt"
    path.write_bytes(b"weights" * 1000)
    return path


def test_card_becomes_attributes(make: Any, checkpoint: Path) -> None:
    node = orm.load_node(make.get_or_create(checkpoint, CARD).pk)
    attributes = node.base.attributes.all
    assert attributes["sha256"] == node.sha256 == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert node.elements == [41, 42, 74]
    assert node.outputs == ["energy", "non_conservative_force"]
    assert (node.name, node.version) == ("pet-test", "1.2.0")
    assert {
        key: attributes[key] for key in ("cutoff", "dtype", "n_parameters", "level_of_theory", "licence")
    } == {
        "cutoff": 4.5,
        "dtype": "float32",
        "n_parameters": 1234,
        "level_of_theory": "PBE",
        "licence": "MIT",
    }
    assert "errors" not in attributes
    assert node.label == "pet-test"
    assert node.base.repository.list_object_names() == ["model.ckpt"]
    assert node.content == checkpoint.read_bytes()


def test_equal_content_is_one_node(make: Any, checkpoint: Path, tmp_path: Path) -> None:
    first = make.get_or_create(checkpoint, CARD)
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(checkpoint.read_bytes())
    assert make.get_or_create(copy, CARD | {"name": "another name"}).uuid == first.uuid
    assert make.find(first.sha256).uuid == first.uuid
    copy.write_bytes(b"other weights")
    other = make.get_or_create(copy, CARD)
    assert other.uuid != first.uuid
    assert orm.QueryBuilder().append(make).count() == 2


def test_hash_depends_on_content_alone(make: Any, checkpoint: Path, tmp_path: Path) -> None:
    first = make.from_card(checkpoint, CARD).store()
    renamed = make.from_card(checkpoint, CARD | {"name": "x", "version": None}).store()
    assert renamed.base.caching.get_hash() == first.base.caching.get_hash()
    checkpoint.write_bytes(b"other")
    assert make.from_card(checkpoint, CARD).store().base.caching.get_hash() != first.base.caching.get_hash()


def test_what_a_card_does_not_know_is_none(make: Any, checkpoint: Path) -> None:
    card = {"name": "x", "elements": [1], "outputs": ["energy"]}
    node = make.get_or_create(checkpoint, card)
    assert node.version is None
    assert node.base.attributes.get("cutoff") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": None}, "lacks elements"),
        ({"outputs": None, "name": None}, "lacks name, outputs"),
        ({"sha256": "0" * 64}, "its card belongs to the file with 0000"),
        ({"elements": ["Xx"]}, "got 'Xx'"),
        ({"elements": [0]}, "got 0"),
    ],
)
def test_card_that_does_not_fit_is_refused(
    make: Any, checkpoint: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make.get_or_create(checkpoint, CARD | change)
    assert orm.QueryBuilder().append(make).count() == 0


def test_content_must_have_the_hash_at_store(make: Any, checkpoint: Path) -> None:
    node = make.from_card(checkpoint, CARD)
    node.base.attributes.set("sha256", "0" * 64)
    with pytest.raises(ValidationError, match="sha256 is 0000"):
        node.store()


def test_file_name_is_fixed(make: Any, checkpoint: Path) -> None:
    node = make.from_card(checkpoint, CARD)
    node.set_file(checkpoint)
    with pytest.raises(ValidationError, match=r"must be stored as model\.ckpt, got 'whatever-name\.ckpt'"):
        node.store()


def test_model_without_card_is_refused_at_store(make: Any, checkpoint: Path) -> None:
    with pytest.raises(ValidationError, match="needs sha256, name, elements, outputs"):
        make(file=checkpoint, filename="model.ckpt").store()


def test_from_file_of_unknown_hash_is_refused_unopened(make: Any, tmp_path: Path) -> None:
    from aiida_pet.models import UntrustedModelError

    touched = tmp_path / "touched"
    bomb = tmp_path / "bomb.ckpt"
    # a pickle that would make a file when opened
    bomb.write_bytes(b"cbuiltins\nopen\n(V" + str(touched).encode() + b"\nVw\ntR.")
    with pytest.raises(UntrustedModelError, match="--trust"):
        make.from_file(bomb)
    assert not touched.exists()
    assert orm.QueryBuilder().append(make).count() == 0


def test_from_file_of_unknown_hash_is_refused_even_if_a_node_has_it(make: Any, checkpoint: Path) -> None:
    from aiida_pet.models import UntrustedModelError

    make.get_or_create(checkpoint, CARD)
    with pytest.raises(UntrustedModelError):
        make.from_file(checkpoint)


def test_from_file_with_trust_takes_what_the_checkpoint_says(
    make: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def card_of(path: Path, trust: bool) -> dict[str, Any]:
        asked.append((path, trust))
        return CARD

    monkeypatch.setattr("aiida_pet.models.card_of", card_of)
    node = make.from_file(str(checkpoint), trust=True)
    assert node.is_stored
    assert node.name == "pet-test"
    assert make.from_file(checkpoint, trust=True).uuid == node.uuid
    assert asked == [(checkpoint, True)] * 2


def test_embedded_model_needs_no_trust(make: Any) -> None:
    from aiida_pet import models

    path = models.embedded_path()
    if not path.is_file():
        pytest.skip(f"the model that ships is not there yet: {path}")
    node = make.from_file(path)
    assert node.sha256 == models.embedded_card()["sha256"]
    assert node.elements == models.embedded_card()["elements"]


def test_training_stands_for_the_model_that_it_made(make: Any, checkpoint: Path) -> None:
    from aiida.common.links import LinkType

    from aiida_pet.data.model_nodes import ModelNotFoundError, model_to_use

    model = make.get_or_create(checkpoint, CARD)
    training, without = (orm.WorkflowNode(label=label).store() for label in ("my training", "early"))
    model.base.links.add_incoming(training, LinkType.RETURN, "model")
    for which in (str(training.pk), training.uuid, "my training"):
        assert model_to_use(which).pk == model.pk
    without.set_process_label("TrainWorkChain")
    with pytest.raises(
        ModelNotFoundError, match=rf"process {without.pk} is a TrainWorkChain that made no model"
    ):
        model_to_use(str(without.pk))
    with pytest.raises(ModelNotFoundError, match="there is no model 'early'"):
        model_to_use("early")


def test_model_of_a_training_tells_the_launch_and_the_stage_that_made_it(
    make: Any, checkpoint: Path, tmp_path: Path
) -> None:
    from aiida.common.links import LinkType

    from aiida_pet.data.model_nodes import made_by

    assert made_by(make.get_or_create(checkpoint, CARD)) is None
    launch, job = orm.WorkflowNode().store(), orm.CalcJobNode()
    job.base.links.add_incoming(launch, LinkType.CALL_CALC, "lane")
    job.base.links.add_incoming(orm.Str("direct").store(), LinkType.INPUT_CALC, "stage")
    job.store()
    other = tmp_path / "other.ckpt"
    other.write_bytes(b"other weights")
    model = make.get_or_create(other, CARD)
    model.base.links.add_incoming(job, LinkType.CREATE, "model")
    assert made_by(model) == {"launch": launch.pk, "stage": "direct"}
