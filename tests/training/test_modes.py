"""What each mode makes of the options."""

from __future__ import annotations

from typing import Any

import pytest

from aiida_pet.training.modes import check_mode, left_outputs, unused
from aiida_pet.training.parameters import Mode, TrainingError, TrainingParameters, parse_training

OUTPUTS = ["energy", "non_conservative_force", "non_conservative_stress"]


def idle(mode: Mode, *, begun: bool, **options: Any) -> set[str]:
    parameters = parse_training(options)
    return set(unused(parameters, mode, parameters.stages(mode), begun=begun))


def test_fine_tuning_has_no_new_model_and_a_calibration_no_epochs() -> None:
    tuned = idle(Mode.FINETUNE, begun=True)
    assert {"architecture", "cutoff", "hypers", "epochs_direct", "learning_rate_direct", "lora_rank"} <= tuned
    assert not tuned & {"epochs", "learning_rate", "method", "criterion", "group"}
    assert "lora_rank" not in idle(Mode.FINETUNE, begun=True, method="lora")
    assert "inherit_heads" not in idle(Mode.FINETUNE, begun=True, variant="r2")
    calibrated = idle(Mode.CALIBRATE, begun=True)
    assert {"epochs", "learning_rate", "method", "batch_atoms", "patience", "calibrate"} <= calibrated
    assert not calibrated & {"ensemble", "calibration", "whole_training_set", "seed", "validation_fraction"}
    scratch = idle(Mode.SCRATCH, begun=False)
    assert {"method", "ensemble", "whole_training_set"} <= scratch
    assert not scratch & {"architecture", "epochs", "epochs_direct", "learning_rate_direct"}


def test_every_option_is_used_by_some_mode() -> None:
    options = {"method": "lora", "variant": "r2", "calibrate": True}
    modes = ((Mode.SCRATCH, False), (Mode.FINETUNE, True), (Mode.CALIBRATE, True))
    assert not set.intersection(*(idle(mode, begun=begun, **options) for mode, begun in modes))
    known = set(TrainingParameters.model_fields)
    assert all(idle(mode, begun=begun) <= known for mode, begun in modes)


@pytest.mark.parametrize(
    ("mode", "options", "outputs", "told"),
    [
        (Mode.SCRATCH, {"method": "lora"}, None, "method lora needs a fine-tuning"),
        (Mode.DISTILL, {"method": "heads"}, None, "method heads needs a fine-tuning"),
        (Mode.FINETUNE, {}, ["energy/r2"], "no output 'energy', but energy/r2: set variant=r2"),
        (Mode.FINETUNE, {"variant": "c"}, ["energy/a", "energy/b"], "set variant=a or variant=b first"),
        (Mode.CALIBRATE, {"variant": "r2"}, OUTPUTS, "no output 'energy/r2'"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    mode: Mode, options: dict[str, Any], outputs: list[str] | None, told: str
) -> None:
    with pytest.raises(TrainingError, match=told):
        check_mode(parse_training(options), mode, outputs)


def test_options_that_fit_are_not_refused() -> None:
    check_mode(parse_training({"method": "lora", "variant": "r2"}), Mode.FINETUNE, OUTPUTS)
    check_mode(parse_training({"variant": "hse"}), Mode.FINETUNE, ["energy/r2"])  # a copy of the only one
    check_mode(parse_training({}), Mode.SCRATCH, None)


def test_outputs_that_a_fine_tuning_leaves_are_told() -> None:
    lora = left_outputs(parse_training({"variant": "r2", "method": "lora"}), Mode.FINETUNE, OUTPUTS)
    assert "will not have the outputs of energy: method=lora" in lora[0]
    heads = left_outputs(parse_training({"variant": "r2", "method": "heads"}), Mode.FINETUNE, OUTPUTS)
    assert "outputs of energy stay as they are" in heads[0]
    assert "no direct stress of variant=r2" in heads[1]
    assert left_outputs(parse_training({}), Mode.FINETUNE, OUTPUTS) == []
