from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from aiida_pet.job.checkpoint import (
    MissingModelError,
    ModelError,
    NotACheckpointError,
    TruncatedModelError,
    WrongHashError,
    describe_checkpoint,
    inspect_checkpoint,
    load_checkpoint,
    sha256_of,
    verify,
)
from support.small_model import small_model

MODEL, SHA256 = small_model()


class _Bomb:
    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.flag), "w")


def bomb_bytes(flag: Path) -> bytes:
    """Something that torch loads, creating `flag`."""
    buffer = io.BytesIO()
    torch.save({"architecture_name": "pet", "payload": _Bomb(flag)}, buffer)
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def make(content: bytes) -> Path:
        path = tmp_path / "model.ckpt"
        path.write_bytes(content)
        return path

    return make


def test_load_checkpoint_returns_what_metatrain_wrote() -> None:
    checkpoint = load_checkpoint(MODEL, SHA256)
    assert checkpoint["architecture_name"] == "pet"
    assert checkpoint["model_data"]["dataset_info"].atomic_types == [41, 42, 73, 74]


def test_load_checkpoint_takes_a_hash_in_capitals() -> None:
    assert load_checkpoint(MODEL, SHA256.upper())["architecture_name"] == "pet"


def test_inspect_checkpoint_describes_the_model() -> None:
    card = inspect_checkpoint(MODEL, SHA256)
    assert card["sha256"] == SHA256
    assert card["outputs"] == ["energy", "non_conservative_force", "non_conservative_stress"]
    assert card["cutoff"] == 4.5
    assert card["dtype"] == "float32"


def test_inspect_checkpoint_counts_the_parameters_that_metatrain_trains() -> None:
    from metatrain.utils.io import model_from_checkpoint

    checkpoint = load_checkpoint(MODEL, SHA256)
    counted = describe_checkpoint(checkpoint)["n_parameters"]
    model = model_from_checkpoint(checkpoint, context="export")
    assert counted == sum(parameter.numel() for parameter in model.parameters())


def test_describe_checkpoint_sees_through_an_uncertainty_model() -> None:
    inner = load_checkpoint(MODEL, SHA256)
    outer = {
        "architecture_name": "llpr",
        "metadata": None,
        "model_data": {"hypers": {"num_ensemble_members": {"energy": 8}}},
        "wrapped_model_checkpoint": inner,
    }
    card = describe_checkpoint(outer)
    assert card["elements"] == [41, 42, 73, 74]
    assert {"energy_uncertainty", "energy_ensemble"} <= set(card["outputs"])


def test_describe_checkpoint_refuses_another_architecture() -> None:
    checkpoint = load_checkpoint(MODEL, SHA256) | {"architecture_name": "soap_bpnn"}
    with pytest.raises(NotACheckpointError, match="'soap_bpnn'"):
        describe_checkpoint(checkpoint)


def test_sha256_of_reads_a_file_larger_than_one_piece(write: Callable[[bytes], Path]) -> None:
    path = write(bytes(3 << 20))  # `head -c 3145728 /dev/zero | sha256sum`
    assert sha256_of(path) == "bbd05cf6097ac9b1f89ea29d2542c1b7b67ee46848393895f5a9e43fa1f621e5"


def test_missing_file_is_named(tmp_path: Path) -> None:
    for call in (sha256_of, lambda path: verify(path, SHA256)):
        with pytest.raises(MissingModelError, match=r"gone\.ckpt: No such file"):
            call(tmp_path / "gone.ckpt")


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file_is_refused_whatever_hash_is_expected(
    write: Callable[[bytes], Path], kept: float
) -> None:
    whole = MODEL.read_bytes()
    path = write(whole[: int(kept * len(whole))])
    with pytest.raises(
        TruncatedModelError, match=rf"cut short: expected sha256 {SHA256}, found {sha256_of(path)}"
    ):
        load_checkpoint(path, SHA256)
    # As imported by somebody who trusted it: its own hash is right, the file is still no model.
    with pytest.raises(TruncatedModelError, match="cut short"):
        load_checkpoint(path, sha256_of(path))


def test_wrong_hash_is_refused_with_both_hashes(write: Callable[[bytes], Path]) -> None:
    content = bytearray(MODEL.read_bytes())
    content[len(content) // 2] ^= 1
    path = write(bytes(content))
    with pytest.raises(
        WrongHashError, match=rf"model\.ckpt.*expected sha256 {SHA256}, found {sha256_of(path)}"
    ):
        load_checkpoint(path, SHA256)


def test_empty_hash_is_refused() -> None:
    with pytest.raises(WrongHashError, match="none given"):
        load_checkpoint(MODEL, "")


def test_pickle_bomb_is_refused_and_nothing_executed(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    path = write(bomb_bytes(flag))
    for call in (verify, load_checkpoint, inspect_checkpoint):
        with pytest.raises(WrongHashError):
            call(path, SHA256)
    assert not flag.exists()
    # The control: this is a bomb, and torch would have set it off.
    torch.load(path, weights_only=False)
    assert flag.exists()


def test_file_exchanged_after_it_was_hashed_is_not_opened(
    write: Callable[[bytes], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "flag"
    path = write(MODEL.read_bytes())
    load = torch.load

    def exchange_and_load(source: Any, **options: Any) -> Any:
        path.write_bytes(bomb_bytes(flag))
        return load(source, **options)

    monkeypatch.setattr(torch, "load", exchange_and_load)
    assert load_checkpoint(path, SHA256)["architecture_name"] == "pet"
    assert sha256_of(path) != SHA256
    assert not flag.exists()


def test_plain_pickle_is_refused_and_nothing_executed(write: Callable[[bytes], Path], tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    path = write(pickle.dumps(_Bomb(flag)))
    with pytest.raises(NotACheckpointError, match="expected a zip archive"):
        load_checkpoint(path, sha256_of(path))
    assert not flag.exists()


def test_archive_of_something_else_is_refused(write: Callable[[bytes], Path]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    path = write(buffer.getvalue())
    with pytest.raises(NotACheckpointError, match="not one written by torch"):
        load_checkpoint(path, sha256_of(path))


def test_exported_model_is_refused_with_what_is_needed(
    write: Callable[[bytes], Path], tmp_path: Path
) -> None:
    exported = tmp_path / "exported.pt"
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(exported))
    with pytest.raises(
        NotACheckpointError, match=r"exported TorchScript model; a checkpoint \(\.ckpt\) is needed"
    ):
        load_checkpoint(exported, sha256_of(exported))


@pytest.mark.parametrize(
    ("content", "found"), [([1, 2], "holds a list"), ({"epoch": 1}, "lacks architecture_name")]
)
def test_tensors_of_something_else_are_refused(tmp_path: Path, content: Any, found: str) -> None:
    path = tmp_path / "other.ckpt"
    torch.save(content, path)
    with pytest.raises(NotACheckpointError, match=found):
        load_checkpoint(path, sha256_of(path))


def test_checkpoint_of_another_metatrain_says_so(write: Callable[[bytes], Path]) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"cmetatrain.no_such_module\nThing\n.")
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    path = write(buffer.getvalue())
    with pytest.raises(ModelError, match="another version of metatrain"):
        load_checkpoint(path, sha256_of(path))
