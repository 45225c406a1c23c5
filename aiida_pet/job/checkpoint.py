"""Read a model checkpoint safely: its hash first, its pickle only then, both from the same bytes.

A checkpoint is a zip archive around a pickle, and a pickle is a program: whoever opens it runs it. So nothing is
unpickled here unless its SHA-256 is the hash that the caller expects, and what is unpickled are the very bytes that
were hashed (the file is read once, so it cannot be exchanged in between). Hashing and :func:`verify` need neither torch
nor metatrain; these are imported where a checkpoint is opened. Building a model from it is left to others.
"""

from __future__ import annotations

import hashlib
import io
import logging
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger(__name__)

TRAINED_PAIRS = "trained_pairs"
"""Key of the metadata of a checkpoint that says which elements its training held together."""

UNCERTAINTY_LIMIT = "uncertainty_limit"
"""Key of the metadata that says which uncertainty, eV/atom, one in a hundred crystals like the trained ones passes."""

_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_END_MAGIC = b"PK\x05\x06"
_ZIP_END_SIZE = 22  # bytes
_CHUNK = 1 << 20  # bytes hashed at a time
_REQUIRED = ("architecture_name", "model_data", "best_model_state_dict", "model_state_dict")
_ALIASES = {"non_conservative_forces": "non_conservative_force"}  # older checkpoints, see metatomic's outputs
# Entries of a state dict that are tables of baselines and scales, not parameters that were trained.
_NOT_PARAMETERS = ("additive_models.", "scaler.")


class ModelError(ValueError):
    """Raised for a model file that cannot be used. The message names the file, what was expected and found."""


class MissingModelError(ModelError):
    """Raised when there is no such file, or it cannot be read."""


class TruncatedModelError(ModelError):
    """Raised when a file begins like a checkpoint and stops short: copied or downloaded in part."""


class WrongHashError(ModelError):
    """Raised when the SHA-256 of a file is not the expected hash. Nothing of the file was executed."""


class NotACheckpointError(ModelError):
    """Raised when a file is something else than a checkpoint written by metatrain."""


class UntrustedModelError(ModelError):
    """Raised when a file is neither the embedded model nor of a known hash, and nobody said to trust it."""


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits; reads it in pieces.

    :raises MissingModelError: if it cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "empty"
    >>> path.touch()
    >>> sha256_of(path)[:12]
    'e3b0c44298fc'
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise MissingModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def verify(path: Path | str, sha256: str) -> None:
    """Check that ``path`` has the hash ``sha256``; opens nothing.

    :raises MissingModelError, TruncatedModelError, WrongHashError: if it is not there, cut short, or another file.
    """
    read_verified(path, sha256)


def read_verified(path: Path | str, sha256: str) -> bytes:
    """Return the bytes of ``path``, whose SHA-256 is ``sha256``.

    :raises MissingModelError, TruncatedModelError, WrongHashError: if it is not there, cut short, or another file.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    expected = sha256.strip().lower()
    found = hashlib.sha256(content).hexdigest()
    if found == expected:
        return content
    detail = f"expected sha256 {expected or '(none given)'}, found {found} ({len(content)} bytes)"
    if _is_cut_short(content):
        raise TruncatedModelError(f"the model {path} is cut short: {detail}; copy or fetch it again")
    raise WrongHashError(
        f"the model {path} is not the model that was asked for: {detail}. It was not opened. "
        "If the file was meant to change, import it as a new model"
    )


def read_archive(path: Path | str, expected_sha256: str) -> bytes:
    """Return the bytes of the checkpoint ``path`` with that hash, which are an archive as torch writes them.

    :raises MissingModelError, TruncatedModelError, WrongHashError: as :func:`verify`.
    :raises NotACheckpointError: if the file is something else, although its hash is right.
    """
    path = Path(path)
    content = read_verified(path, expected_sha256)
    check_archive(path, content)
    return content


def load_checkpoint(path: Path | str, expected_sha256: str) -> dict[str, Any]:
    """Return the checkpoint dictionary that metatrain wrote to ``path``, its tensors on the CPU.

    The file is held in memory twice while it is opened. metatrain's ``model_from_checkpoint`` takes the dictionary.

    :param expected_sha256: the hash the file must have; nothing is unpickled unless it has.
    :raises MissingModelError, TruncatedModelError, WrongHashError: as :func:`verify`.
    :raises NotACheckpointError: if the file is not a checkpoint, although its hash is right.
    :raises ModelError: if torch or metatrain are not installed, or cannot read this version.
    """
    return open_checkpoint(path, read_archive(path, expected_sha256))


def open_checkpoint(path: Path | str, content: bytes) -> dict[str, Any]:
    """Return the checkpoint whose bytes are ``content``, as :func:`read_archive` returned them; this runs its pickle.

    :param path: path of the file, for messages.
    :raises ModelError: as :func:`load_checkpoint`.
    """
    try:
        import metatomic.torch  # noqa: F401, PLC0415  registers the classes that metadata is made of
        import torch  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"cannot open the model {path}: {error}. Opening a checkpoint needs torch and metatrain: "
            "install aiida-pet[engine]"
        ) from error
    try:
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"cannot open the model {path}: {error}. It was written by another version of metatrain than the "
            "installed version; install the version that it needs"
        ) from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise NotACheckpointError(
            f"the model {path} is not a checkpoint that torch can read: {error}"
        ) from error
    missing = (
        [key for key in _REQUIRED if key not in _core(checkpoint)] if isinstance(checkpoint, dict) else []
    )
    if not isinstance(checkpoint, dict) or missing:
        found = f"lacks {', '.join(missing)}" if missing else f"holds a {type(checkpoint).__name__}"
        raise NotACheckpointError(f"the model {path} is not a metatrain checkpoint: it {found}")
    return checkpoint


def inspect_checkpoint(path: Path | str, expected_sha256: str) -> dict[str, Any]:
    """Return what the checkpoint says about itself, as the attributes of a PetModelData.

    Keys: ``sha256``, ``name``, ``version`` ("" where it does not say), ``elements`` (atomic numbers, rising),
    ``cutoff`` (A), ``outputs`` (names, sorted), ``dtype`` (``float32``, ``float64``), ``n_parameters``,
    ``level_of_theory`` and ``licence`` ("" where it does not say).

    :raises ModelError: as :func:`load_checkpoint`.

    .. code-block:: python

        from aiida_pet.models import embedded_card, embedded_path, inspect_checkpoint

        card = inspect_checkpoint(embedded_path(), embedded_card()["sha256"])  # imports torch
    """
    path = Path(path)
    checkpoint = load_checkpoint(path, expected_sha256)
    card = describe_checkpoint(checkpoint)
    return {"sha256": expected_sha256.strip().lower(), **card, "name": card["name"] or path.stem}


def describe_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what :func:`inspect_checkpoint` returns, without ``sha256``, of a checkpoint already opened.

    :raises NotACheckpointError: if it is not of the PET architecture.
    """
    core = _core(checkpoint)
    if core["architecture_name"] != "pet":
        raise NotACheckpointError(
            f"the checkpoint holds a model of architecture {core['architecture_name']!r}; only 'pet' is supported"
        )
    info = core["model_data"]["dataset_info"]
    state = core["best_model_state_dict"] or core["model_state_dict"]
    weights = {
        name: value
        for name, value in state.items()
        if hasattr(value, "is_floating_point")
        and value.is_floating_point()
        and not name.startswith(_NOT_PARAMETERS)
    }
    outputs = {_ALIASES.get(name, name) for name in info.targets}
    if core is not checkpoint:
        outputs |= {"energy_uncertainty"}
        outputs |= {"energy_ensemble"} if _has_ensemble(checkpoint) else set()
    metadata = checkpoint.get("metadata")  # a TorchScript object: it has no truth value
    extra = dict(metadata.extra) if metadata is not None else {}
    return {
        "name": str(metadata.name) if metadata is not None else "",
        "version": extra.get("version", ""),
        "elements": sorted(int(number) for number in info.atomic_types),
        "cutoff": float(core["model_data"]["model_hypers"]["cutoff"]),
        "outputs": sorted(outputs),
        "dtype": str(next(iter(weights.values())).dtype).removeprefix("torch."),
        "n_parameters": sum(int(value.numel()) for value in weights.values()),
        "level_of_theory": extra.get("level_of_theory", ""),
        "licence": extra.get("licence", ""),
    }


def trained_pairs(checkpoint: Mapping[str, Any]) -> frozenset[tuple[int, int]] | None:
    """Return the pairs of atomic numbers that crystals of the training held together, the smaller number first.

    None if the checkpoint, already opened, does not say.
    """
    text = _said(checkpoint, TRAINED_PAIRS)
    try:
        pairs = {tuple(int(part) for part in pair.split("-")) for pair in text.split()}
    except ValueError:
        return None
    return frozenset((pair[0], pair[1]) for pair in pairs if len(pair) == 2) or None


def uncertainty_limit(checkpoint: Mapping[str, Any]) -> float | None:
    """Return the uncertainty, eV/atom, above which a crystal is unlike the trained ones; None if it is not said."""
    try:
        return float(_said(checkpoint, UNCERTAINTY_LIMIT))
    except ValueError:
        return None


def _said(checkpoint: Mapping[str, Any], key: str) -> str:
    """Return what the metadata of a checkpoint says under ``key``, empty for nothing."""
    metadata = checkpoint.get("metadata")
    return "" if metadata is None else str(dict(metadata.extra).get(key, ""))


def pairs_in_words(pairs: Iterable[tuple[int, int]]) -> str:
    """Return pairs of atomic numbers as a checkpoint says them: ``29-29 29-79``."""
    return " ".join(f"{min(pair)}-{max(pair)}" for pair in sorted(pairs))


def _core(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the checkpoint of PET itself: an uncertainty model (LLPR) wraps it in its own."""
    wrapped = checkpoint.get("wrapped_model_checkpoint")
    return _core(wrapped) if isinstance(wrapped, Mapping) else checkpoint


def _has_ensemble(checkpoint: Mapping[str, Any]) -> bool:
    """Say whether an uncertainty model also gives an ensemble of energies."""
    return "energy" in (checkpoint["model_data"].get("hypers", {}).get("num_ensemble_members") or {})


def _is_cut_short(content: bytes) -> bool:
    """Say whether ``content`` is empty, or begins as a zip archive and does not end as torch writes one.

    torch leaves no comment, so the record that ends an archive is the last 22 bytes. A search for it would not do:
    tensors of metatensor are zip archives inside this one, with such records of their own.
    """
    return not content or (content.startswith(_ZIP_MAGIC) and content[-_ZIP_END_SIZE:][:4] != _ZIP_END_MAGIC)


def check_archive(path: Path, content: bytes) -> None:
    """:raises NotACheckpointError, TruncatedModelError: unless ``content`` is a zip archive as torch writes them."""
    if _is_cut_short(content):
        raise TruncatedModelError(
            f"the model {path} is cut short: {len(content)} bytes, and no end of the archive among them; "
            "copy or fetch it again"
        )
    if not content.startswith(_ZIP_MAGIC):
        raise NotACheckpointError(
            f"the model {path} is not a checkpoint: expected a zip archive written by torch.save, "
            f"found a file that begins with {content[:8]!r}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise TruncatedModelError(f"the model {path} is damaged: {error}; copy or fetch it again") from error
    if any("/code/" in name for name in names):
        raise NotACheckpointError(
            f"the model {path} is an exported TorchScript model; a checkpoint (.ckpt) is needed, since the batched "
            "engine needs the network itself"
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise NotACheckpointError(f"the model {path} is a zip archive, but not one written by torch.save")
