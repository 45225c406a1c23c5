"""The learning curve: metatrain's ``train.csv`` as rows of plain numbers, energies in eV and forces in eV/A.

Names: ``training_`` or ``validation_``, then the quantity (``energy`` per atom, ``forces``, ``virial`` per atom,
``direct_forces``, ``direct_stress``), then ``mae`` or ``rmse``; ``loss`` as metatrain sums it.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

CURVE_FILE = "curve.json"
EPOCH = "epoch"
_QUANTITIES = {
    "energy": "energy",
    "forces": "forces",
    "virial": "virial",
    "non_conservative_force": "direct_forces",
    "non_conservative_stress": "direct_stress",
}
UNITS = {
    "energy": "eV/atom",
    "forces": "eV/A",
    "virial": "eV/atom",
    "direct_forces": "eV/A",
    "direct_stress": "eV/A^3",
}
_NAME = re.compile(
    r"(?P<set>training|validation) (?P<target>[\w:]+)(?:/[\w-]+)? (?P<kind>RMSE|MAE)(?: \(per atom\))?"
)
_BASE = re.compile(r"\[[^\]]*\]")  # forces[energy/r2scan]
_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9, "k": 1e3}
Row = dict[str, float]


def read_curve(path: Path) -> list[Row]:
    """Return the epochs in a ``train.csv``, a row each; those that are there whole."""
    try:
        lines = list(csv.reader(path.read_text().splitlines()))
    except OSError:
        return []
    if len(lines) < 2:
        return []
    names, units = lines[0], lines[1]
    columns = [column_of(name.strip()) for name in names]
    rows = []
    for line in lines[2:]:
        if len(line) != len(names):
            continue
        try:
            values = [float(text) for text in line]
        except ValueError:
            continue
        rows.append(
            {
                column: value * _factor(unit.strip())
                for column, unit, value in zip(columns, units, values, strict=True)
                if column
            }
        )
    return rows


def column_of(name: str) -> str:
    """Return the column for metatrain's ``name``, empty if there is none.

    ``validation forces MAE`` is ``validation_forces_mae``.
    """
    plain = {
        "Epoch": EPOCH,
        "learning rate": "learning_rate",
        "training loss": "training_loss",
        "validation loss": "validation_loss",
    }
    if name in plain:
        return plain[name]
    found = _NAME.fullmatch(_BASE.sub("", name))
    if found is None:
        return ""
    quantity = _QUANTITIES.get(found["target"], "")
    return f"{found['set']}_{quantity}_{found['kind'].lower()}" if quantity else ""


def unit_of(column: str) -> str:
    """Return the unit of a column of the curve, empty for what has none."""
    words = column.split("_")
    return UNITS.get("_".join(words[1:-1]), "") if words[-1] in ("mae", "rmse") else ""


def _factor(unit: str) -> float:
    """Return what turns a value in ``unit``, an energy or a derivative of one with a prefix, into eV."""
    head = unit.partition("/")[0]
    return _PREFIXES.get(head.removesuffix("eV"), 1.0) if head.endswith("eV") else 1.0


def joined(curves: Iterable[Sequence[Row]]) -> list[Row]:
    """Return the epochs of several runs, rising; one that was trained twice as it was the last time."""
    by_epoch = {int(row[EPOCH]): row for rows in curves for row in rows}
    return [by_epoch[epoch] for epoch in sorted(by_epoch)]


def criterion_of(row: Mapping[str, float], criterion: str) -> float:
    """Return the figure by which metatrain chooses the best epoch: ``loss``, ``mae_prod`` or ``rmse_prod``."""
    if criterion == "loss":
        return row.get("validation_loss", math.inf)
    kind = criterion.partition("_")[0]
    values = [
        value for name, value in row.items() if name.startswith("validation_") and name.endswith(f"_{kind}")
    ]
    return math.prod(values) if values else math.inf


def best_epoch(rows: Sequence[Row], criterion: str) -> int | None:
    """Return the epoch that is best by ``criterion``, the first of equal ones; None without any."""
    if not rows:
        return None
    return int(min(rows, key=lambda row: (criterion_of(row, criterion), row[EPOCH]))[EPOCH])


def told(row: Mapping[str, float]) -> str:
    """Return the errors of an epoch in words: ``validation: energy 12.1 meV/atom, forces 45.0 meV/A``."""
    parts = []
    for quantity, unit in UNITS.items():
        value = row.get(f"validation_{quantity}_mae")
        if value is not None:
            parts.append(f"{quantity.replace('_', ' ')} {1e3 * value:.3g} m{unit}")
    return "validation: " + ", ".join(parts) if parts else ""
