"""What the demo says about its rows, on rows made by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def report(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("demo_report")


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Five rows; the second tantalum lost its space group, and two carry warnings."""
    warnings = {
        "Mo-bcc": "",
        "Ta-bcc": "rough",
        "Ta-fcc": "rough supercell_capped",
        "MoTa-B2": None,
        "MoTa-B32": "",
    }
    return [
        {"id": name, "status": "converged", "warnings": codes}
        | {f"symmetry_kept_{label}": name != "Ta-fcc" for label in ("0_001", "0_01", "0_1")}
        for name, codes in warnings.items()
    ]


def test_warnings_are_counted_with_rows_that_carry_them(
    report: ModuleType, rows: list[dict[str, Any]]
) -> None:
    lines = [line.split() for line in report.warnings_table(rows).splitlines()[2:]]
    assert lines == [["rough", "2", "Ta-bcc", "Ta-fcc"], ["supercell_capped", "1", "Ta-fcc"]]
    many = [{"id": f"row-{i}", "warnings": "rough"} for i in range(9)]
    assert report.warnings_table(many).splitlines()[2].split()[1:] == [
        "9",
        *(f"row-{i}" for i in range(6)),
        "...",
    ]
    assert report.warnings_table(rows[:1]) == "no row carries a warning"


def test_funnel_table_has_every_stage(report: ModuleType) -> None:
    stage = {
        "rows_in": 9,
        "rows_out": 7,
        "keep": "e_above_hull < 1",
        "jobs": 2,
        "wall_s": 3.2,
        "compute_s": 1.7,
    }
    summary = {"stages": [stage | {"name": "hull"}, stage | {"name": "elastic", "keep": None}]}
    lines = report.funnel_table(summary).splitlines()
    assert lines[2].split() == ["hull", "9", "7", "e_above_hull", "<", "1", "2", "3", "2"]
    assert "every row with an answer" in lines[3]


def test_symmetry_table_counts_converged_rows(report: ModuleType, rows: list[dict[str, Any]]) -> None:
    lines = report.symmetry_table(rows).splitlines()[2:]
    assert [line.split() for line in lines] == [
        ["0.001", "A", "4", "1"],
        ["0.01", "A", "4", "1"],
        ["0.1", "A", "4", "1"],
    ]


def test_times_add_up_to_the_lanes(report: ModuleType) -> None:
    table = report.Times(screen=50.0, engine=40.0, compute=30.0, lanes=2, other=5.0).table(100)
    figures = {line.split("  ")[0]: line.split()[-4:] for line in table.splitlines()[2:]}
    assert figures["engine, computing"] == ["30.0", "30", "%", "300.0"]
    assert figures["engine, start-up (imports, model)"] == ["10.0", "10", "%", "100.0"]
    assert figures["AiiDA (submit, retrieve, store, wait)"] == ["60.0", "60", "%", "600.0"]


def test_csv_has_all_columns_of_all_rows(report: ModuleType, tmp_path: Path) -> None:
    columns = report.write_csv(tmp_path / "rows.csv", [{"id": "a", "x": 1}, {"id": "b", "y": 2}])
    assert columns == ["id", "x", "y"]
    with (tmp_path / "rows.csv").open() as handle:
        assert list(csv.DictReader(handle)) == [
            {"id": "a", "x": "1", "y": ""},
            {"id": "b", "x": "", "y": "2"},
        ]


@pytest.mark.parametrize(
    ("statuses", "problem"),
    [
        ({"converged": 100}, None),
        ({"converged": 95, "max_steps": 5}, None),
        ({"converged": 94, "max_steps": 6}, "only 94 of 100 rows converged, expected 95 %"),
        ({"converged": 99, "": 1}, "1 of 100 rows have no status"),
        ({"converged": 99}, "1 of 100 rows have no status"),
    ],
)
def test_verdict_wants_every_row_and_95_percent(
    report: ModuleType, statuses: dict[str, int], problem: str | None
) -> None:
    found = report.verdict(statuses, 100)
    assert (found is None) if problem is None else found.startswith(problem)
