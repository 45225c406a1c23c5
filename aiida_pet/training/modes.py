"""What each mode of a training makes of the options: which it uses, and which do not fit."""

from __future__ import annotations

from collections.abc import Collection

from aiida_pet.training.levels import variant_of
from aiida_pet.training.parameters import Method, Mode, Stage, TrainingError, TrainingParameters
from aiida_pet.training.variants import source_variant

_NEW_MODEL = frozenset({"architecture", "cutoff", "cutoff_width", "neighbors", "hypers"})
_DIRECT = frozenset({"epochs_direct", "learning_rate_direct"})
_CONSERVATIVE = frozenset(
    {
        "epochs",
        "learning_rate",
        "force_weight",
        "stress_weight",
        "direct_weight",
        "virial_delta",
    }
)
_WEIGHTS = frozenset(  # of any stage that changes weights
    {
        "warmup_fraction",
        "weight_decay",
        "batch_atoms",
        "energy_weight",
        "energy_delta",
        "force_delta",
        "direct_stress_delta",
        "criterion",
        "patience",
    }
)
_LORA = frozenset({"lora_rank", "lora_alpha"})
_CALIBRATION = frozenset({"ensemble", "calibration"})


def unused(
    parameters: TrainingParameters, mode: Mode, stages: Collection[Stage], *, begun: bool
) -> frozenset[str]:
    """Return the names of the options that have no effect.

    :param stages: stages of the training.
    :param begun: whether it goes on from a model.
    """
    weights = [stage for stage in stages if stage is not Stage.CALIBRATE]
    tuned = begun and bool(weights)
    found: set[str] = set()
    for names, used in (
        (_NEW_MODEL, not begun),
        # with epochs_direct=0 there is no direct stage, and the option says so
        (_DIRECT, Stage.DIRECT in stages or (mode in (Mode.SCRATCH, Mode.DISTILL) and not begun)),
        (_CONSERVATIVE, Stage.CONSERVATIVE in stages),
        (_WEIGHTS, bool(weights)),
        (_CALIBRATION, Stage.CALIBRATE in stages),
        ({"method"}, tuned),
        (_LORA, tuned and parameters.method is Method.LORA),
        ({"inherit_heads"}, tuned and parameters.variant is not None),
        ({"whole_training_set"}, begun),
        ({"calibrate"}, mode is not Mode.CALIBRATE),
    ):
        if not used:
            found |= names
    return frozenset(found)


def check_mode(parameters: TrainingParameters, mode: Mode, outputs: Collection[str] | None = None) -> None:
    """Check that options fit a mode and the model that it goes on from.

    :param outputs: outputs of that model; None for a new model.
    :raises TrainingError: if the training could not be run.
    """
    method, variant = parameters.method, parameters.variant
    if outputs is None:
        if method is not Method.FULL and mode in (Mode.SCRATCH, Mode.DISTILL):
            raise TrainingError(
                f"method {method.value} needs a fine-tuning: mode {mode.value} trains all weights of a new model. "
                "Leave method out"
            )
        return
    energy = "energy" if variant is None else f"energy/{variant}"
    if energy in outputs:
        return
    if mode is Mode.CALIBRATE:
        raise TrainingError(f"the model has no output {energy!r}, but {', '.join(sorted(outputs))}")
    source_variant(variant, outputs)


def left_outputs(parameters: TrainingParameters, mode: Mode, outputs: Collection[str]) -> list[str]:
    """Return in words which outputs of a model a fine-tuning leaves alone or leaves out.

    :param outputs: outputs of the model that it goes on from.
    """
    if mode is Mode.CALIBRATE:
        return []
    there = {variant_of(name) for name in outputs if name.partition("/")[0] == "energy"}
    others = sorted(there - {parameters.variant}, key=lambda name: name or "")
    names = " and ".join("energy" if name is None else f"energy/{name}" for name in others)
    told = []
    if names and parameters.method is Method.HEADS:
        told.append(f"The outputs of {names} stay as they are: method=heads trains the new heads alone")
    elif names:
        told.append(
            f"The new model will not have the outputs of {names}: method={parameters.method.value} changes the weights "
            "that they depend on. method=heads keeps them"
        )
    if parameters.variant is not None and any(name.startswith("non_conservative_stress") for name in outputs):
        told.append(
            f"There is no direct stress of variant={parameters.variant}: use it with stress=conservative"
        )
    return told
