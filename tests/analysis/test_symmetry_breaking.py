"""Rattled crystals, and a free relaxation beside one that held the symmetry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from numpy.testing import assert_array_equal

from aiida_pet.analysis.symmetry_breaking import combine, rattle
from aiida_pet.tables.crystals import StructureTable


def crystals(ids: list[str], lattice_constant: float = 3.2, **columns: Any) -> StructureTable:
    table = StructureTable.from_ase((name, bulk("W", a=lattice_constant, cubic=True)) for name in ids)
    for name, values in columns.items():
        table.set_column(name, values)
    return table


def test_rattle_of_a_row_depends_on_its_id_and_the_seed_alone() -> None:
    table = crystals(["a", "b", "c"])
    first, alone = rattle(table, 0.02, 1), rattle(table.select(["b"]), 0.02, 1)
    assert np.array_equal(first.select(["b"]).positions, alone.positions)
    assert np.array_equal(first.select(["b"]).cells, alone.cells)
    assert not np.allclose(first.positions[first.atoms_of(0)], first.positions[first.atoms_of(1)])
    assert not np.allclose(rattle(table, 0.02, 2).positions, first.positions)


def test_rattle_has_the_deviation_asked_for_and_no_rotation() -> None:
    table = StructureTable.from_ase([("big", bulk("W", a=3.2, cubic=True).repeat(8))])
    moved = rattle(table, 0.03, 0)
    deformation = np.linalg.solve(table.cells[0], moved.cells[0])
    assert deformation == pytest.approx(deformation.T, abs=1e-12)
    left = moved.positions - table.positions @ deformation
    assert left.std() == pytest.approx(0.03, rel=0.05)
    strains = [rattle(crystals([str(seed)]), 0.03, seed) for seed in range(200)]
    diagonal = [np.diag(np.linalg.solve(crystals(["x"]).cells[0], moved.cells[0])) - 1 for moved in strains]
    assert np.std(diagonal) == pytest.approx(0.03 / (3.2**3 / 2) ** (1 / 3), rel=0.1)


def test_a_free_relaxation_stands_where_it_gains_and_converged() -> None:
    ids = ["gains", "noise", "fails", "missing", "higher"]
    constrained = crystals(
        ids,
        status=["converged"] * 5,
        energy=[-10.0] * 5,
        spacegroup_0_01=[229] * 5,
        symmetry_warning=[""] * 5,
    )
    free = crystals(
        ["higher", "fails", "noise", "gains"],
        3.0,
        status=["converged", "max_steps", "converged", "converged"],
        energy=[-9.0, -11.0, -10.001, -10.2],
        spacegroup_0_01=[1, 1, 1, 194],
        symmetry_warning=["x"] * 4,
    )
    table = combine(constrained, free, min_gain=0.001)
    assert table.ids.tolist() == ids
    assert table.columns["relaxation"].tolist() == ["free"] + ["constrained"] * 4
    # two atoms
    assert table.columns["energy_gained"].tolist() == pytest.approx(
        [0.1, 0.0005, 0.5, np.nan, -0.5], nan_ok=True
    )
    assert table.units["energy_gained"] == "eV/atom"
    assert table.columns["energy"].tolist() == [-10.2, -10.0, -10.0, -10.0, -10.0]
    assert table.columns["free_status"].tolist() == ["converged", "converged", "max_steps", "", "converged"]
    assert table.columns["spacegroup_0_01"].tolist() == [194, 229, 229, 229, 229]
    assert table.columns["constrained_spacegroup_0_01"].tolist() == [229] * 5
    assert_array_equal(
        table.columns["free_spacegroup_0_01"], [194, 1, 1, np.nan, 1]
    )  # the fourth was not freed
    assert table.volumes() == pytest.approx([27.0] + [3.2**3] * 4)
    # a larger bar keeps the symmetric one
    assert combine(constrained, free, min_gain=0.2).columns["relaxation"].tolist() == ["constrained"] * 5
