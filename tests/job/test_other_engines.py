"""Descriptions of models of other engines: read, never called."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from aiida_pet.job.checkpoint import UntrustedModelError
from aiida_pet.job.other_engines import (
    DescriptionError,
    description_card,
    is_description,
    read_description,
)
from aiida_pet.models.cards import card_of
from aiida_pet.testing.other_engines import described_morse
from support import small_model


def written(path: Path, **changed: Any) -> Path:
    path.write_text(json.dumps(described_morse() | changed))
    return path


def test_card_says_package_version_and_elements(tmp_path):
    path = written(tmp_path / "morse.json")
    card = card_of(path, trust=True)
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card["name"], card["elements"], card["outputs"]) == ("morse", [29, 47, 79], ["energy"])
    assert card["version"] == f"torch-sim-atomistic {described_morse()['version']}"
    assert (card["cutoff"], card["level_of_theory"]) == (11.0, "Morse")


def test_description_is_code_and_wants_trust_but_is_not_called(tmp_path):
    path = written(tmp_path / "evil.json", interface="os:abort", arguments={})
    with pytest.raises(UntrustedModelError):
        card_of(path)
    assert card_of(path, trust=True)["name"] == "morse"


def test_checkpoint_is_none():
    assert description_card(small_model.PATH) is None
    assert not is_description(small_model.PATH.read_bytes())
    assert not is_description(b'{"hidden_irreps": "128x0e"}\n\x93\x00\xff')
    assert is_description('{"name": "für"}'.encode()[:12])


@pytest.mark.parametrize(("changed", "reason"), [
    ({"elements": ["Cu", "Xx"]}, "elements: .*'Xx' is no element"),
    ({"elements": []}, "elements: "),
    ({"cutoff": -1}, "cutoff: .*greater than 0"),
    ({"interface": "os.abort"}, "interface: "),
    ({"colour": "red"}, "colour: Extra inputs"),
    ({"weights": "x.model"}, ".*give both weights and weights_sha256"),
    ({"weights": "x.model", "weights_sha256": "12"}, "weights_sha256: "),
])  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, changed, reason):
    content = json.dumps(described_morse() | changed).encode()
    with pytest.raises(DescriptionError, match=rf"morse\.json has a wrong description: {reason}"):
        read_description(content, tmp_path / "morse.json")
    with pytest.raises(DescriptionError, match="is not valid JSON"):
        read_description(b"{name", tmp_path / "morse.json")
