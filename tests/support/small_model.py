"""The small model of the tests: PET for bcc Nb, Mo, Ta and W, with a conservative energy and direct heads.

For tests that need a real model and not the one that ships, which is several times as large. Its card stands beside
it, so that a test that stores it opens no checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("small-model.ckpt")


def small_model_card() -> dict[str, Any]:
    """Return the card of the model, as ``inspect_checkpoint`` makes it."""
    card: dict[str, Any] = json.loads(PATH.with_suffix(".json").read_text())
    return card


def small_model() -> tuple[Path, str]:
    """Return path and SHA-256 of the model."""
    return PATH, str(small_model_card()["sha256"])


def small_model_node() -> Any:
    """Return the stored node of the model: the same content is the same node."""
    from aiida_pet.data.model import PetModelData

    return PetModelData.get_or_create(PATH, small_model_card())
