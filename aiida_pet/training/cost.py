"""What a training takes: weights, time of a core and room on the disk, from a few measured figures.

On one core of a two-core machine an epoch of direct heads takes 0.7 ms per atom and 0.1 s per batch for 1.1 million
weights (November 2026: 84,135 atoms in 100 s, in batches of 192 atoms), a conservative one 2.2 times that; larger
models take longer in proportion to their weights. Batches and epochs count in small sets and models (one thread of a
machine that did other things too, which takes up to twice as long: 190 rows of 866 atoms take 0.55 s per epoch of the
smallest model in batches of 192 atoms, 1.35 s in batches of 48; with 1.1 million weights, a conservative epoch takes
3 s and 6 s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aiida_pet.training.parameters import Stage, TrainingParameters
from aiida_pet.training.presets import PRESETS, Architecture

WEIGHTS = {
    Architecture.TINY: 2.7e3,
    Architecture.XXS: 1.12e6,
    Architecture.XS: 4.45e6,
    Architecture.S: 26.5e6,
    Architecture.M: 105.5e6,
    Architecture.L: 249.9e6,
    Architecture.XL: 721.5e6,
}
"""Weights of the sizes, counted for a hundred elements."""
S_PER_ATOM, OF_WEIGHTS = 6.7e-4, 1.12e6
LEAST_S_PER_ATOM = 1e-4  # of a model of whatever size
CONSERVATIVE = 2.2
S_PER_BATCH = 0.06  # of any model
S_PER_BATCH_OF_WEIGHTS = 0.04  # that is added for a model of OF_WEIGHTS or more
S_PER_EPOCH = 0.2  # the checkpoint and the errors
START_S = 15.0  # least time in which a job imports metatrain and reads its sets
BYTES_PER_WEIGHT = 24  # of a checkpoint: weights and Adam's two moments, of the last and of the best epoch


@dataclass(frozen=True)
class Cost:
    """What a training takes, as an estimate.

    :ivar weights: weights of the model.
    :ivar core_s: seconds of one core by stage; a GPU is tens of times faster.
    :ivar disk_mb: of checkpoints in a job's folder, MB.
    """

    weights: float
    core_s: dict[str, float]
    disk_mb: float


def cost_of(
    parameters: TrainingParameters,
    stages: list[Stage],
    atoms: dict[str, int],
    n_parameters: int | None = None,
) -> Cost:
    """Return what ``stages`` take.

    :param atoms: atoms of the rows that train and that validate, by ``training`` and ``validation``.
    :param n_parameters: of the model that is begun from; None for a new one.
    """
    weights = float(n_parameters) if n_parameters else _weights(parameters)
    per_atom = max(LEAST_S_PER_ATOM, S_PER_ATOM * weights / OF_WEIGHTS)
    per_batch = S_PER_BATCH + S_PER_BATCH_OF_WEIGHTS * min(1.0, weights / OF_WEIGHTS)
    training, validation = (atoms.get(name, 0) for name in ("training", "validation"))
    batches = sum(math.ceil(count / parameters.batch_atoms) for count in (training, validation))
    core_s = {}
    for stage in stages:
        factor = {Stage.DIRECT: 1.0, Stage.CONSERVATIVE: CONSERVATIVE, Stage.CALIBRATE: 0.5}[stage]
        # validation is a third of training: no backward pass through the weights
        epoch = (training + validation / 3) * per_atom * factor + batches * per_batch + S_PER_EPOCH
        core_s[stage.value] = parameters.epochs_of(stage) * epoch
    return Cost(weights, core_s, 3 * BYTES_PER_WEIGHT * weights / 1e6)


def _weights(parameters: TrainingParameters) -> float:
    """Return the weights of a new model: those of its size, in proportion to the square of its width and its layers."""
    size, asked = PRESETS[parameters.architecture], parameters.all_hypers()
    width = asked["d_pet"] / size["d_pet"]
    layers = (asked["num_gnn_layers"] * asked["num_attention_layers"]) / (
        size["num_gnn_layers"] * size["num_attention_layers"]
    )
    return WEIGHTS[parameters.architecture] * width**2 * float(layers)
