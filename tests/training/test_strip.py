"""What is left of a checkpoint of a training: the best epoch, and nothing of the machine that trained."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

pytest.importorskip("torch", reason="needs the extra `engine`")

import torch

from aiida_pet.engine.model.ase_calculator import pet_calculator
from aiida_pet.job.checkpoint import NotACheckpointError, load_checkpoint, sha256_of
from aiida_pet.testing.models import tiny_pet
from aiida_pet.training.strip import KEPT, stripped

ABOUT = {"name": "small", "extra": {"licence": "MIT"}}


@pytest.fixture(scope="module")
def trained() -> dict[str, Any]:
    """A checkpoint as training leaves it: the last epoch beside the best, optimiser state, options, local paths."""
    checkpoint = tiny_pet().get_checkpoint()
    best = checkpoint["best_model_state_dict"] or checkpoint["model_state_dict"]
    last = {
        name: value + 1 if hasattr(value, "is_floating_point") and value.is_floating_point() else value
        for name, value in best.items()
    }
    last["finetune_config"] = {"method": "full", "read_from": "/home/somebody/pretrain.ckpt"}
    return checkpoint | {
        "model_state_dict": last,
        "best_model_state_dict": best,
        "epoch": 19,
        "best_epoch": 17,
        "trainer_ckpt_version": 15,
        "train_hypers": {"finetune": {"read_from": "/home/somebody/pretrain.ckpt"}},
        "optimizer_state_dict": {"state": {0: torch.zeros(100_000)}},
    }


def written(checkpoint: dict[str, Any], path: Path) -> Path:
    torch.save(checkpoint, path)
    return path


def energy_and_forces(path: Path, **options: Any) -> tuple[float, np.ndarray]:
    atoms = bulk("W", "bcc", a=3.2, cubic=True)
    atoms.numbers[1] = 73
    atoms.rattle(0.05, seed=1)
    atoms.calc = pet_calculator(path, sha256_of(path), device="cpu", **options)
    return atoms.get_potential_energy(), atoms.get_forces()


def test_numbers_are_those_of_the_best_epoch(trained: dict[str, Any], tmp_path: Path) -> None:
    before = written(trained, tmp_path / "trained.ckpt")
    after = written(stripped(trained, ABOUT), tmp_path / "small.ckpt")
    for options in ({}, {"forces": "direct", "stress": "direct"}):
        expected, found = energy_and_forces(before, **options), energy_and_forces(after, **options)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])


def test_no_training_state_and_no_path_is_left(trained: dict[str, Any], tmp_path: Path) -> None:
    target = written(stripped(trained, ABOUT), tmp_path / "small.ckpt")
    checkpoint = load_checkpoint(target, sha256_of(target))
    assert tuple(checkpoint) == KEPT
    assert "finetune_config" not in checkpoint["model_state_dict"]
    assert checkpoint["epoch"] == checkpoint["best_epoch"] == 17
    assert b"somebody" not in target.read_bytes()
    assert checkpoint["metadata"].name == "small"


def test_the_same_checkpoint_gives_the_same_bytes(trained: dict[str, Any]) -> None:
    contents = []
    for _ in range(2):
        buffer = io.BytesIO()
        torch.save(stripped(trained, ABOUT), buffer)
        contents.append(buffer.getvalue())
    assert contents[0] == contents[1]


def test_another_architecture_is_refused(trained: dict[str, Any]) -> None:
    with pytest.raises(NotACheckpointError, match="'soap_bpnn'"):
        stripped(trained | {"architecture_name": "soap_bpnn"}, ABOUT)
