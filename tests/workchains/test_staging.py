"""The model goes to a computer once: for all campaigns, profiles and databases, until it is gone from there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.tools import delete_nodes

from aiida_pet.calculations.staging import StageModelCalculation, find_staged_model, was_staged
from aiida_pet.computers.model_store import ModelStoreError
from aiida_pet.data.model import PetModelData
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.staging import MAX_UPLOADS, StagingWorkChain, stage_model

Inputs = Callable[..., dict[str, Any]]


def uploads() -> int:
    return orm.QueryBuilder().append(StageModelCalculation).count()


def uploads_of(model: PetModelData) -> int:
    query = orm.QueryBuilder().append(PetModelData, filters={"uuid": model.uuid}, tag="model")
    return query.append(StageModelCalculation, with_incoming="model").count()


def called_by(node: Any) -> list[Any]:
    return [child.process_class for child in node.called if isinstance(child, orm.WorkChainNode)]


def file_of(copy: orm.RemoteData) -> Path:
    return Path(copy.get_remote_path(), "model.ckpt")


def damage(path: Path) -> None:
    """Change the content and not the size."""
    content = path.read_bytes()
    path.write_bytes(b"\0" * 8 + content[8:])


def test_staging_uploads_the_model_with_provenance(pet_model: Any, pet_computer: orm.Computer) -> None:
    copy = stage_model(pet_model, pet_computer)
    assert file_of(copy).read_bytes() == pet_model.get_content("rb")
    assert copy.computer.uuid == pet_computer.uuid
    assert copy.creator.process_label == "locate_model"
    assert copy.creator.inputs.model.uuid == pet_model.uuid
    upload = copy.creator.inputs.upload
    assert upload.creator.process_class is StageModelCalculation
    assert upload.creator.inputs.model.uuid == pet_model.uuid
    assert not Path(upload.get_remote_path(), "model.ckpt").exists()


def test_second_staging_finds_the_first(pet_model: Any, pet_computer: orm.Computer) -> None:
    copy = stage_model(pet_model, pet_computer)
    before = uploads()
    assert stage_model(pet_model, pet_computer).uuid == copy.uuid
    assert uploads() == before


def test_second_campaign_uploads_nothing(batch_inputs: Inputs) -> None:
    before = uploads()
    inputs = batch_inputs(2)
    campaigns = [run_get_node(BatchWorkChain, **inputs)[1] for _ in range(2)]
    assert all(node.is_finished_ok for node in campaigns)
    assert uploads() == before + 1
    assert [StagingWorkChain in called_by(node) for node in campaigns] == [True, False]
    first, second = (jobs_of(node)[0].inputs.remote_model.uuid for node in campaigns)
    assert first == second


def test_fresh_database_finds_what_another_one_staged(pet_computer: orm.Computer, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"a model of which nothing is remembered")
    card = {"name": "forgotten", "elements": ["W"], "outputs": ["energy"]}
    model = PetModelData.get_or_create(path, card)
    folder = stage_model(model, pet_computer).get_remote_path()
    delete_nodes([model.pk], dry_run=False)
    filters = {"attributes.remote_path": folder}
    assert not orm.QueryBuilder().append(orm.RemoteData, filters=filters).count()
    model = PetModelData.get_or_create(path, card)
    again = stage_model(model, pet_computer)
    assert uploads_of(model) == 0
    assert again.get_remote_path() == folder
    assert again.creator.inputs.model.uuid == model.uuid
    assert was_staged(again)


def test_jobs_that_are_cleaned_leave_the_model(batch_inputs: Inputs) -> None:
    inputs = batch_inputs(2)
    _, node = run_get_node(BatchWorkChain, **inputs)
    for job in node.called_descendants:
        if isinstance(job, orm.CalcJobNode):
            job.outputs.remote_folder._clean()
    before = uploads()
    assert find_staged_model(inputs["model"], inputs["code"].computer, by_hash=True) is not None
    run_get_node(BatchWorkChain, **inputs)
    assert uploads() == before


@pytest.mark.parametrize("with_cache", [False, True])
@pytest.mark.parametrize("damaged", ["gone", "short"])
def test_copy_that_is_no_longer_good_is_staged_again(
    pet_model: Any, pet_computer: orm.Computer, damaged: str, with_cache: bool, request: Any
) -> None:
    if with_cache:
        request.getfixturevalue("caching")
    path = file_of(stage_model(pet_model, pet_computer))
    if damaged == "gone":
        shutil.rmtree(pet_computer.get_workdir())
    else:
        path.write_bytes(b"short")
    assert find_staged_model(pet_model, pet_computer) is None
    assert file_of(stage_model(pet_model, pet_computer)) == path
    assert path.read_bytes() == pet_model.get_content("rb")


def test_copy_of_the_right_size_is_judged_by_its_hash(pet_model: Any, pet_computer: orm.Computer) -> None:
    copy = stage_model(pet_model, pet_computer)
    damage(file_of(copy))
    before = uploads()
    outputs, node = run_get_node(StagingWorkChain, model=pet_model, computer=pet_computer)
    assert node.is_finished_ok, node.exit_message
    assert outputs["remote_model"].uuid == copy.uuid
    assert uploads() == before + 1
    assert file_of(copy).read_bytes() == pet_model.get_content("rb")


def test_whole_copy_is_not_uploaded_again(pet_model: Any, pet_computer: orm.Computer) -> None:
    stage_model(pet_model, pet_computer)
    before = uploads()
    _, node = run_get_node(StagingWorkChain, model=pet_model, computer=pet_computer)
    assert node.is_finished_ok
    assert uploads() == before


def damage_uploads(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let so many uploads arrive damaged."""
    from aiida_pet.workchains import staging

    publish, left = staging.publish, [times]

    def spoil(model: Any, computer: Any, upload: str) -> Any:
        if left[0]:
            left[0] -= 1
            damage(Path(upload))
        return publish(model, computer, upload)

    monkeypatch.setattr(staging, "publish", spoil)


def test_damaged_upload_is_sent_again(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_uploads(monkeypatch, 1)
    before = uploads()
    assert file_of(stage_model(pet_model, pet_computer)).read_bytes() == pet_model.get_content("rb")
    assert uploads() == before + 2


def test_uploads_that_keep_arriving_damaged_are_an_error(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage_uploads(monkeypatch, MAX_UPLOADS)
    with pytest.raises(RuntimeError, match=f"2 uploads to `{pet_computer.label}` had a wrong SHA-256"):
        stage_model(pet_model, pet_computer)
    assert find_staged_model(pet_model, pet_computer) is None


def test_upload_that_failed_is_named(generate_workchain: Any, pet_model: Any, pet_computer: Any) -> None:
    staging = generate_workchain(StagingWorkChain, {"model": pet_model, "computer": pet_computer})
    upload = orm.CalcJobNode(computer=pet_computer)
    upload.set_process_state("excepted")
    staging.ctx.upload = upload.store()
    exit_code = staging.put_in_place()
    assert exit_code.status == 300
    assert f"process <{upload.pk}>" in exit_code.message
    assert f"`verdi computer test {pet_computer.label}`" in exit_code.message


def test_upload_that_cannot_be_put_in_place_is_used_where_it_is(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ModelStoreError("read-only file system")

    monkeypatch.setattr("aiida_pet.workchains.staging.publish", refuse)
    copy = stage_model(pet_model, pet_computer)
    assert file_of(copy).read_bytes() == pet_model.get_content("rb")
    assert was_staged(copy)
    assert find_staged_model(pet_model, pet_computer) is None


def test_computer_that_cannot_be_asked_counts_as_without_a_copy(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    stage_model(pet_model, pet_computer)

    def unreachable(*_: Any) -> Any:
        raise OSError("connection refused")

    monkeypatch.setattr(orm.AuthInfo, "get_transport", unreachable)
    assert find_staged_model(pet_model, pet_computer) is None
    assert "connection refused: staging the model anew" in caplog.text


def test_copy_on_another_computer_does_not_count(
    pet_model: Any, pet_computer: orm.Computer, tmp_path: Path
) -> None:
    other = orm.Computer("far", "localhost", "", "core.local", "core.direct", str(tmp_path / "far")).store()
    other.configure()
    stage_model(pet_model, other)
    assert find_staged_model(pet_model, pet_computer) is None


def test_node_that_somebody_else_made_of_the_folder_is_not_taken(
    pet_model: Any, pet_computer: orm.Computer
) -> None:
    staged = stage_model(pet_model, pet_computer)
    other = orm.RemoteData(remote_path=staged.get_remote_path(), computer=pet_computer).store()
    found = find_staged_model(pet_model, pet_computer)
    assert found.uuid == staged.uuid != other.uuid
    assert was_staged(found)


def test_folder_of_the_user_is_not_one_that_was_staged(pet_computer: orm.Computer) -> None:
    assert not was_staged(orm.RemoteData(remote_path="/somewhere", computer=pet_computer).store())
