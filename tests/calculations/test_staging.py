"""The model goes to a computer once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from aiida import orm

from aiida_pet.calculations.staging import (
    StageModelCalculation,
    find_staged_model,
    mark_bad_copy,
    stage_model,
)


def uploads() -> int:
    return orm.QueryBuilder().append(StageModelCalculation).count()


def test_staging_uploads_the_model_with_provenance(pet_model: Any, pet_computer: orm.Computer) -> None:
    copy = stage_model(pet_model, pet_computer)
    assert Path(copy.get_remote_path(), "model.ckpt").read_bytes() == pet_model.get_content("rb")
    assert copy.computer.uuid == pet_computer.uuid
    assert copy.creator.inputs.model.uuid == pet_model.uuid


def test_second_staging_finds_the_first(pet_model: Any, pet_computer: orm.Computer) -> None:
    copy = stage_model(pet_model, pet_computer)
    before = uploads()
    assert stage_model(pet_model, pet_computer).uuid == copy.uuid
    assert uploads() == before


@pytest.mark.parametrize("damage", ["gone", "short", "marked"])
def test_copy_that_is_no_longer_good_is_staged_again(
    pet_model: Any, pet_computer: orm.Computer, damage: str
) -> None:
    copy = stage_model(pet_model, pet_computer)
    folder = Path(copy.get_remote_path())
    if damage == "gone":
        shutil.rmtree(folder)
    elif damage == "short":
        (folder / "model.ckpt").write_bytes(b"short")
    else:
        mark_bad_copy(copy, "BAD_MODEL")
    assert find_staged_model(pet_model, pet_computer) is None
    again = stage_model(pet_model, pet_computer)
    assert again.uuid != copy.uuid
    assert Path(again.get_remote_path(), "model.ckpt").stat().st_size == len(pet_model.get_content("rb"))


def test_copy_that_is_gone_is_staged_again_with_caching_on(
    pet_model: Any, pet_computer: orm.Computer, caching: None
) -> None:
    copy = stage_model(pet_model, pet_computer)
    shutil.rmtree(copy.get_remote_path())
    assert Path(stage_model(pet_model, pet_computer).get_remote_path(), "model.ckpt").exists()


def test_computer_that_cannot_be_asked_counts_as_without_a_copy(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    stage_model(pet_model, pet_computer)

    def unreachable(*_: Any) -> Any:
        raise OSError("connection refused")

    monkeypatch.setattr(orm.AuthInfo, "get_transport", unreachable)
    assert find_staged_model(pet_model, pet_computer) is None
    assert "(connection refused): staging the model anew" in caplog.text


def test_copy_on_another_computer_does_not_count(
    pet_model: Any, pet_computer: orm.Computer, tmp_path: Path
) -> None:
    other = orm.Computer("far", "localhost", "", "core.local", "core.direct", str(tmp_path / "far")).store()
    other.configure()
    stage_model(pet_model, other)
    assert find_staged_model(pet_model, pet_computer) is None
