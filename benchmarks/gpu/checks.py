"""One comparison of what the device says with what the CPU says, and when it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Check:
    """One comparison.

    :ivar name: ``part/what``.
    :ivar difference: the largest one; of things that are not numbers, how many differ. NaN never passes.
    :ivar tolerance: the largest difference that passes.
    :ivar unit: of both.
    :ivar n_numbers: how many were compared that are not zero in the reference. Without any, nothing was compared.
    :ivar note: what there is to say beside.
    """

    name: str
    difference: float
    tolerance: float
    unit: str
    n_numbers: int
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether numbers were compared and agree."""
        return self.n_numbers > 0 and self.difference <= self.tolerance

    def __str__(self) -> str:
        verdict = "ok    " if self.passed else "FAILED"
        text = f"{verdict} {self.name}: {self.difference:.3g} of {self.tolerance:.3g} {self.unit}".rstrip()
        return f"{text} ({self.n_numbers} numbers){f'; {self.note}' if self.note else ''}"


def compared(
    name: str, got: Any, reference: Any, tolerance: float, unit: str = "", *, note: str = ""
) -> Check:
    """Return the comparison of two arrays or tensors of the same shape, on any device.

    NaN has to stand in the same places. Numbers are compared by their difference, everything else by equality.
    """
    mine, its = on_host(got), on_host(reference)
    if mine.shape != its.shape:
        return Check(name, np.inf, tolerance, unit, its.size, f"{mine.shape} instead of {its.shape}")
    if mine.dtype.kind not in "fc" or its.dtype.kind not in "fc":
        return Check(name, float((mine != its).sum()), tolerance, unit or "different", its.size, note)
    known = ~np.isnan(its)
    if (np.isnan(mine) == known).any():
        n_odd = int((np.isnan(mine) == known).sum())
        return Check(name, np.nan, tolerance, unit, its.size, f"{n_odd} are NaN on one side only")
    difference = np.abs(mine[known] - its[known]).max(initial=0.0)
    return Check(name, float(difference), tolerance, unit, int(np.count_nonzero(its[known])), note)


def holds(name: str, condition: bool, note: str) -> Check:
    """Return a check that passes if ``condition`` is true."""
    return Check(name, 0.0 if condition else 1.0, 0.0, "", 1, note)


def on_host(values: Any) -> NDArray[Any]:
    """Return an array or tensor as an array in the memory of the host."""
    if isinstance(values, torch.Tensor):
        return np.asarray(values.detach().cpu().numpy())
    return np.asarray(values)
