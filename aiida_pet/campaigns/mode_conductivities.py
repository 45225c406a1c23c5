"""Modes of conductivities beside those of references: what a table holds of them, and the numbers of both."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aiida_pet.analysis.metrics import conductivity
from aiida_pet.analysis.metrics.report import Metric
from aiida_pet.campaigns.results import Rows
from aiida_pet.data.table import TableData
from aiida_pet.io.mode_conductivities import ModeConductivity

__all__ = ["mode_numbers", "modes_of_table"]

_COLUMNS = ("kappa_modes", "kappa_weights", "kappa_frequencies")
_IMAGINARY = "has_imaginary_modes"
_UNITS = {"spectrum_w1": "THz"}


def modes_of_table(table: TableData) -> dict[str, ModeConductivity | None]:
    """Return id -> modes of each row, None for one that has none; nothing if the table has no such columns."""
    if any(name not in table.ragged_names for name in _COLUMNS):
        return {}
    columns = [table.ragged(name) for name in _COLUMNS]
    found: dict[str, ModeConductivity | None] = {}
    for row, name in enumerate(table.ids.tolist()):
        modes, weights, frequencies = (column[row] for column in columns)
        if not len(weights):
            found[name] = None
            continue
        shape = (len(weights), -1)
        means = np.asarray(modes, dtype=np.float64)[:, :3].mean(axis=1)
        found[name] = ModeConductivity(
            means.reshape(shape), weights, np.asarray(frequencies, dtype=np.float64).reshape(shape)
        )
    return found


def mode_numbers(
    found: Rows, references: Mapping[str, ModeConductivity | None], all_references: bool
) -> dict[str, Metric]:
    """Return the numbers that need modes; nothing if the results hold none.

    :param references: id -> modes of the references; those that have none are left out.
    """
    table = found.table
    ours = modes_of_table(table)
    if not ours:
        return {}
    known = _IMAGINARY in table.column_names
    soft = table.column(_IMAGINARY) if known else np.zeros(len(table), dtype=bool)
    numbers = conductivity.mode_metrics(
        ours,
        {name: modes for name, modes in references.items() if modes is not None},
        imaginary=dict(zip(table.ids.tolist(), soft.tolist(), strict=True)),
        all_references=all_references,
    )
    return {f"conductivity/{name}": Metric(value, _UNITS.get(name, "")) for name, value in numbers.items()}
