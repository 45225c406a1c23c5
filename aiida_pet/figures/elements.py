"""How many crystals hold each element, how many of them have no answer, and how far off the others are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_pet.figures.source import framed
from aiida_pet.tables.arrays import Array, Floats


def elements_of(
    numbers: Array,
    offsets: Array,
    failed: NDArray[np.bool_],
    errors: Floats | Sequence[float] | None = None,
    unit: str = "",
) -> pd.DataFrame:
    """Return a row per element: ``element``, ``count``, ``failed``, and ``error`` if there are errors.

    :param numbers: (A,) atomic numbers of N crystals.
    :param offsets: (N + 1,); crystal i owns atoms ``offsets[i]:offsets[i + 1]``.
    :param failed: (N,) whether a crystal has no answer.
    :param errors: (N,) absolute error of each crystal, NaN where it is not known; ``error`` is their mean over the
        crystals that hold the element.
    :param unit: unit of the errors.
    """
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    pairs = np.unique(rows * 128 + np.asarray(numbers, dtype=np.int64))
    crystal, number = pairs // 128, pairs % 128
    there = np.unique(number)
    columns: dict[str, object] = {
        "element": [chemical_symbols[one] for one in there],
        "count": np.bincount(number, minlength=128)[there],
        "failed": np.bincount(number, weights=failed[crystal].astype(float), minlength=128)[there].astype(
            int
        ),
    }
    if errors is not None:
        off = np.asarray(errors, dtype=np.float64)[crystal]
        known = np.isfinite(off)
        counts = np.bincount(number[known], minlength=128)[there]
        sums = np.bincount(number[known], weights=off[known], minlength=128)[there]
        columns["error"] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return framed(columns, {"error": unit} if unit and errors is not None else {})
