"""What was found, as one JSON file that is written after each part, and as the tables of docs/performance.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu.checks import Check
from benchmarks.gpu.throughput import Rate


@dataclass
class Report:
    """All that was found so far.

    :ivar path: of the JSON file; the tables go beside it, with the suffix ``.md``.
    :ivar machine: what it was found on.
    :ivar parts: name -> ``seconds``, and ``problem`` of one that crashed, or ``left_out`` of one that was not begun.
    """

    path: Path
    machine: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    rates: list[Rate] = field(default_factory=list)
    ceilings: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def taken_up(cls, path: Path) -> Report:
        """Return the report in the file ``path``, to go on with it."""
        raw = json.loads(path.read_text())
        return cls(
            path,
            raw["machine"],
            raw["parts"],
            [Check(**{name: check[name] for name in Check.__dataclass_fields__}) for check in raw["checks"]],
            [Rate(**{name: rate[name] for name in Rate.__dataclass_fields__}) for rate in raw["rates"]],
            raw["ceilings"],
            raw["profile"],
        )

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed and of the parts that crashed."""
        checks = [check.name for check in self.checks if not check.passed]
        return checks + [name for name, part in self.parts.items() if "problem" in part]

    def write(self) -> None:
        """Write both files."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        raw = {
            "machine": self.machine,
            "parts": self.parts,
            "failed": self.failed,
            "ceilings": self.ceilings,
            "checks": [asdict(check) | {"passed": check.passed} for check in self.checks],
            "rates": [asdict(rate) | {"ms_per_crystal": rate.ms_per_crystal} for rate in self.rates],
            "profile": self.profile,
        }
        self.path.write_text(json.dumps(raw, indent=1) + "\n")
        self.path.with_suffix(".md").write_text(self.tables())

    def tables(self) -> str:
        """Return the section for docs/performance.md."""
        where = ", ".join(str(value) for value in self.machine.values())
        lines = ["## On a GPU", "", f"`make gpu-check` on {where}.", "", *self._correctness(), ""]
        lines += [*self._throughput(), "", *self._shares()]
        return "\n".join(lines) + "\n"

    def _correctness(self) -> list[str]:
        rows = []
        for part in dict.fromkeys(check.name.split("/")[0] for check in self.checks):
            own = [check for check in self.checks if check.name.split("/")[0] == part]
            passed = [check for check in own if check.passed]
            worst = max(own, key=_severity)
            told = f"{worst.difference:.2g} of {worst.tolerance:.2g} {worst.unit} ({worst.name})"
            rows.append((part, f"{len(passed)} of {len(own)}", told))
        for name, part in self.parts.items():
            if "problem" in part or "left_out" in part:
                rows.append((name, "-", part.get("problem", part.get("left_out", "")).splitlines()[-1]))
        return _table(("against the CPU", "agree", "nearest to its limit"), rows)

    def _throughput(self) -> list[str]:
        rows = [
            (rate.model, rate.task, rate.dtype, *self._figures(rate))
            for rate in self.rates
            if "absent" not in rate.detail
        ]
        titles = ("model", "task", "precision", "crystals", "ms per crystal", "crystals per s")
        absent = [
            f"Not measured: {rate.model}, {rate.task}, {rate.dtype}: {rate.detail['absent']}."
            for rate in self.rates
            if "absent" in rate.detail
        ]
        return [*_table(titles, rows), *(["", *absent] if absent else [])]

    @staticmethod
    def _figures(rate: Rate) -> tuple[str, str, str]:
        per_second = rate.n_crystals / rate.seconds if rate.seconds else 0.0
        return f"{rate.n_crystals:,}", f"{rate.ms_per_crystal:.3g}", f"{per_second:,.0f}"

    def _shares(self) -> list[str]:
        if not self.ceilings:
            return []
        matrix = ", ".join(f"{name} {value / 1e12:.3g}" for name, value in self.ceilings["matrix"].items())
        bandwidth = self.ceilings["bandwidth"] / 1e9
        lines = [
            f"Measured ceilings: {bandwidth:,.0f} GB/s (copy); TFLOP/s of a matrix product: {matrix}.",
            "",
        ]
        rows = [
            (
                rate.model, rate.task, rate.dtype,
                f"{100 * rate.detail['share of the matrix peak']:.1f} %",
                f"{100 * rate.detail['share of the bandwidth']:.1f} %",
            )
            for rate in self.rates
            if "share of the matrix peak" in rate.detail
        ]  # fmt: skip
        return [*lines, *_table(("model", "", "precision", "of the matrix peak", "of the bandwidth"), rows)]


def _severity(check: Check) -> float:
    if not check.passed:
        return float("inf")
    return check.difference / check.tolerance if check.tolerance else 0.0


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
