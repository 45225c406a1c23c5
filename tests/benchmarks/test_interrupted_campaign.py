"""What the interrupted campaign makes of rows, advice and heartbeats; the campaign itself takes too long for a test."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.engine.table import StructureTable
from benchmarks.harness import ADVISED
from benchmarks.interrupted import Interruption, Patience, Work, compare, measurements, name_of

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


def test_commands_are_those_that_status_tells() -> None:
    advice = (
        "the daemon is not running, so nothing moves: start it with `verdi daemon start`; `aiida-pet results 7` shows "
        "the rows; `verdi process play 12` lets it go on; `aiida-pet resume 7` goes on"
    )
    assert ADVISED.findall(advice) == ["verdi daemon start", "verdi process play 12", "aiida-pet resume 7"]


def test_advice_is_followed_when_it_has_stood_for_a_while_and_not_at_once_again() -> None:
    patience, told = Patience(), ["verdi daemon stop", "verdi daemon start"]
    assert patience.due(told, 0.0, at_once=False) == []
    assert patience.due(told, 25.0, at_once=False) == told
    assert patience.due(told, 50.0, at_once=False) == []
    assert patience.due(told, 250.0, at_once=False) == told


def test_advice_that_went_away_starts_anew() -> None:
    patience = Patience()
    for now, told in ((0.0, ["verdi daemon start"]), (10.0, []), (25.0, ["verdi daemon start"])):
        assert patience.due(told, now, at_once=False) == []


def test_what_a_campaign_that_ended_needs_is_typed_at_once() -> None:
    assert Patience().due(["aiida-pet resume 7"], 0.0, at_once=True) == ["aiida-pet resume 7"]


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
