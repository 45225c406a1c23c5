"""Estimates of what a training takes, against times that were measured."""

from __future__ import annotations

import pytest

from aiida_pet.training.cost import cost_of
from aiida_pet.training.parameters import Stage, parse_training


@pytest.mark.parametrize(
    ("weights", "stage", "batch_atoms", "atoms", "measured_s"),
    [
        (2.7e3, Stage.DIRECT, 192, (690, 130), 0.55),
        (2.7e3, Stage.DIRECT, 48, (690, 130), 1.35),
        (2.7e3, Stage.CONSERVATIVE, 192, (690, 130), 0.7),
        (1.117e6, Stage.CONSERVATIVE, 192, (690, 130), 3.0),
        (1.117e6, Stage.CONSERVATIVE, 48, (690, 130), 6.0),
        (1.117e6, Stage.CONSERVATIVE, 192, (200, 40), 1.1),
        (1.12e6, Stage.DIRECT, 192, (84_135, 0), 100.0),
    ],
)
def test_epochs_are_estimated_as_they_were_measured(
    weights: float, stage: Stage, batch_atoms: int, atoms: tuple[int, int], measured_s: float
) -> None:
    parameters = parse_training({"epochs": 10, "epochs_direct": 10, "batch_atoms": batch_atoms})
    of_parts = {"training": atoms[0], "validation": atoms[1]}
    found = cost_of(parameters, [stage], of_parts, int(weights)).core_s[stage.value] / 10
    assert measured_s / 2 < found < 2 * measured_s
