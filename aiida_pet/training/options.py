"""What metatrain is given: its options file and the frames that it names.

Targets are ``energy``, ``non_conservative_force`` and ``non_conservative_stress``, each with ``/variant`` if there is
one. Losses are Huber's: quadratic below a delta, linear above, so that a few far-off frames do not govern the fit.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms

from aiida_pet.tables.table import Array
from aiida_pet.training.parameters import Method, Stage, TrainingParameters
from aiida_pet.training.prepare import Part, Prepared
from aiida_pet.training.scales import fixed_scales
from aiida_pet.training.split import Split
from aiida_pet.units import VOIGT_PLACES

TRAINING_FRAMES, VALIDATION_FRAMES = "train.xyz", "validation.xyz"
START_FILE = "start.ckpt"
OPTIONS_FILE = "options.yaml"
_VOIGT = [place for row in VOIGT_PLACES for place in row]  # of nine components, row by row
_LLPR_BATCH = 8


def write_options(
    folder: Path,
    stage: Stage,
    parameters: TrainingParameters,
    prepared: Prepared,
    *,
    device: str,
    begun: bool,
    elements: Collection[int] | None = None,
) -> dict[str, Any]:
    """Write ``options.yaml`` into ``folder``, where the frames are; return it.

    :param device: ``cpu`` or ``cuda``.
    :param begun: whether the stage goes on from the model ``start.ckpt``.
    :param elements: atomic numbers that this model knows; None takes those of the training rows.
    """
    labels = prepared.parts["training"].labels
    has = {"forces": labels.forces is not None, "stress": labels.stress is not None}
    calibrates = stage is Stage.CALIBRATE
    targets = _targets(stage, parameters, has)
    options: dict[str, Any] = {
        "seed": parameters.seed,
        "device": device,
        "base_precision": int(parameters.dtype.removeprefix("float")),
        "final_eval": False,
        "architecture": _calibration(parameters, prepared)
        if calibrates
        else _architecture(stage, parameters, has, begun),
        "training_set": _set(TRAINING_FRAMES, targets),
        "validation_set": _set(VALIDATION_FRAMES, targets),
        "test_set": 0.0,
    }
    if not calibrates:
        made = fixed_scales(prepared, parameters, prepared.elements if elements is None else elements)
        scales = {_name(head, parameters): scale for head, scale in made.items()}
        scales = {name: scale for name, scale in scales.items() if name in targets}
        if scales:
            options["architecture"]["training"]["fixed_scaling_weights"] = scales
    (folder / OPTIONS_FILE).write_text(yaml.safe_dump(options, sort_keys=False))
    return options


def _architecture(
    stage: Stage, parameters: TrainingParameters, has: dict[str, bool], begun: bool
) -> dict[str, Any]:
    direct = stage is Stage.DIRECT
    training: dict[str, Any] = {
        "num_epochs": parameters.epochs_of(stage),
        "max_atoms_per_batch": parameters.batch_atoms,
        "learning_rate": parameters.learning_rate_direct if direct else parameters.learning_rate,
        "warmup_fraction": parameters.warmup_fraction,
        "checkpoint_interval": 1,
        "num_workers": 0,
        "best_model_metric": parameters.criterion.value,
        "per_structure_targets": [
            name
            for name in [_name("non_conservative_stress", parameters)]
            if _has_head(name, parameters, has)
        ],
        "loss": _loss(stage, parameters, has),
    }
    if parameters.weight_decay is not None:
        training["weight_decay"] = parameters.weight_decay
    if begun:
        training["finetune"] = _finetune(parameters)
    found: dict[str, Any] = {"name": "pet", "training": training}
    if not begun:
        found["model"] = parameters.all_hypers()
    return found


def _finetune(parameters: TrainingParameters) -> dict[str, Any]:
    """Return metatrain's ``finetune``: which weights are free."""
    config: dict[Method, dict[str, Any]] = {
        Method.FULL: {},
        Method.LORA: {"rank": parameters.lora_rank, "alpha": parameters.lora_alpha},
        Method.HEADS: {
            "head_modules": ["node_heads", "edge_heads"],
            "last_layer_modules": ["node_last_layers", "edge_last_layers"],
        },
    }
    # new outputs are copies in START_FILE already: metatrain would copy their heads without baseline and scale
    found: dict[str, Any] = {
        "method": parameters.method.value,
        "read_from": START_FILE,
        "inherit_heads": {},
    }
    if config[parameters.method]:
        found["config"] = config[parameters.method]
    return found


def _calibration(parameters: TrainingParameters, prepared: Prepared) -> dict[str, Any]:
    # metatrain wants a batch of each set, and the factor is of the whole set, whatever the size of its batches
    least = min(prepared.count(Split.TRAINING), prepared.count(Split.VALIDATION))
    members = {_name("energy", parameters): parameters.ensemble} if parameters.ensemble else {}
    return {
        "name": "llpr",
        "model": {"num_ensemble_members": members},
        "training": {
            "model_checkpoint": START_FILE,
            "batch_size": max(1, min(_LLPR_BATCH, least)),
            "num_workers": 0,
            "calibration_method": parameters.calibration.value,
        },
    }


def _loss(stage: Stage, parameters: TrainingParameters, has: dict[str, bool]) -> dict[str, Any]:
    direct = stage is Stage.DIRECT
    weight = 1.0 if direct else parameters.direct_weight
    energy: dict[str, Any] = {
        "type": "huber",
        "weight": parameters.energy_weight,
        "delta": parameters.energy_delta,
    }
    gradients = {}
    if not direct and has["forces"]:
        gradients["positions"] = _huber(parameters.force_weight, parameters.force_delta)
    if not direct and has["stress"]:
        gradients["strain"] = _huber(parameters.stress_weight, parameters.virial_delta)
    if gradients:
        energy["gradients"] = gradients
    deltas = {
        "non_conservative_force": parameters.force_delta,
        "non_conservative_stress": parameters.direct_stress_delta,
    }
    heads = {_name(head, parameters): _huber(weight, delta) for head, delta in deltas.items()}
    return {_name("energy", parameters): energy} | {
        name: loss for name, loss in heads.items() if _has_head(name, parameters, has)
    }


def _huber(weight: float, delta: float) -> dict[str, Any]:
    return {"type": "huber", "weight": weight, "delta": delta}


def _name(target: str, parameters: TrainingParameters) -> str:
    return target if parameters.variant is None else f"{target}/{parameters.variant}"


def _has_head(name: str, parameters: TrainingParameters, has: dict[str, bool]) -> bool:
    """Return whether the direct head ``name`` is trained: metatrain drops those without a target.

    A variant has no direct stress: metatrain divides the output ``non_conservative_stress`` by the volume, but not its
    variants, so that they could not be a copy of it, nor learn a quantity that does not grow with the cell.
    """
    kind = "stress" if name.startswith("non_conservative_stress") else "forces"
    return has[kind] and parameters.direct_weight > 0 and (kind == "forces" or parameters.variant is None)


def _targets(stage: Stage, parameters: TrainingParameters, has: dict[str, bool]) -> dict[str, Any]:
    energy: dict[str, Any] = {
        "key": "energy",
        "unit": "eV",
        "forces": False,
        "stress": False,
        "virial": False,
    }
    if stage is Stage.CONSERVATIVE:
        energy |= {name: {"key": name} for name in ("forces", "stress") if has[name]}
    targets = {_name("energy", parameters): energy}
    if stage is Stage.CALIBRATE:
        return targets
    heads = {
        _name("non_conservative_force", parameters): {
            "key": "forces",
            "quantity": "force",
            "unit": "eV/A",
            "sample_kind": "atom",
            "type": {"cartesian": {"rank": 1}},
        },
        _name("non_conservative_stress", parameters): {
            "key": "stress",
            "quantity": "pressure",
            "unit": "eV/A^3",
            "sample_kind": "system",
            "type": {"cartesian": {"rank": 2}},
        },
    }
    return targets | {name: target for name, target in heads.items() if _has_head(name, parameters, has)}


def _set(frames: str, targets: dict[str, Any]) -> dict[str, Any]:
    # written out twice, since YAML would make a reference of one dictionary that metatrain fills in in place
    copied = yaml.safe_load(yaml.safe_dump(targets))
    return {"systems": {"read_from": frames, "length_unit": "angstrom"}, "targets": copied}


def write_frames(folder: Path, prepared: Prepared) -> None:
    """Write the frames that train and validate as extended XYZ into ``folder``."""
    from ase.io import write  # noqa: PLC0415  # slow, and workers of the daemon import this module

    for name, split in ((TRAINING_FRAMES, Split.TRAINING), (VALIDATION_FRAMES, Split.VALIDATION)):
        parts = [part for key, part in prepared.parts.items() if key in ("training", "validation")]
        frames = [frame for part in parts for frame in _frames(part, part.rows(split), prepared)]
        write(folder / name, frames, format="extxyz")


def _frames(part: Part, rows: Array, prepared: Prepared) -> list[Atoms]:
    """Return ``rows`` as metatrain reads them; NaN where a label is missing that others have."""
    table, labels = part.table, part.labels
    wanted = prepared.parts["training"].labels
    frames = []
    for row in rows.tolist():
        atoms = slice(int(table.offsets[row]), int(table.offsets[row + 1]))
        frame = Atoms(
            numbers=table.numbers[atoms],
            positions=table.positions[atoms],
            cell=table.cells[row],
            pbc=table.pbc[row],
        )
        frame.info["energy"] = float(labels.energy[row])
        if wanted.forces is not None:
            missing = np.full((len(frame), 3), np.nan)
            frame.arrays["forces"] = missing if labels.forces is None else labels.forces[atoms]
        if wanted.stress is not None:
            known = labels.stress is not None and frame.pbc.all()
            stress = labels.stress[row] if known and labels.stress is not None else np.full(6, np.nan)
            frame.info["stress"] = stress[_VOIGT]
        frames.append(frame)
    return frames
