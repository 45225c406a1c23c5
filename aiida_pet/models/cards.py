"""Which model a file is, and what is known of it: cards with the attributes of a PetModelData.

A card is a dictionary with ``sha256``, ``name``, ``version``, ``elements`` (atomic numbers), ``cutoff`` (A),
``outputs``, ``dtype``, ``n_parameters``, ``level_of_theory`` and ``licence``; the embedded model's has more: its data
and its errors. Files are identified by their SHA-256 alone; no file is opened for this.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiida_pet.job.checkpoint import UntrustedModelError, inspect_checkpoint, sha256_of
from aiida_pet.job.other_engines import description_card
from aiida_pet.models.registry import RegistryEntry, list_models, split_file_name

EMBEDDED_NAME = "pet-common-xs"
"""Name of the model that ships with the package."""

CARD_KEYS = (
    "sha256",
    "name",
    "version",
    "elements",
    "cutoff",
    "outputs",
    "dtype",
    "n_parameters",
    "level_of_theory",
    "licence",
)


def embedded_path() -> Path:
    """Return the path of the checkpoint of the included model.

    >>> embedded_path().name == f"{EMBEDDED_NAME}.ckpt"
    True
    """
    return Path(str(files("aiida_pet.models") / f"{EMBEDDED_NAME}.ckpt"))


def embedded_card() -> dict[str, Any]:
    """Return the card of the included model, with its training data and errors. No checkpoint is read.

    >>> embedded_card()["name"] == EMBEDDED_NAME
    True
    """
    text = (files("aiida_pet.models") / f"{EMBEDDED_NAME}.json").read_text()
    card: dict[str, Any] = json.loads(text)
    return card


def identify(path: Path | str) -> dict[str, Any] | None:
    """Return what is known about the model in ``path``, by its SHA-256; None for an unknown file.

    The card of the included model is complete. The card of a published model has the keys of :data:`CARD_KEYS` too, but
    some values are None, since only the checkpoint has them (``cutoff``, ``outputs``, ``dtype``, ``n_parameters``,
    ``elements``). :func:`card_of` opens the checkpoint and reads them.

    :raises MissingModelError: if the file cannot be read.

    >>> identify(embedded_path())["name"] == EMBEDDED_NAME
    True
    """
    return _known(sha256_of(path))


def _known(sha256: str) -> dict[str, Any] | None:
    embedded = embedded_card()
    if sha256 == embedded["sha256"]:
        return embedded
    for entry in list_models():
        for version, known in entry.sha256.items():
            if known == sha256:
                return _partial_card(entry, version, sha256)
    return None


def _partial_card(entry: RegistryEntry, version: str, sha256: str) -> dict[str, Any]:
    card: dict[str, Any] = dict.fromkeys(CARD_KEYS)
    return card | {
        "sha256": sha256,
        "name": entry.name,
        "version": version,
        "level_of_theory": entry.theory_of(version),
        "licence": entry.licence,
    }


def card_of(path: Path | str, trust: bool = False) -> dict[str, Any]:
    """Return the card of the model in ``path``. The checkpoint is opened only if its hash is known or ``trust`` is
    given.

    ``path`` may also be the description of a model of another engine. It is read, but its code is not called.

    :param trust: accept a file with an unknown hash. A checkpoint is a program, and opening it runs this program.
    :return: all keys of :data:`CARD_KEYS`; for the included model also its training data and errors.
    :raises UntrustedModelError: if the hash is unknown and ``trust`` is False; nothing was opened.
    :raises ModelError: if the file is missing, cut short or no checkpoint, or torch is not installed.

    >>> card_of(embedded_path())["sha256"] == embedded_card()["sha256"]
    True
    """
    path = Path(path)
    sha256 = sha256_of(path)
    known = _known(sha256)
    if known is not None and all(known[key] is not None for key in CARD_KEYS):
        return known
    if known is None and not trust:
        raise UntrustedModelError(
            f"the model {path} (sha256 {sha256}) is neither the embedded {EMBEDDED_NAME} nor a published model of "
            "known hash. Opening a checkpoint runs code from it. If you trust its origin, give --trust, or trust=True "
            "in Python"
        )
    described = description_card(path)
    if described is not None:
        return described
    card = inspect_checkpoint(path, sha256)
    return card | {key: value for key, value in (known or _by_name(path)).items() if value is not None}


def _by_name(path: Path) -> dict[str, Any]:
    """Return what the file name of a published model says, such as ``pet-mad-s-v1.6.0.ckpt``; {} for another name."""
    name, version = split_file_name(path.name)
    entry = next((entry for entry in list_models() if entry.name == name), None)
    if entry is None or version is None:
        return {}
    return {
        "name": entry.name,
        "version": version,
        "level_of_theory": entry.theory_of(version),
        "licence": entry.licence,
    }
