"""Fetch a published model from the hub, as upet names it there. Downloads and hashes; opens nothing.

upet itself unpickles what it fetches at once, so only its listing of versions is used here, and the file comes through
huggingface_hub, into the same cache that upet reads. ``HF_ENDPOINT`` names another hub, ``HF_HUB_CACHE`` the cache,
``HF_HUB_OFFLINE=1`` forbids the network: a version that was fetched before, and that the registry knows or the caller
names, still comes from the cache.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from aiida_pet.job.checkpoint import ModelError, sha256_of, verify
from aiida_pet.models.registry import RegistryEntry, UnknownModelError, get_entry

LOGGER = logging.getLogger(__name__)

REPOSITORY = "lab-cosmo/upet"
"""Where upet keeps its models on the hub; ``upet._models`` has it as a literal."""
_FOLDER = "models"
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
LATEST = "latest"
"""As a version: whatever is newest on the hub, though the registry may not know it yet."""


class FetchError(ModelError):
    """Raised when a model could not be downloaded: the hub cannot be reached, or has no such file."""


def fetch(name: str, version: str | None = None, cache_dir: Path | str | None = None) -> Path:
    """Return the local checkpoint file of the published model ``name``, downloaded unless it is in the cache.

    The SHA-256 of the file is compared with the hash that the hub declares and, if there is one, with the hash in the
    registry. The file is never opened. If the registry has no hash for the version, ``card_of`` needs ``trust``.

    :param name: such as ``pet-oam-xl``.
    :param version: None for the newest of the registry, "latest" for the newest on the hub.
    :param cache_dir: None for the hub's own cache, which upet uses too.
    :raises UnknownModelError: if the name is unknown, or the hub does not have the version.
    :raises FetchError: if the hub cannot be reached or has no such file.
    :raises WrongHashError, TruncatedModelError: if the file is not the file of the registry.

    .. code-block:: python

        from aiida_pet.models import fetch

        path = fetch("pet-oam-xl")  # needs the network, once
    """
    entry = get_entry(name)
    if version == LATEST:
        version = published_versions(entry)[-1]
    version = (version or entry.version).removeprefix("v")
    path = _download(entry, version, cache_dir)
    declared = _declared_sha256(path)
    if declared is not None:
        verify(path, declared)
    expected = entry.sha256.get(version)
    if expected is not None:
        verify(path, expected)
        LOGGER.info("%s %s has the sha256 of the registry", name, version)
    else:
        LOGGER.warning(
            "the registry knows no sha256 of %s %s; this file has %s", name, version, sha256_of(path)
        )
    return path


def published_versions(entry: RegistryEntry) -> list[str]:
    """Return the versions of ``entry`` that the hub has, oldest first, as upet lists them.

    :raises FetchError: if the hub cannot be reached.
    :raises UnknownModelError: if it has none.
    :raises ModelError: if upet is not installed.
    """
    try:
        from upet import list_upet  # noqa: PLC0415  imports torch
    except ImportError as error:
        raise ModelError(
            f"listing the versions on the hub needs upet ({error}): install aiida-pet[engine]"
        ) from error
    try:
        found = list_upet(model=entry.family, size=entry.size, print_summary=False)
    except (
        Exception
    ) as error:  # whatever the network brings: its causes differ with the version of the client
        raise FetchError(
            f"cannot list the versions of {entry.name} on the hub: {error}. {_REMEDY}"
        ) from error
    if not found:
        raise UnknownModelError(f"the hub has no version of {entry.name}; the registry knows {entry.version}")
    return [str(item["version"]) for item in found]


def _declared_sha256(path: Path) -> str | None:
    """Return the SHA-256 that the hub declared for ``path``: the cache names a large file's content by it."""
    name = path.resolve().name
    return name if _SHA256.match(name) else None


_REMEDY = (
    "If this machine reaches no hub, fetch the file on a machine that does and import it by its path: aiida-pet model "
    "import FILE"
)


def _download(entry: RegistryEntry, version: str, cache_dir: Path | str | None) -> Path:
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415  part of the engine's extra
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"fetching a model needs huggingface_hub ({error}): install aiida-pet[engine]"
        ) from error
    file_name = entry.file_name(version)
    LOGGER.info("fetching %s of %s", file_name, REPOSITORY)
    try:
        path = hf_hub_download(
            repo_id=REPOSITORY,
            filename=file_name,
            subfolder=_FOLDER,
            cache_dir=None if cache_dir is None else str(cache_dir),
        )
    except LocalEntryNotFoundError as error:  # before EntryNotFoundError, of which it is one
        raise FetchError(
            f"cannot fetch {file_name}: no hub can be reached, and the file is not in the cache. {_REMEDY}"
        ) from error
    except EntryNotFoundError as error:
        raise UnknownModelError(
            f"the hub has no {file_name}; the registry knows {entry.name} in versions {', '.join(entry.versions)}"
        ) from error
    except Exception as error:  # the client raises its own, the HTTP library's and OSError alike
        raise FetchError(f"cannot fetch {file_name} from {REPOSITORY}: {error}. {_REMEDY}") from error
    return Path(path)
