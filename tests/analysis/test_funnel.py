"""The funnel: which rows go on, why the others do not, and what the table holds of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.analysis.funnel import (
    Stage,
    Verdict,
    add_stage,
    begin,
    came_to,
    final_table,
    judge,
    settle_names,
)
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import FilterError
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.table import Array, Table

IDS = ["a", "b", "c", "d"]


@dataclass(frozen=True)
class Funnel:
    """A funnel as far as it ran.

    :ivar table: all rows with the columns of all stages.
    :ivar verdicts: one for each stage.
    :ivar passing: (M,) str, ids of the rows that are still in.
    """

    table: StructureTable
    verdicts: tuple[Verdict, ...]
    passing: Array


def run_funnel(
    structures: StructureTable, stages: Sequence[Stage], names: Mapping[str, str] | None = None
) -> Funnel:
    """Return what ``stages``, one after the other, make of ``structures``.

    :param names: of the columns of ``structures``, as :func:`settle_names` makes them; None settles them by the
        columns that the stages have.
    :raises KeyError: if a stage holds rows that are none of ``structures``.
    :raises FilterError: if a condition is not understood or names no column.
    """
    if names is None:
        made = {name for stage in stages for name in stage.result.columns}
        names = settle_names(structures.columns, made)
    table = begin(structures, names)
    passing: Array = table.ids
    verdicts = []
    for stage in stages:
        table = add_stage(table, stage, names.values())
        verdict = judge(table, came_to(stage.result, passing), stage.keep)
        verdicts.append(verdict)
        passing = verdict.ids[verdict.passes]
    return Funnel(table, tuple(verdicts), passing)


def crystals(ids: list[str], lattice_constant: float = 3.2, **columns: Any) -> StructureTable:
    table = StructureTable.from_ase((name, bulk("W", a=lattice_constant)) for name in ids)
    for name, values in columns.items():
        table.set_column(name, values)
    return table


def relaxed(**changes: Any) -> StructureTable:
    columns: dict[str, Any] = {
        "status": ["converged", "converged", "max_steps", "converged"],
        "message": ["", "", "2000 steps", ""],
        "energy": [-1.0, -2.0, -3.0, -4.0],
    }
    return crystals(IDS, 3.1, **columns | changes)


def hull(distances: list[float], ids: list[str] = IDS) -> Table:
    columns = {
        "e_above_hull": np.array(distances),
        "hull_status": np.array(["ok"] * len(ids)),
        "hull_message": np.array([""] * len(ids)),
    }
    return Table(np.array(ids), columns, {"e_above_hull": "eV/atom"})


def reasons(table: StructureTable) -> dict[str, tuple[str, str]]:
    rows = zip(table.ids, table.columns["stage"], table.columns["reason"], strict=True)
    return {str(name): (str(stage), str(reason)) for name, stage, reason in rows}


def test_rows_leave_with_stage_and_reason_and_stay_in_the_table() -> None:
    stages = [
        Stage("relax", relaxed(), moves=True),
        Stage("hull", hull([0.0, 0.3, 0.0, 0.01]), "e_above_hull <= 0.025 and n_atoms > 0"),
        Stage("phonons", crystals(["a", "d"], status=["failed", "converged"], message=["singular", ""])),
    ]
    funnel = run_funnel(crystals(IDS), stages)
    table = final_table(funnel.table, ["relax", "hull", "phonons"], funnel.verdicts)
    assert table.ids.tolist() == IDS
    assert reasons(table) == {
        "a": ("phonons", "failed: singular"),
        "b": ("hull", "not e_above_hull <= 0.025 (e_above_hull = 0.3)"),
        "c": ("relax", "max_steps: 2000 steps"),
        "d": ("done", ""),
    }
    assert table.columns["passed"].tolist() == [False, False, False, True]
    assert funnel.passing.tolist() == ["d"]
    assert [len(verdict.ids) for verdict in funnel.verdicts] == [4, 3, 2]
    assert list(table.columns)[:3] == ["stage", "passed", "reason"]


def test_a_reason_names_all_parts_that_fail_with_their_values() -> None:
    table = relaxed(status=["converged"] * 4)
    keep = "energy < -3.5 and (n_atoms == 2 or energy > 0) and n_atoms < 9"
    funnel = run_funnel(crystals(IDS), [Stage("relax", table, keep)])
    assert funnel.verdicts[0].reasons[0] == (
        "not energy < -3.5 (energy = -1); not n_atoms == 2 or energy > 0 (n_atoms = 1, energy = -1)"
    )
    assert funnel.verdicts[0].reasons[3] == "not n_atoms == 2 or energy > 0 (n_atoms = 1, energy = -4)"


def test_missing_values_fulfil_no_condition() -> None:
    funnel = run_funnel(crystals(IDS), [Stage("hull", hull([0.0, np.nan, 0.1, 0.0]), "e_above_hull < 1")])
    assert funnel.passing.tolist() == ["a", "c", "d"]
    assert funnel.verdicts[0].reasons[1] == "not e_above_hull < 1 (e_above_hull is missing)"


def test_a_flag_that_is_missing_is_said_to_be() -> None:
    stable = hull([0.0, np.nan, 0.1, 0.0])
    stable.set_column("is_stable", np.array([1.0, np.nan, 0.0, 1.0]))
    for condition, passing in (("is_stable", ["a", "d"]), ("not is_stable", ["c"])):
        funnel = run_funnel(crystals(IDS), [Stage("hull", stable, condition)])
        assert funnel.passing.tolist() == passing
        assert funnel.verdicts[0].reasons[1] == f"not {condition} (is_stable is missing)"


@pytest.mark.parametrize(
    "condition", ["is_dynamically_stable", "not is_dynamically_stable", "n_imaginary < 1"]
)
def test_a_flag_or_count_that_no_row_has_fulfils_nothing(condition: str) -> None:
    table = crystals(IDS, status=["converged"] * 4)
    verdict = judge(table, table, condition, ["is_dynamically_stable", "n_imaginary"])
    assert not verdict.passes.any()
    assert verdict.reasons[0].endswith("is missing)")


def test_geometry_is_that_of_the_stage_that_moves() -> None:
    result = relaxed()
    for moves, volume in ((True, 3.1**3 / 2), (False, 3.2**3 / 2)):
        funnel = run_funnel(crystals(IDS), [Stage("relax", result, moves=moves)])
        assert funnel.table.volumes() == pytest.approx(volume)
    # of the rows that came to it alone, whatever their number of atoms
    cubic = StructureTable.from_ase([("b", bulk("W", a=3.0, cubic=True))])
    moved = run_funnel(crystals(IDS), [Stage("relax", cubic, moves=True)]).table
    assert moved.n_atoms.tolist() == [1, 2, 1, 1]
    assert moved.volumes() == pytest.approx([3.2**3 / 2, 27.0, 3.2**3 / 2, 3.2**3 / 2])


def test_columns_of_later_stages() -> None:
    phonons = crystals(
        ["d"], status=["converged"], message=[""], symmetry_warning=["229 became 1"], energy=[-4.1]
    )
    phonons.set_column("min_frequency", [1.5], "THz")
    phonons.set_column("elastic_tensor", np.ones((1, 6, 6)), "GPa")
    phonons.set_column("phonon_dos", np.ones((1, 201)), "1/THz")
    phonons.ragged["force_constants"] = Ragged(np.ones((2, 3, 3)), np.array([0, 2]))
    stages = [Stage("relax", relaxed(symmetry_warning=[""] * 4)), Stage("phonons", phonons)]
    table = run_funnel(crystals(IDS), stages).table
    # what is said of the row a second time is kept, the energy is that of the first stage that has one
    assert table.columns["phonons_status"].tolist() == ["", "", "", "converged"]
    assert table.columns["phonons_symmetry_warning"].tolist() == ["", "", "", "229 became 1"]
    assert table.columns["energy"].tolist() == [-1, -2, -3, -4]
    assert table.columns["min_frequency"].tolist() == pytest.approx([np.nan] * 3 + [1.5], nan_ok=True)
    assert table.units["min_frequency"] == "THz"
    assert table.columns["elastic_tensor"].shape == (4, 6, 6)
    assert {"phonon_dos", "phonons_energy"} & set(table.columns) == set()
    assert table.ragged == {}


def test_columns_of_the_input_make_way_for_those_of_stages() -> None:
    given = crystals(IDS, energy=[9.0] * 4, status=["left"] * 4, series=[1, 2, 3, 4])
    table = run_funnel(given, [Stage("relax", relaxed())]).table
    assert table.columns["energy"].tolist() == [-1, -2, -3, -4]
    assert table.columns["input_energy"].tolist() == [9.0] * 4
    assert table.columns["input_status"].tolist() == ["left"] * 4
    assert table.columns["series"].tolist() == [1, 2, 3, 4]


def test_phases_that_left_do_not_come_back_by_the_hull() -> None:
    stages = [Stage("relax", relaxed(), "energy < -1.5"), Stage("hull", hull([0.0] * 4))]
    funnel = run_funnel(crystals(IDS), stages)
    assert funnel.verdicts[1].ids.tolist() == ["b", "d"]
    assert funnel.table.columns["e_above_hull"].tolist() == [0.0] * 4


def test_faults_are_named() -> None:
    with pytest.raises(FilterError, match="e_hull"):
        run_funnel(crystals(IDS), [Stage("hull", hull([0.0] * 4), "e_hull < 1")])
    with pytest.raises(KeyError, match="x"):
        run_funnel(crystals(IDS), [Stage("hull", hull([0.0], ["x"]))])
