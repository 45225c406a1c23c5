"""The included model, and the registry of published PET models. Files are identified by their SHA-256.

``embedded_path()`` and ``embedded_card()`` return the small model for 27 elements that is included in the package.
``list_models()``, ``get_entry()`` and ``fetch()`` are for published models. ``identify()`` says which of these models a
file is, and ``card_of()`` describes a file for PetModelData. Functions that open a checkpoint (``inspect_checkpoint``,
and ``card_of()`` except for the included model) import torch when they are called. Nothing else here imports torch or
AiiDA.
"""

from __future__ import annotations

from aiida_pet.job.checkpoint import (
    MissingModelError,
    ModelError,
    NotACheckpointError,
    TruncatedModelError,
    UntrustedModelError,
    WrongHashError,
    inspect_checkpoint,
    sha256_of,
)
from aiida_pet.models.cards import EMBEDDED_NAME, card_of, embedded_card, embedded_path, identify
from aiida_pet.models.hub import FetchError, fetch
from aiida_pet.models.registry import RegistryEntry, get_entry, list_models

__all__ = [
    "EMBEDDED_NAME",
    "FetchError",
    "MissingModelError",
    "ModelError",
    "NotACheckpointError",
    "RegistryEntry",
    "TruncatedModelError",
    "UntrustedModelError",
    "WrongHashError",
    "card_of",
    "embedded_card",
    "embedded_path",
    "fetch",
    "get_entry",
    "identify",
    "inspect_checkpoint",
    "list_models",
    "sha256_of",
]
