"""Outputs of a model by their variant: what a fine-tuning begins with, and what becomes of the outputs it leaves alone.

metatrain would fit the energies of elements and the scale of new outputs to the new rows, while the copied heads are
made for the old ones; and it drops each output without a target. So the checkpoint that a fine-tuning begins with is
made to hold exactly the outputs that are trained: for a new variant exact copies of those of the model, with its
energies of elements and its scales. Outputs that are not trained are put back afterwards if their features are still
the same weights (``method=heads``).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from aiida_pet.tables.table import Array
from aiida_pet.training.levels import variant_of
from aiida_pet.training.parameters import TrainingError

_HEAD = re.compile(r"backend\.(?:node|edge)_(?:heads|last_layers)\.([^.]+)\..+")
_TABLE = re.compile(
    r"(?:additive_models\.\d+|scaler)\.(.+?)(?:_composition_buffer|(?:_per_target|_per_property)?_scaler_buffer)"
)
_STATES = ("model_state_dict", "best_model_state_dict")
_BASELINE = "additive_models.0.{}_composition_buffer"
NOTABLE, EXPLAINED = 0.05, 0.5
"""Energies of elements are moved if labels differ from the model by more than this (rms, eV/atom), and if less than
this share of the difference is left afterwards."""
_CUT = 0.02  # of singular values: compositions that hardly vary tell elements not apart


def sources_of(targets: Iterable[str], outputs: Collection[str]) -> dict[str, str]:
    """Return target -> the output of the model that it goes on from or is a copy of; targets without one are left out.

    :param outputs: outputs of the model.
    :raises TrainingError: if the energy of several variants could be copied.
    """
    wanted = list(targets)
    new = next((name for name in wanted if name.partition("/")[0] == "energy" and name not in outputs), None)
    source = None if new is None else source_variant(variant_of(new), outputs)
    found = {}
    for name in wanted:
        base = name.partition("/")[0]
        copied = base if source is None else f"{base}/{source}"
        if name in outputs or copied in outputs:
            found[name] = name if name in outputs else copied
    return found


def source_variant(variant: str | None, outputs: Collection[str]) -> str | None:
    """Return the variant of which the outputs of a new ``variant`` are copies: none, or else the only one.

    :raises TrainingError: if the model has none without a variant, and no or several others.
    """
    there = [variant_of(name) for name in outputs if name.partition("/")[0] == "energy"]
    if None in there:
        return None
    if variant is None or len(there) != 1:
        told = " or ".join(f"variant={name}" for name in there) or "another model"
        raise TrainingError(
            f"the model has no output 'energy', but {', '.join(sorted(outputs))}: set {told}"
            + ("" if variant is None else f" first, since variant={variant} would be a copy of 'energy'")
        )
    return there[0]


def upgraded(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint of PET in the form of the version of metatrain that is installed."""
    from metatrain.pet import PET  # noqa: PLC0415  torch only where a checkpoint is at hand

    found: dict[str, Any] = PET.upgrade_checkpoint(dict(checkpoint))
    return found


def with_targets(checkpoint: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    """Return a checkpoint of PET with the outputs ``sources`` alone, each with the weights and scales of its source.

    :param sources: new name -> name in ``checkpoint``.
    """
    found = dict(checkpoint)
    for key in _STATES:
        if checkpoint[key]:
            state = checkpoint[key]
            common = {name: value for name, value in state.items() if owner_of(name) is None}
            copies = {
                renamed(name, source, target): value.clone()
                for target, source in sources.items()
                for name, value in state.items()
                if owner_of(name) == source
            }
            found[key] = type(state)({**common, **copies})
    known = _targets_of(checkpoint)
    targets = {target: copy.deepcopy(known[source]) for target, source in sources.items()}
    return _with_targets_info(found, targets)


def with_other_heads(checkpoint: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``checkpoint`` with the outputs of ``before`` that it lacks, if the weights of its features are the same.

    :param checkpoint: stripped checkpoint of the model that was trained.
    :param before: checkpoint of PET that the training began with.
    """
    ours, theirs = _targets_of(checkpoint), _targets_of(before)
    missing = [name for name in theirs if name not in ours]
    old = before["best_model_state_dict"] or before["model_state_dict"]
    if not missing or not _same_features(checkpoint["model_state_dict"], old):
        return dict(checkpoint)
    found = dict(checkpoint)
    state = checkpoint["model_state_dict"]
    head = next(value for name, value in state.items() if _HEAD.fullmatch(name))
    kept = {
        name: value.to(head.dtype).clone() if _HEAD.fullmatch(name) else value.clone()
        for name, value in old.items()
        if owner_of(name) in missing
    }
    found["model_state_dict"] = found["best_model_state_dict"] = type(state)({**state, **kept})
    return _with_targets_info(found, dict(ours) | {name: copy.deepcopy(theirs[name]) for name in missing})


def owner_of(name: str) -> str | None:
    """Return the output that an entry of a state dict belongs to, None for what all outputs share."""
    found = _HEAD.fullmatch(name) or _TABLE.fullmatch(name)
    return found[1] if found else None


def renamed(name: str, source: str, target: str) -> str:
    """Return the name that an entry of output ``source`` has for output ``target``."""
    if not _HEAD.fullmatch(name):
        place = name.index(source)
        return name[:place] + target + name[place + len(source) :]
    # backend.node_heads.SOURCE.0.2.weight, backend.node_last_layers.SOURCE.0.SOURCE___0.weight
    return ".".join(
        target + part[len(source) :] if part == source or part.startswith(f"{source}_") else part
        for part in name.split(".")
    )


def shifts_of_elements(differences: Array, counts: Array) -> Array | None:
    """Return (Z,) how far energies of elements are to be moved, eV; None if they are small, or not explained by that.

    :param differences: (N,) label minus model, eV per cell.
    :param counts: (N, Z) atoms of each element in each row.
    """
    atoms = np.maximum(counts.sum(axis=1), 1)
    y, x = differences / atoms, counts / atoms[:, None]
    known = np.isfinite(y)
    if not known.any():
        return None
    shifts = np.linalg.lstsq(x[known], y[known], rcond=_CUT)[0]
    before, after = (
        float(np.sqrt((values**2).mean())) for values in (y[known], y[known] - x[known] @ shifts)
    )
    return shifts if before > NOTABLE and after < EXPLAINED * before else None


def energies_of_elements(checkpoint: Mapping[str, Any], output: str) -> dict[int, float]:
    """Return atomic number -> its energy in ``output``, eV; empty if the model has no such output, or does not say.

    :param checkpoint: with or without an LLPR model around the model.
    """
    import metatensor.torch as mts  # noqa: PLC0415  torch only where a checkpoint is at hand

    while isinstance(checkpoint.get("wrapped_model_checkpoint"), Mapping):
        checkpoint = checkpoint["wrapped_model_checkpoint"]
    state = checkpoint["best_model_state_dict"] or checkpoint["model_state_dict"]
    buffer = state.get(_BASELINE.format(output))
    if buffer is None:
        return {}
    block = mts.load_buffer(buffer.cpu()).block()
    numbers, values = block.samples.column("center_type").tolist(), block.values.reshape(-1).tolist()
    return dict(zip(numbers, values, strict=True)) if len(numbers) == len(values) else {}


def move_energies(checkpoint: Mapping[str, Any], target: str, shifts: Mapping[int, float]) -> None:
    """Add ``shifts`` (atomic number -> eV) to the energies of elements of output ``target``, in place."""
    import metatensor.torch as mts  # noqa: PLC0415  torch only where a checkpoint is at hand

    done: dict[int, Any] = {}  # one buffer may stand under both keys
    for key in _STATES:
        state = checkpoint[key]
        if not state or id(state) in done:
            continue
        name = _BASELINE.format(target)
        weights = mts.load_buffer(state[name].cpu())
        block = weights.block()
        for place, number in enumerate(block.samples.column("center_type").tolist()):
            block.values[place] += shifts.get(number, 0.0)
        state[name] = mts.save_buffer(weights)
        done[id(state)] = state


def _same_features(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Return whether the weights that all outputs share are the same."""
    shared = [name for name in theirs if name.startswith("backend.") and owner_of(name) is None]
    return all(
        name in ours
        and ours[name].shape == theirs[name].shape
        and bool((ours[name] == theirs[name].to(ours[name].dtype)).all())
        for name in shared
    )


def _targets_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict(checkpoint["model_data"]["dataset_info"].targets)
    return found


def _with_targets_info(checkpoint: dict[str, Any], targets: dict[str, Any]) -> dict[str, Any]:
    info = copy.copy(checkpoint["model_data"]["dataset_info"])
    info.targets = targets
    checkpoint["model_data"] = {**checkpoint["model_data"], "dataset_info": info}
    return checkpoint
