"""Errors of a model against labels, over all rows, by a column and by element.

Energies per atom (eV/atom), components of forces (eV/A) and of stresses (eV/A^3); mean absolute (``mae``) and root mean
square (``rmse``). Of a model with an uncertainty also how well it is calibrated: z is the error over the uncertainty,
``z_scale`` is the median of its modulus over 0.6745, 1 for a normal distribution, and ``z_std`` its standard deviation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from ase.data import chemical_symbols

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array, Table

QUANTITIES = {
    "energy": "eV/atom",
    "forces": "eV/A",
    "stress": "eV/A^3",
    "direct_forces": "eV/A",
    "direct_stress": "eV/A^3",
}
NORMAL_MEDIAN = 0.6745  # of |z| of a normal distribution
ALL = "all"
BEFORE = "before_"  # before the names of columns with errors of the model that was begun from


@dataclass(frozen=True)
class Residuals:
    """Model minus label, NaN where there is no label or no answer.

    :ivar values: energy (N,) eV/atom, forces (A, 3) eV/A, stress (N, 6) eV/A^3, direct_forces, direct_stress; those
        there are.
    :ivar z: (N,) error over uncertainty, None without one.
    :ivar uncertainty: (N,) eV/atom, None without one.
    """

    values: Mapping[str, Array]
    z: Array | None = None
    uncertainty: Array | None = None


@dataclass(frozen=True)
class Judged:
    """Rows whose errors are reported.

    :ivar name: name of the set: test, validation, old.
    :ivar table: N rows.
    :ivar kinds: (N,) kinds by which errors are reported, or None.
    :ivar now: of the model that was made.
    :ivar before: model with which the training began, None if there was none.
    """

    name: str
    table: StructureTable
    now: Residuals
    before: Residuals | None = None
    kinds: Array | None = field(default=None)


def error_table(judged: list[Judged]) -> Table:
    """Return a row for each set, for each kind and element in it: ids ``test``, ``test kind alloys``, ``test Al``.

    Columns: ``set``, ``part``, ``n_rows``, ``n_atoms``, and ``energy_mae`` and so on; columns for the initial model
    begin with ``before_``.
    """
    ids: list[str] = []
    rows: list[dict[str, float | int | str]] = []
    for one in judged:
        for part, chosen in _parts(one):
            ids.append(one.name if part == ALL else f"{one.name} {part}")
            rows.append(_row(one, part, chosen))
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(ids=np.array(ids, dtype=str))
    for name in names:
        missing: float | str = "" if name in ("set", "part") else np.nan
        table.set_column(name, np.array([row.get(name, missing) for row in rows]), unit_of(name) or None)
    return table


def unit_of(column: str) -> str:
    """Return the unit of a column of the table, empty for what has none."""
    name, _, kind = column.removeprefix(BEFORE).rpartition("_")
    return QUANTITIES.get(name, "") if kind in ("mae", "rmse") else ""


def _parts(one: Judged) -> Iterator[tuple[str, Array]]:
    """Yield the name of each part and which of the N rows are in it."""
    n = len(one.table)
    yield ALL, np.ones(n, dtype=bool)
    if one.kinds is not None:
        for kind in np.unique(one.kinds).tolist():
            yield f"kind {kind}", one.kinds == kind
    owner = np.repeat(np.arange(n), np.diff(one.table.offsets))
    for number in np.unique(one.table.numbers).tolist():
        yield chemical_symbols[number], np.isin(np.arange(n), owner[one.table.numbers == number])


def _row(one: Judged, part: str, chosen: Array) -> dict[str, float | int | str]:
    atoms = np.repeat(chosen, np.diff(one.table.offsets))
    row: dict[str, float | int | str] = {
        "set": one.name,
        "part": part,
        "n_rows": int(chosen.sum()),
        "n_atoms": int(atoms.sum()),
    }
    for prefix, residuals in (("", one.now), (BEFORE, one.before)):
        if residuals is None:
            continue
        for name, values in residuals.values.items():
            picked = values[atoms if name.endswith("forces") else chosen].ravel()
            picked = picked[np.isfinite(picked)]
            if len(picked):
                row[f"{prefix}{name}_mae"] = float(np.abs(picked).mean())
                row[f"{prefix}{name}_rmse"] = float(np.sqrt((picked**2).mean()))
        z = None if residuals.z is None else residuals.z[chosen][np.isfinite(residuals.z[chosen])]
        if z is not None and len(z):
            row[f"{prefix}z_scale"] = float(np.median(np.abs(z)) / NORMAL_MEDIAN)
            row[f"{prefix}z_std"] = float(z.std())
    return row
