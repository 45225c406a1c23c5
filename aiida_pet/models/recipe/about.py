"""What the recipe says of the model that it makes: ``about.yaml``, and the options of the two stages."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from importlib.resources import files
from typing import Any

import yaml


class Stage(StrEnum):
    """Stages of the training, in their order; each has its options in ``<stage>.yaml``."""

    PRETRAIN = "pretrain"  # energies and the direct heads
    FINETUNE = "finetune"  # energies and their derivatives


def resource(name: str) -> str:
    """Return the text of a file of the recipe."""
    return (files("aiida_pet.models.recipe") / name).read_text()


def about() -> dict[str, Any]:
    """Return ``about.yaml``."""
    found: dict[str, Any] = yaml.safe_load(resource("about.yaml"))
    return found


def metadata() -> dict[str, Any]:
    """Return what goes into the checkpoint itself: ``about`` of :func:`aiida_pet.models.recipe.strip.stripped`."""
    said = about()
    kept = {key: said[key] for key in ("name", "description", "authors", "references")}
    return kept | {"extra": {key: str(said[key]) for key in ("version", "level_of_theory", "licence")}}


def options(stage: Stage, epochs: int | None = None) -> dict[str, Any]:
    """Return metatrain's options of ``stage``.

    :param epochs: another number of epochs than the recipe's, for a trial.
    """
    found: dict[str, Any] = yaml.safe_load(resource(f"{stage.value}.yaml"))
    if epochs is not None:
        found["architecture"]["training"]["num_epochs"] = epochs
    return found


def epochs_of(found: Mapping[str, Any]) -> int:
    """Return the number of epochs in ``found``, options of a stage."""
    return int(found["architecture"]["training"]["num_epochs"])
