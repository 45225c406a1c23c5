"""Checkpoints of a training: the newest that is whole, what is begun from, and the model that is made of the last.

metatrain writes a checkpoint after each epoch and not atomically, so one that was being written when the job was killed
is cut short or damaged: it is told by the checksums of its archive, and the one before is taken.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiida_pet.job.checkpoint import describe_checkpoint, load_checkpoint, sha256_of
from aiida_pet.job.folder import write_atomically
from aiida_pet.training import strip, variants
from aiida_pet.training.levels import levels_of_outputs

logger = logging.getLogger(__name__)

OUTPUTS = "outputs"
ADOPTED = "before"  # a folder of outputs with what the job before left
_EPOCH = re.compile(r"model_(\d+)\.ckpt")
KEPT = 2  # checkpoints; the newest may be cut short
_LLPR_KEYS = (*strip.KEPT, "wrapped_model_checkpoint")


def checkpoints_in(folder: Path) -> list[tuple[int, Path]]:
    """Return (epoch, file) of the checkpoints in ``folder/outputs``, rising, those cut short included."""
    found = []
    for path in (folder / OUTPUTS).glob("*/**/model_*.ckpt"):
        name = _EPOCH.fullmatch(path.name)
        if name:
            found.append((int(name[1]), path))
    return sorted(found, key=lambda item: (item[0], item[1].stat().st_mtime))


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint was written to its end, and everything in it can be read."""
    try:
        found = path.stat()
    except OSError:
        return False
    return _is_sound(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=64)
def _is_sound(path: Path, size: int, changed: int) -> bool:
    """Return whether an archive has all its parts with their checksums; looked at once for each file as it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
        return False


def newest(folder: Path) -> tuple[int, Path] | None:
    """Return (epoch, file) of the newest whole checkpoint in ``folder/outputs``, None if there is none."""
    return next(((epoch, path) for epoch, path in reversed(checkpoints_in(folder)) if is_whole(path)), None)


def prune(folder: Path, kept: int = KEPT) -> None:
    """Remove all but the ``kept`` newest checkpoints: each holds the optimiser and is several times a model."""
    for _, path in checkpoints_in(folder)[:-kept]:
        path.unlink(missing_ok=True)


def adopt(folder: Path, before: Path) -> int | None:
    """Copy the newest checkpoint of the job in ``before`` into ``folder``, if it is newer than those there.

    :return: its epoch, None if there was nothing to take.
    """
    theirs, ours = newest(before), newest(folder)
    if theirs is None or (ours is not None and ours[0] >= theirs[0]):
        return None
    target = folder / OUTPUTS / ADOPTED / ADOPTED / f"model_{theirs[0]}.ckpt"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    shutil.copyfile(theirs[1], part)
    part.replace(target)
    return theirs[0]


def write_start(source: Path, sha256: str, target: Path) -> dict[str, Any]:
    """Write what a stage begins from: the model ``source``, without the LLPR model that may be around it.

    :param sha256: that ``source`` must have; nothing is opened unless it has.
    :return: the card of the model.
    :raises aiida_pet.job.checkpoint.ModelError: if it is another file, or no checkpoint of PET.
    """
    import torch  # noqa: PLC0415

    checkpoint = load_checkpoint(source, sha256)
    card = describe_checkpoint(checkpoint)  # refuses other architectures
    buffer = io.BytesIO()
    torch.save(_unwrapped(checkpoint), buffer)
    write_atomically(target, buffer.getvalue())
    return card


def write_model(
    source: Path, target: Path, about: Mapping[str, Any], begun_from: tuple[Path, str] | None = None
) -> dict[str, Any]:
    """Write the model of a checkpoint that this job has made, and return its card.

    Only what inference and fine-tuning need is kept, and the best epoch; matrices of LoRA are added to the weights they
    belong to, so that the model is one like any other. Outputs that were not trained are put back if they still fit the
    weights, and levels of theory of outputs that are gone are left out.

    :param about: what the model says of itself, see :func:`aiida_pet.training.strip.stripped`.
    :param begun_from: file and SHA-256 of the model that the training began with.
    """
    import torch  # noqa: PLC0415

    checkpoint = load_checkpoint(source, sha256_of(source))
    if checkpoint["architecture_name"] == "llpr":
        kept = _stripped_llpr(checkpoint, about)
    else:
        plain = _without_lora(checkpoint)
        kept = strip.stripped(plain, about)
        if begun_from is not None:
            before = _unwrapped(load_checkpoint(*begun_from))
            kept = variants.with_other_heads(kept, variants.upgraded(before))
        told = _with_its_levels(about, kept["model_data"]["dataset_info"].targets)
        kept["metadata"] = strip.stripped(plain, told)["metadata"]
    buffer = io.BytesIO()
    torch.save(kept, buffer)
    write_atomically(target, buffer.getvalue())
    card = describe_checkpoint(kept)
    return {"sha256": sha256_of(target), **card, "best_epoch": kept["best_epoch"]}


def about_of(path: Path, sha256: str) -> dict[str, Any]:
    """Return what the model in ``path`` says of itself: description, authors, references, extra; {} if nothing."""
    metadata = load_checkpoint(path, sha256).get("metadata")
    if metadata is None:
        return {}
    return {
        "description": metadata.description,
        "authors": list(metadata.authors),
        "references": {key: list(values) for key, values in metadata.references.items()},
        "extra": dict(metadata.extra),
    }


def _unwrapped(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint of PET itself, without the LLPR model that may be around it."""
    while isinstance(checkpoint.get("wrapped_model_checkpoint"), Mapping):
        checkpoint = checkpoint["wrapped_model_checkpoint"]
    return checkpoint


def _with_its_levels(about: Mapping[str, Any], outputs: Collection[str]) -> dict[str, Any]:
    """Return what a model says of itself without levels of theory of outputs that it does not have."""
    extra = dict(about.get("extra", {}))
    if extra.get("level_of_theory"):
        extra["level_of_theory"] = levels_of_outputs(extra["level_of_theory"], outputs)
    return {**about, "extra": extra}


def _stripped_llpr(checkpoint: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    inner = dict(checkpoint["wrapped_model_checkpoint"])
    inner["best_epoch"] = inner.get("best_epoch")
    wrapped = strip.stripped(inner, about)
    kept = {key: checkpoint.get(key) for key in _LLPR_KEYS}
    kept["best_model_state_dict"] = checkpoint["best_model_state_dict"] or checkpoint["model_state_dict"]
    kept["metadata"] = wrapped["metadata"]
    kept["wrapped_model_checkpoint"] = wrapped
    return kept


def _without_lora(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return ``checkpoint`` with the matrices of LoRA added to the weights: W + alpha / rank B A."""
    states = {
        key: checkpoint[key] for key in ("model_state_dict", "best_model_state_dict") if checkpoint[key]
    }
    if not any(_is_lora(name) for state in states.values() for name in state):
        return checkpoint
    merged = dict(checkpoint)
    for key, state in states.items():
        merged[key] = merged_lora(state, _lora_scale(state, states.values()))
    return merged


def merged_lora(state: Mapping[str, Any], scale: float) -> dict[str, Any]:
    """Return a state dict in which each ``X.linear.weight`` with ``X.lora_A``, ``X.lora_B`` is one ``X.weight``.

    :param scale: alpha / rank.
    """
    found: dict[str, Any] = {}
    for name, value in state.items():
        if _is_lora(name):
            continue
        stem, dot, kind = name.rpartition(".linear.")
        if dot and f"{stem}.lora_A.weight" in state:
            if kind == "weight":
                value = value + scale * state[f"{stem}.lora_B.weight"] @ state[f"{stem}.lora_A.weight"]  # noqa: PLW2901
            found[f"{stem}.{kind}"] = value
        else:
            found[name] = value
    return found


def _is_lora(name: str) -> bool:
    return ".lora_A." in name or ".lora_B." in name


def _lora_scale(state: Mapping[str, Any], states: Iterable[Mapping[str, Any]]) -> float:
    for one in (state, *states):
        config = (one.get("finetune_config") or {}).get("config")
        if config:
            return float(config["alpha"]) / float(config["rank"])
    raise ValueError("the checkpoint has matrices of LoRA but does not say their scale")
