"""What the demo says about its rows, on rows made by hand."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

COMPOSITIONS = {
    "Mo-0": {"Mo": 1},
    "Ta-0": {"Ta": 1},
    "Ta-1": {"Ta": 2},
    "MoTa-0": {"Mo": 1, "Ta": 1},
    "MoTa-1": {"Mo": 1, "Ta": 1},
    "MoTaW-0": {"Mo": 1, "Ta": 1, "W": 1},
}


@pytest.fixture(scope="module")
def report(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("demo_report")


@pytest.fixture
def rows(report: ModuleType) -> list[dict[str, Any]]:
    """Elements, B2 MoTa on the hull, another off it, and a ternary; the second Ta is the stable one."""
    values = {
        "Mo-0": (229, True, 0.0, 0.0, True),
        "Ta-0": (229, False, 0.5, 0.5, False),
        "Ta-1": (229, True, 0.0, 0.0, True),
        "MoTa-0": (221, True, 0.0, -0.5, True),
        "MoTa-1": (227, True, 0.02, -0.48, False),
        "MoTaW-0": (1, True, 0.01, -0.4, False),
    }
    rows = [
        {
            "id": name,
            "formula": name.split("-")[0],
            "status": "converged",
            "n_atoms": 4 if name == "MoTa-1" else sum(COMPOSITIONS[name].values()),
            "spacegroup_0_01": group,
            "passed": passed,
            "e_above_hull": above,
            "formation_energy": formation,
            "is_stable": stable,
            "min_frequency": 0.4,
            "max_frequency": 5.0,
            "bulk_modulus": 165.2,
            "shear_modulus": 33.7,
        }
        | {f"symmetry_kept_{label}": name != "Ta-1" for label in ("0_001", "0_01", "0_1")}
        for name, (group, passed, above, formation, stable) in values.items()
    ]
    report.mark_extrapolation(rows, COMPOSITIONS)
    return rows


def test_ternaries_are_marked_as_extrapolation(report: ModuleType, rows: list[dict[str, Any]]) -> None:
    assert [row["id"] for row in rows if row["extrapolation"]] == ["MoTaW-0"]
    assert "MoTaW-0 *" in report.screening_table(rows)


def test_compounds_that_came_through_are_in_the_order_of_the_hull(
    report: ModuleType, rows: list[dict[str, Any]]
) -> None:
    assert [row["id"] for row in report.through(rows)] == ["MoTa-0", "MoTaW-0", "MoTa-1"]
    rows[3]["passed"] = False
    assert [row["id"] for row in report.through(rows)] == ["MoTaW-0", "MoTa-1"]


def test_screening_table_has_milli_units_and_prototypes(
    report: ModuleType, rows: list[dict[str, Any]]
) -> None:
    lines = {line.split()[0]: line for line in report.screening_table(rows).splitlines()}
    assert lines["MoTa-0"].split() == ["MoTa-0", "B2,", "221", "0.0", "-500.0", "0.40", "5.00", "165", "34"]
    assert lines["MoTa-1"].split()[1:4] == ["B32,", "227", "20.0"]


def test_hull_table_names_the_phases_on_the_hull_of_each_binary(
    report: ModuleType, rows: list[dict[str, Any]]
) -> None:
    table = report.hull_table(rows, COMPOSITIONS)
    assert "MoTa B2, 221 (-500)" in table
    assert "B32" not in table
    assert next(line for line in table.splitlines() if line.startswith("Nb-W")).split()[1] == "none"
    assert "Mo4Ta9" in table
    assert set(report.PUBLISHED) == {
        "-".join(pair) for pair in itertools.combinations(("Mo", "Nb", "Ta", "W"), 2)
    }


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
        ["0.001", "A", "5", "1"],
        ["0.01", "A", "5", "1"],
        ["0.1", "A", "5", "1"],
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
        ({"converged": 99, "max_steps": 1}, None),
        ({"converged": 98, "max_steps": 2}, "only 98 of 100 rows converged, expected 99 %"),
        ({"converged": 99, "": 1}, "1 of 100 rows have no status"),
        ({"converged": 99}, "1 of 100 rows have no status"),
    ],
)
def test_verdict_wants_every_row_and_99_percent(
    report: ModuleType, statuses: dict[str, int], problem: str | None
) -> None:
    found = report.verdict(statuses, 100)
    assert (found is None) if problem is None else found.startswith(problem)
