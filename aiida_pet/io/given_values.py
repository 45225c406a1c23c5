"""Reads settings that crystals bring (:mod:`~aiida_pet.job.given_columns`) in the forms that files have. No AiiDA.

A matrix is nested lists, nine numbers row by row, or three numbers, which are its diagonal; any of them may be a text,
as in csv. A table may have a column for each component: ``q_mesh_0``, ``q_mesh_1`` and ``q_mesh_2``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from aiida_pet.io import comment_line
from aiida_pet.job.given_columns import GIVEN_COLUMNS
from aiida_pet.job.given_rows import fitted
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.components import component_names

__all__ = ["GIVEN_COLUMNS", "joined", "value_of"]


def value_of(name: str, value: Any) -> Array | None:
    """Return what a file says of column ``name`` as the column has it, None if it says nothing.

    :raises ValueError: with what was expected.
    """
    if value is None:
        return None
    numbers = _numbers(value)
    if numbers is None:
        raise ValueError(GIVEN_COLUMNS[name].expected)
    return fitted(name, numbers)


def joined(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``record`` with one field for each setting whose components have a field each."""
    found = dict(record)
    for name, column in GIVEN_COLUMNS.items():
        parts = component_names(name, (1, *column.shape)) if column.shape else []
        if parts and name not in found and all(part in found for part in parts):
            values = [found.pop(part) for part in parts]
            found[name] = [np.nan if value in (None, "") else value for value in values]
    return found


def _numbers(value: Any) -> Array | None:
    if isinstance(value, str):
        try:
            value = json.loads(value.removeprefix("_JSON "))
        except (ValueError, RecursionError):
            return comment_line.numbers(value)
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        return None
    return array.astype(np.float64) if array.dtype.kind in "iuf" else None
