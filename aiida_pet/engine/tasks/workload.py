"""How much work a run has done and has left: evaluations, each times its atoms.

Rows of a batch end nearly together where they are alike, and the rows of elastic constants or phonons end long after
most of their work is done. Rows per second therefore tell little of the time that is left; evaluations of atoms per
second hardly change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Tensor

USUAL_DECAY = 0.1
"""By how much the logarithm of the excess of forces over their bound falls per step, as a rule."""
USUAL_STEPS = 10.0
"""Steps of a row that the rule counts for, beside the steps that the row has taken."""
USUAL_EVALUATIONS = 45.0
"""Evaluations of a relaxation before any row of a run tells better."""


@dataclass(frozen=True)
class Work:
    """What a run has done and has left.

    :ivar done: evaluations times atoms since this start.
    :ivar left: expected likewise; None while that is not known.
    """

    done: float
    left: float | None

    def seconds_left(self, seconds: float) -> float | None:
        """Return the seconds until the end at the pace so far.

        :param seconds: in which ``done`` was done.
        :return: None while that is not known.
        """
        return None if self.left is None or not self.done else self.left / self.done * seconds


def steps_left(first: Tensor, least: Tensor, steps: Tensor, most: int) -> Tensor:
    """Return the (N,) steps that relaxing rows still need, if their excess goes on to fall as it has so far.

    :param first: (N,) excess of forces over their bound at the first step; infinite before it.
    :param least: (N,) smallest excess so far.
    :param steps: (N,) int64, taken so far.
    :param most: steps that a row may take.
    """
    known = torch.isfinite(first) & torch.isfinite(least)
    gained = torch.where(known, torch.log(first / least).clamp(min=0.0), 0.0)
    needed = torch.where(known, torch.log(least).clamp(min=0.0), USUAL_DECAY * USUAL_EVALUATIONS)
    decay = (gained + USUAL_STEPS * USUAL_DECAY) / (steps + USUAL_STEPS)
    return torch.minimum(needed / decay, (most - steps).to(needed.dtype)).clamp(min=0.0)
