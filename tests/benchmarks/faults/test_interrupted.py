"""What the interrupted campaign makes of rows, advice and heartbeats; the campaign itself takes too long for a test."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.tables.crystals import StructureTable
from benchmarks.faults.interrupted import Interruption, Work, compare, measurements, name_of

PAIR = [("a", bulk("W", cubic=True)), ("b", bulk("Mo"))]


def table(energies: tuple[float, ...] = (-1.0, -2.0)) -> StructureTable:
    rows = StructureTable.from_ase(PAIR[: len(energies)])
    rows.set_column("energy", np.array(energies), "eV")
    rows.set_column("status", np.array(["converged"] * len(energies)))
    rows.atom_columns["forces"] = np.zeros((len(rows.numbers), 3))
    return rows


def test_equal_rows_in_another_order_are_no_difference() -> None:
    found = compare(table(), table().select(["b", "a"]))
    assert (found.missing, found.different) == (0, 0)
    assert found.largest == {"energy": 0.0, "status": 0.0, "forces": 0.0}


def test_rounding_is_told_but_is_no_difference() -> None:
    found = compare(table(), table((-1.0, -2.0 + 1e-8)))
    assert found.different == 0
    assert found.largest["energy"] == pytest.approx(1e-8)


@pytest.mark.parametrize("change", ["energy", "nan", "status", "forces", "column"])
def test_row_with_another_value_is_different(change: str) -> None:
    rows = table()
    if change == "energy":
        rows.columns["energy"][1] += 1e-3
    elif change == "nan":
        rows.columns["energy"][1] = np.nan
    elif change == "status":
        rows.columns["status"][1] = "diverged"
    elif change == "forces":
        rows.atom_columns["forces"][2, 0] = 1e-3
    else:
        del rows.columns["energy"]
    assert compare(table(), rows).different == (2 if change == "column" else 1)


def test_missing_row_is_missing() -> None:
    assert compare(table(), table((-1.0,))).missing == 2  # an id without a row, and a row less


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("python /bin/verdi -p pet daemon start-circus 1", "supervisor"),
        ("python -c from circus import stats", "statistics"),
        ("python /bin/verdi -p pet daemon broker --service-dir /x", "broker"),
        ("python /bin/verdi -p pet daemon worker", "worker"),
    ],
)
def test_processes_of_the_daemon_have_names(line: str, name: str) -> None:
    assert name_of(line) == name


def test_repeated_work_is_a_share_of_the_crystals() -> None:
    calm = Work(n_jobs=6, restarts=0, rows=1000, evaluations=1000, engine_s=50.0)
    broken = Work(n_jobs=7, restarts=0, rows=1030, evaluations=1040, engine_s=52.0)
    lines = measurements(1000, (30.0, calm), (Interruption(wall_s=60.0), broken), compare(table(), table()))
    repeated, engine, wall = lines
    assert (repeated.value, repeated.unit) == (4.0, "%")
    assert repeated.ratio == pytest.approx(0.5)  # of the target of 2 %
    assert repeated.detail["rows_done_twice"] == 30
    assert engine.ratio == pytest.approx(50 / 52)
    assert wall.ratio == pytest.approx(0.5)
