from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aiida_pet import models
from aiida_pet.models import UntrustedModelError, card_of, embedded_card, embedded_path, identify, sha256_of
from aiida_pet.models.cards import CARD_KEYS


def test_embedded_card_has_the_hash_of_the_embedded_file() -> None:
    assert embedded_card()["sha256"] == sha256_of(embedded_path())


def test_embedded_card_agrees_with_what_the_checkpoint_says_of_itself() -> None:
    card = embedded_card()
    found = models.inspect_checkpoint(embedded_path(), card["sha256"])
    assert {key: card[key] for key in CARD_KEYS} == found


def test_embedded_model_knows_four_metals_and_has_all_heads() -> None:
    card = embedded_card()
    assert card["name"] == models.EMBEDDED_NAME
    assert {41, 42, 73, 74} <= set(card["elements"])
    assert {"energy", "non_conservative_force", "non_conservative_stress"} <= set(card["outputs"])


def test_embedded_model_is_under_10_megabytes() -> None:
    assert embedded_path().stat().st_size < 10e6


def test_identify_knows_the_embedded_model_under_any_name(model_copy: Path) -> None:
    card = identify(model_copy)
    assert card is not None
    assert card["name"] == models.EMBEDDED_NAME


def test_identify_knows_a_published_model_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = models.get_entry("pet-oam-xl")
    path = tmp_path / "whatever.ckpt"
    path.write_bytes(b"stands for 3 GB")
    monkeypatch.setattr("aiida_pet.models.cards.sha256_of", lambda path: entry.sha256["1.0.0"])
    card = identify(path)
    assert card is not None
    assert (card["name"], card["version"], card["licence"]) == ("pet-oam-xl", "1.0.0", "BSD-3-Clause")
    assert card["cutoff"] is None


def test_level_of_theory_is_that_of_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pet-mad-s 1.0.2 is PBEsol, the versions after it are r2SCAN."""
    entry = models.get_entry("pet-mad-s")
    hashes = {version: str(number) * 64 for number, version in enumerate(entry.versions)}
    known = dataclasses.replace(entry, sha256=hashes)
    monkeypatch.setattr("aiida_pet.models.cards.list_models", lambda: [known])
    path = tmp_path / "whatever.ckpt"
    path.write_bytes(b"stands for 100 MB")
    found = {}
    for version, sha256 in hashes.items():
        monkeypatch.setattr("aiida_pet.models.cards.sha256_of", lambda path, sha256=sha256: sha256)
        card = identify(path)
        assert card is not None
        found[version] = card["level_of_theory"]
    assert found == {version: "PBEsol" if version == "1.0.2" else "r2SCAN" for version in entry.versions}


def test_identify_returns_none_for_an_unknown_file(tmp_path: Path) -> None:
    path = tmp_path / "unknown.ckpt"
    path.write_bytes(b"something")
    assert identify(path) is None


def test_card_of_the_embedded_model_needs_no_trust(model_copy: Path) -> None:
    assert card_of(model_copy) == embedded_card()


def test_card_of_an_unknown_file_is_refused_and_nothing_executed(
    bomb: Callable[[Path], Path], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    path = bomb(flag)
    with pytest.raises(UntrustedModelError, match=r"bomb\.ckpt .*sha256 [0-9a-f]{64}.*--trust"):
        card_of(path)
    assert not flag.exists()


def test_card_of_a_trusted_file_comes_from_the_checkpoint(model_copy: Path, tmp_path: Path) -> None:
    import torch

    checkpoint = torch.load(model_copy, weights_only=False)
    checkpoint["note"] = "another hash"
    other = tmp_path / "pet-omat-s-v1.0.0.ckpt"
    torch.save(checkpoint, other)
    card = card_of(other, trust=True)
    assert card["sha256"] == sha256_of(other)
    assert card["elements"] == embedded_card()["elements"]
    # Its name says that it is a published model, whose registry entry fills in the rest.
    assert (card["name"], card["version"], card["licence"]) == ("pet-omat-s", "1.0.0", "BSD-3-Clause")
    assert all(card[key] is not None for key in CARD_KEYS)


def test_models_work_without_torch_and_say_what_to_install() -> None:
    code = """
import sys
for name in ("torch", "metatomic", "upet", "aiida"):
    sys.modules[name] = None
from aiida_pet import models
assert models.card_of(models.embedded_path()) == models.embedded_card()
assert len(models.list_models()) > 10
try:
    models.inspect_checkpoint(models.embedded_path(), models.embedded_card()["sha256"])
except models.ModelError as error:
    assert "aiida-pet[engine]" in str(error), error
else:
    raise AssertionError("opened a checkpoint without torch")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
