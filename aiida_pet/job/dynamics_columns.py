"""The columns of the input that molecular dynamics reads: parameters of single rows, and initial velocities.

What they may hold is what the parameters may hold. Free of torch, so that a launch can tell beforehand which rows will
not be moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import numpy as np
from pydantic import Field, create_model

from aiida_pet.job.dynamics_parameters import DynamicsParameters
from aiida_pet.schemas import check_as
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable

OVERRIDES = {
    "md_temperature": "temperature",
    "md_pressure": "pressure",
    "md_timestep": "timestep",
    "md_steps": "steps",
    "md_seed": "seed",
}
"""Column of the input -> parameter whose place it takes in the rows that have a number there."""
VELOCITIES = "velocities"
"""Column per atom of the input: velocities to begin with, A/fs; rows with NaN for all atoms draw theirs."""
LARGEST_COUNT = 9 * 10**15
"""Whole numbers up to here are exact in columns, which may hold NaN and therefore are floats."""
_NOTHING = ("", "None", "nan")
"""What is in rows without a value, as text."""


@dataclass(frozen=True)
class RowParameters:
    """Parameters of N rows that columns of the input set.

    :ivar values: parameter -> (N,), NaN in rows that set none, or none that is possible.
    :ivar faults: row -> which columns hold what is not possible, and what was expected.
    """

    values: dict[str, Floats]
    faults: dict[int, str]

    @classmethod
    def of(cls, table: StructureTable) -> RowParameters:
        """Return what the columns of ``table`` set."""
        values, faults = {}, dict[int, list[str]]()
        for column, name in OVERRIDES.items():
            values[name], bad = _read(table, column)
            for row, why in bad.items():
                faults.setdefault(row, []).append(why)
        return cls(values, {row: "; ".join(faults[row]) for row in sorted(faults)})


def faults_of_velocities(table: StructureTable) -> dict[int, str]:
    """Return row -> what is wrong with its initial velocities: no atom has one, or each has three finite numbers."""
    given = table.atom_columns.get(VELOCITIES)
    if given is None or not len(given):
        return {}
    expected = (
        "expected three finite numbers in A/fs for each atom, or NaN for all atoms, which draws velocities"
    )
    found = np.asarray(given)
    if found.shape[1:] != (3,) or found.dtype.kind not in "fiu":
        what = f"{'x'.join(map(str, found.shape[1:])) or 1} values of type {found.dtype} per atom"
        return dict.fromkeys(range(len(table)), f"{VELOCITIES} has {what}: {expected}")
    is_given, is_missing = np.isfinite(found).all(axis=1), np.isnan(found).all(axis=1)
    rows = np.repeat(np.arange(len(table)), table.n_atoms)
    n_given = np.bincount(rows, is_given, len(table))
    n_missing = np.bincount(rows, is_missing, len(table))
    faults = {}
    for row in np.flatnonzero((n_given < table.n_atoms) & (n_missing < table.n_atoms)).tolist():
        part = table.atoms_of(row)
        atom = int(np.flatnonzero(~is_given[part])[0])
        value = " ".join(f"{one:g}" for one in found[part][atom])
        n_bad = int(table.n_atoms[row] - n_given[row])
        faults[row] = (
            f"{VELOCITIES} = {value} of atom {atom} (counted from 0), one of {n_bad} of {table.n_atoms[row]} atoms "
            f"without a velocity: {expected}"
        )
    return faults


def given_velocities(table: StructureTable, row: int) -> Floats | None:
    """Return the (A, 3) velocities of ``row`` of the input, A/fs; None if they are to be drawn."""
    column = table.atom_columns.get(VELOCITIES)
    if column is None:
        return None
    found = np.asarray(column[table.atoms_of(row)], dtype=np.float64)
    return found if np.isfinite(found).all() else None


def _read(table: StructureTable, column: str) -> tuple[Floats, dict[int, str]]:
    """Return the numbers in a column, NaN where there is none, and row -> why it is none."""
    values, faults = np.full(len(table), np.nan), dict[int, str]()
    given = table.columns.get(column)
    if given is None:
        return values, faults
    found = np.asarray(given)
    if found.ndim > 1:
        why = f"{column} has {'x'.join(map(str, found.shape[1:]))} values per row: expected one"
        return values, dict.fromkeys(range(len(table)), why)
    for row, value in enumerate(found.tolist()):
        if str(value).strip() in _NOTHING:
            continue
        # true and false would be read as 1 and 0
        problem = check_as(_of_rows(), {column: str(value) if isinstance(value, bool) else value})
        if problem is None:
            values[row] = float(value)
        else:
            faults[row] = problem
    return values, faults


@cache
def _of_rows() -> type[Any]:
    """Return a schema with the columns as fields, bounded as the parameters whose places they take."""
    return create_model("_ColumnsOfRows", **{column: _field(name) for column, name in OVERRIDES.items()})  # type: ignore[call-overload, no-any-return]


def _field(name: str) -> tuple[Any, Any]:
    parameter = DynamicsParameters.model_fields[name]
    further = Field(le=LARGEST_COUNT) if parameter.annotation is int else Field(allow_inf_nan=False)
    kind: Any = Annotated
    return kind[(parameter.annotation, *parameter.metadata, further)], Field(
        0, json_schema_extra=parameter.json_schema_extra
    )
