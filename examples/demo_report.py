"""What the demo says about its rows: the funnel, warnings, symmetry, where the time went. No AiiDA in here."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

SYMPRECS = {"0_001": "0.001", "0_01": "0.01", "0_1": "0.1"}  # label in column names -> A
CONVERGED_FRACTION = 0.95

Row = dict[str, Any]


def funnel_table(summary: Mapping[str, Any]) -> str:
    """Return what each stage of the screening was given and let through, and its time."""
    lines = [
        [
            stage["name"],
            stage["rows_in"],
            stage["rows_out"],
            stage["keep"] or "every row with an answer",
            stage["jobs"],
            f"{stage['wall_s']:.0f}",
            f"{stage['compute_s']:.0f}",
        ]
        for stage in summary["stages"]
    ]
    headers = ["stage", "rows", "go on", "condition", "jobs", "wall s", "computing s"]
    return tabulate(lines, headers=headers, tablefmt="simple", disable_numparse=True)


def warnings_table(rows: Sequence[Row]) -> str:
    """Return how many rows carry each warning, the most frequent first; a sentence if none does."""
    counts = Counter(code for row in rows for code in (row.get("warnings") or "").split())
    if not counts:
        return "no row carries a warning"
    lines = [[code, count, " ".join(_carriers(rows, code))] for code, count in counts.most_common()]
    return tabulate(
        lines, headers=["warning", "rows", "such as"], tablefmt="simple", maxcolwidths=[None, None, 60]
    )


def _carriers(rows: Sequence[Row], code: str, most: int = 6) -> list[str]:
    found = [row["id"] for row in rows if code in (row.get("warnings") or "").split()]
    return [*found[:most], "..."] if len(found) > most else found


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
    """Where the time of the screening went, in seconds.

    :ivar screen: from the launch to the end of the WorkChain.
    :ivar engine: lifetimes of all engine processes together.
    :ivar compute: of these, after imports and loading of the model.
    :ivar lanes: engine processes that may run at once.
    :ivar other: set-up, import, reading the results.
    """

    screen: float
    engine: float
    compute: float
    lanes: int
    other: float

    def table(self, n_rows: int) -> str:
        """Return the shares for people. A second of wall time holds a second of every lane."""
        lane_seconds = self.screen * self.lanes
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
            headers=[f"of {self.lanes} lanes x {self.screen:.1f} s", "lane-seconds", "share", "ms/crystal"],
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
    """Return why the demo failed, None if every row has a status and at least 95 % converged."""
    without = n_structures - sum(count for status, count in statuses.items() if status)
    if without:
        return f"{without} of {n_structures} rows have no status"
    converged = statuses.get("converged", 0)
    if converged < CONVERGED_FRACTION * n_structures:
        wanted = f"{100 * CONVERGED_FRACTION:g} %"
        return f"only {converged} of {n_structures} rows converged, expected {wanted}: {statuses}"
    return None
