"""The model that ships, and the registry of published PET models: which file is which, by its SHA-256.

``embedded_path()`` and ``embedded_card()`` give the small model for 27 elements that comes with the package;
``list_models()``, ``get_entry()`` and ``fetch()`` the published ones; ``identify()`` says which of them a file is, and
``card_of()`` describes a file for PetModelData. Neither torch nor AiiDA is imported here; what opens a checkpoint
(``card_of()`` of anything but the embedded model, ``inspect_checkpoint``) imports torch when called.
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
