"""What the demo says about its rows: the funnel, the hull, symmetry, where the time went. No AiiDA in here."""

from __future__ import annotations

import csv
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


PROTOTYPES = {(221, 2): "B2", (227, 4): "B32", (225, 4): "D0_3", (139, 3): "C11_b"}  # of bcc orderings
_HUHN = "ordered phases close to B2 in energy at 1:1 [2]"
PUBLISHED = {
    "Mo-Ta": "B2 and C11_b among Mo-rich (100) superlattices; Ta-rich: large cells such as Mo4Ta9 [1]; "
    + _HUHN,
    "Mo-Nb": _HUHN,
    "Mo-W": _HUHN,
    "Nb-Ta": _HUHN,
    "Nb-W": _HUHN,
    "Ta-W": _HUHN,
}
SOURCES = """\
[1] V. Blum, A. Zunger, Phys. Rev. B 69, 020103 (2004), doi:10.1103/PhysRevB.69.020103 (cluster expansion of LDA)
[2] W. P. Huhn, M. Widom, JOM 65, 1772 (2013), doi:10.1007/s11837-013-0772-3 (cluster expansion of PBE)"""


def mark_extrapolation(rows: Sequence[Row], compositions: Compositions) -> None:
    """Give each row ``n_elements`` and ``extrapolation``: whether it is of a kind that the model was not trained on.

    That is, for the model that ships, more than two elements.
    """
    for row in rows:
        row["n_elements"] = len(compositions[row["id"]])
        row["extrapolation"] = row["n_elements"] > 2


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


def through(rows: Sequence[Row]) -> list[Row]:
    """Return the compounds that came through the funnel, nearest to the hull first."""
    found = [row for row in rows if row["passed"] and row["n_elements"] > 1]
    return sorted(found, key=lambda row: (row["e_above_hull"], row["formation_energy"]))


def screening_table(rows: Sequence[Row]) -> str:
    """Return stability, vibrations and stiffness of ``rows`` for people."""
    lines = [
        [
            _marked(row),
            _structure(row),
            f"{1e3 * row['e_above_hull']:.1f}",
            f"{1e3 * row['formation_energy']:.1f}",
            f"{row['min_frequency']:.2f}",
            f"{row['max_frequency']:.2f}",
            f"{row['bulk_modulus']:.0f}",
            f"{row['shear_modulus']:.0f}",
        ]
        for row in rows
    ]
    headers = [
        "id",
        "structure",
        "above hull\nmeV/atom",
        "formation\nmeV/atom",
        "lowest\nTHz",
        "highest\nTHz",
    ]
    headers += ["K\nGPa", "G\nGPa"]
    return tabulate(lines, headers=headers, tablefmt="simple", disable_numparse=True)


def hull_table(rows: Sequence[Row], compositions: Compositions) -> str:
    """Return which ordered phases of each binary lie on the hull of the model, beside what published DFT says."""
    lines = []
    for system, published in PUBLISHED.items():
        members = [
            row for row in rows if "-".join(sorted(compositions[row["id"]])) == system and row["is_stable"]
        ]
        members.sort(key=lambda row: row["formation_energy"])
        found = [
            f"{row['formula']} {_structure(row)} ({1e3 * row['formation_energy']:.0f})" for row in members
        ]
        lines.append([system, "\n".join(found) or "none", published])
    headers = ["system", "on the model's hull (meV/atom)", "published DFT"]
    return tabulate(lines, headers=headers, tablefmt="simple", maxcolwidths=[None, None, 48])


def _structure(row: Row) -> str:
    """Return the prototype of a bcc ordering where it has a name, and its space group."""
    group = row["spacegroup_0_01"]
    name = PROTOTYPES.get((group, row["n_atoms"]))
    return f"{name}, {group}" if name else str(group)


def _marked(row: Row) -> str:
    return row["id"] + (" *" if row["extrapolation"] else "")


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
    """Return why the demo failed, None if every row has a status and at least 99 % converged."""
    without = n_structures - sum(count for status, count in statuses.items() if status)
    if without:
        return f"{without} of {n_structures} rows have no status"
    converged = statuses.get("converged", 0)
    if converged < CONVERGED_FRACTION * n_structures:
        wanted = f"{100 * CONVERGED_FRACTION:g} %"
        return f"only {converged} of {n_structures} rows converged, expected {wanted}: {statuses}"
    return None
