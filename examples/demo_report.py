"""What the demo says about its rows: formation energies, symmetry, where the time went. No AiiDA in here."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

SYMPRECS = {"0_001": "0.001", "0_01": "0.01", "0_1": "0.1"}  # label in column names -> A
CONVERGED_FRACTION = 0.99

Row = dict[str, Any]
Compositions = Mapping[str, Mapping[str, int]]  # id -> symbol -> atoms


def add_formation_energies(rows: Sequence[Row], compositions: Compositions) -> None:
    """Give each row ``n_elements``, ``extrapolation`` and ``formation_energy`` (eV/atom).

    The reference of each element is the same set's most stable converged crystal of that element alone; a row
    that did not converge, or whose elements have no reference, gets NaN. ``extrapolation`` is True for
    crystals of a kind that the model that ships was not trained on: more than two elements.

    :param rows: with ``id``, ``status`` and ``energy`` (eV).
    """
    references: dict[str, float] = {}
    for row in rows:
        composition = compositions[row["id"]]
        if len(composition) == 1 and row["status"] == "converged":
            ((symbol, count),) = composition.items()
            references[symbol] = min(references.get(symbol, math.inf), row["energy"] / count)
    for row in rows:
        composition = compositions[row["id"]]
        row["n_elements"] = len(composition)
        row["extrapolation"] = len(composition) > 2
        row["formation_energy"] = math.nan
        if row["status"] == "converged" and references.keys() >= composition.keys():
            separate = sum(count * references[symbol] for symbol, count in composition.items())
            row["formation_energy"] = (row["energy"] - separate) / sum(composition.values())


def lowest(rows: Sequence[Row], count: int = 10) -> list[Row]:
    """Return the ``count`` compounds of lowest formation energy, the lowest first; no elements."""
    known = [row for row in rows if row["n_elements"] > 1 and not math.isnan(row["formation_energy"])]
    return sorted(known, key=lambda row: row["formation_energy"])[:count]


def formation_table(rows: Sequence[Row]) -> str:
    """Return the table of formation energies for people."""
    headers = [
        "id",
        "meV/atom",
        "A^3/atom",
        "steps",
        "space group",
        *(f"kept at {at} A" for at in SYMPRECS.values()),
    ]
    lines = []
    for row in rows:
        before, after = row["initial_spacegroup_0_01"], row["spacegroup_0_01"]
        lines.append(
            [
                row["id"] + (" *" if row["extrapolation"] else ""),
                f"{1e3 * row['formation_energy']:.1f}",
                f"{row['volume'] / row['n_atoms']:.3f}",
                row["n_steps"],
                str(after) if before == after else f"{before} -> {after}",
                *("yes" if row[f"symmetry_kept_{label}"] else "no" for label in SYMPRECS),
            ]
        )
    return tabulate(lines, headers=headers, tablefmt="simple", disable_numparse=True)


def symmetry_table(rows: Sequence[Row]) -> str:
    """Return how many converged rows kept and lost the space group of their start, at each tolerance."""
    converged = [row for row in rows if row["status"] == "converged"]
    lines = []
    for label, tolerance in SYMPRECS.items():
        kept = sum(bool(row[f"symmetry_kept_{label}"]) for row in converged)
        lines.append([f"{tolerance} A", kept, len(converged) - kept])
    return tabulate(lines, headers=["tolerance", "kept", "lost"], tablefmt="simple")


@dataclass(frozen=True)
class Times:
    """Where the time of the relaxation went, in seconds.

    :ivar relax: from the launch to the end of the WorkChain.
    :ivar engine: lifetimes of all engine processes together.
    :ivar compute: of these, after imports and loading of the model.
    :ivar lanes: engine processes that may run at once.
    :ivar other: set-up, import, reading the results.
    """

    relax: float
    engine: float
    compute: float
    lanes: int
    other: float

    def table(self, n_rows: int) -> str:
        """Return the shares for people. A second of wall time holds a second of every lane."""
        lane_seconds = self.relax * self.lanes
        parts = {
            "engine, computing": self.compute,
            "engine, start-up (imports, model)": self.engine - self.compute,
            "AiiDA (submit, retrieve, store, wait)": lane_seconds - self.engine,
        }
        lines = [
            [name, f"{seconds:.1f}", f"{100 * seconds / lane_seconds:.0f} %", f"{1e3 * seconds / n_rows:.1f}"]
            for name, seconds in parts.items()
        ]
        return tabulate(
            lines,
            headers=[f"of {self.lanes} lanes x {self.relax:.1f} s", "lane-seconds", "share", "ms/crystal"],
            tablefmt="simple",
            disable_numparse=True,
            colalign=("left", "right", "right", "right"),
        )


def write_csv(path: Path, rows: Sequence[Row]) -> list[str]:
    """Write all rows and columns to ``path`` and return the names of the columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, columns)
        writer.writeheader()
        writer.writerows(rows)
    return columns


def count_statuses(rows: Sequence[Row]) -> dict[str, int]:
    """Return status -> rows; a row without a status counts as ``""``."""
    return dict(Counter(row.get("status") or "" for row in rows))


def verdict(statuses: Mapping[str, int], n_structures: int) -> str | None:
    """Return why the demo failed, None if every row has a status and at least 99 % converged."""
    without = n_structures - sum(count for status, count in statuses.items() if status)
    if without:
        return f"{without} of {n_structures} rows have no status"
    converged = statuses.get("converged", 0)
    if converged < CONVERGED_FRACTION * n_structures:
        wanted = f"{100 * CONVERGED_FRACTION:g} %"
        return f"only {converged} of {n_structures} rows converged, expected {wanted}: {statuses}"
    return None
