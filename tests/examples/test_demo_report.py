"""What the demo says about its rows, on rows made by hand."""

from __future__ import annotations

import csv
import math
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
def rows() -> list[dict[str, Any]]:
    """Mo at -10 eV, Ta at -12 eV/atom (the second cell is the stable one), MoTa at -23 eV, another not converged."""
    energies = [-10.0, -11.5, -24.0, -23.0, -99.0, -40.0]
    statuses = ["converged"] * 4 + ["max_steps", "converged"]
    kept = [True, True, False, True, False, True]
    return [
        {
            "id": name,
            "status": status,
            "energy": energy,
            "n_atoms": sum(COMPOSITIONS[name].values()),
            "volume": 16.0 * sum(COMPOSITIONS[name].values()),
            "n_steps": 7,
            "initial_spacegroup_0_01": 221,
            "spacegroup_0_01": 221 if keeps else 1,
        }
        | {f"symmetry_kept_{label}": keeps for label in ("0_001", "0_01", "0_1")}
        for name, energy, status, keeps in zip(COMPOSITIONS, energies, statuses, kept, strict=True)
    ]


@pytest.fixture
def known_rows(report: ModuleType, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    report.add_formation_energies(rows, COMPOSITIONS)
    return rows


def test_formation_energy_is_relative_to_the_most_stable_element(known_rows: list[dict[str, Any]]) -> None:
    by_id = {row["id"]: row for row in known_rows}
    assert by_id["MoTa-0"]["formation_energy"] == pytest.approx((-23.0 + 10.0 + 12.0) / 2)
    assert by_id["Ta-0"]["formation_energy"] == pytest.approx(0.5)
    assert by_id["Ta-1"]["formation_energy"] == 0


def test_rows_without_answer_or_reference_have_no_formation_energy(known_rows: list[dict[str, Any]]) -> None:
    by_id = {row["id"]: row["formation_energy"] for row in known_rows}
    assert math.isnan(by_id["MoTa-1"])  # did not converge
    assert math.isnan(by_id["MoTaW-0"])  # no W in the set


def test_ternaries_are_marked_as_extrapolation(report: ModuleType, known_rows: list[dict[str, Any]]) -> None:
    assert [row["id"] for row in known_rows if row["extrapolation"]] == ["MoTaW-0"]
    table = report.formation_table([row for row in known_rows if row["n_elements"] == 3])
    assert "MoTaW-0 *" in table


def test_lowest_are_compounds_in_order(report: ModuleType, known_rows: list[dict[str, Any]]) -> None:
    extra = known_rows[3] | {"id": "MoTa-2", "formation_energy": -0.9}
    assert [row["id"] for row in report.lowest([*known_rows, extra])] == ["MoTa-2", "MoTa-0"]
    assert [row["id"] for row in report.lowest([*known_rows, extra], count=1)] == ["MoTa-2"]


def test_formation_table_shows_lost_symmetry(report: ModuleType, known_rows: list[dict[str, Any]]) -> None:
    lines = {row["id"]: report.formation_table([row]).splitlines()[-1] for row in known_rows}
    assert lines["MoTa-0"].split() == ["MoTa-0", "-500.0", "16.000", "7", "221", "yes", "yes", "yes"]
    assert lines["Ta-1"].split() == ["Ta-1", "0.0", "16.000", "7", "221", "->", "1", "no", "no", "no"]


def test_symmetry_table_counts_converged_rows(report: ModuleType, known_rows: list[dict[str, Any]]) -> None:
    lines = report.symmetry_table(known_rows).splitlines()[2:]
    assert [line.split() for line in lines] == [
        ["0.001", "A", "4", "1"],
        ["0.01", "A", "4", "1"],
        ["0.1", "A", "4", "1"],
    ]


def test_times_add_up_to_the_lanes(report: ModuleType) -> None:
    table = report.Times(relax=50.0, engine=40.0, compute=30.0, lanes=2, other=5.0).table(100)
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
