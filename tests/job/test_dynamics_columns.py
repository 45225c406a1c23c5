"""Columns of the input that dynamics reads: what each may hold, and what is said of what it may not."""

from __future__ import annotations

from typing import Any

import ase.build
import numpy as np
import pytest

from aiida_pet.campaigns.plans import refused_rows
from aiida_pet.campaigns.trajectory_sizes import size_dynamics
from aiida_pet.job.dynamics_columns import RowParameters, given_velocities
from aiida_pet.tables.crystals import StructureTable


def table_of(n_rows: int, **columns: Any) -> StructureTable:
    atoms = ase.build.bulk("Al", cubic=True)
    table = StructureTable.from_ase([(f"row {row}", atoms) for row in range(n_rows)])
    table.columns.update({name: np.asarray(values) for name, values in columns.items()})
    return table


def told(table: StructureTable) -> dict[str, str]:
    """Return id -> what a dry run says of the row."""
    return {name: why for why, ids in refused_rows("md", table, {}).items() for name in ids}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("md_steps", 10.5, "md_steps = 10.5: expected a whole number >= 1"),
        ("md_steps", 0, "md_steps = 0: expected a whole number >= 1"),
        ("md_steps", np.inf, "md_steps = inf: expected a whole finite number"),
        ("md_steps", 1e300, "md_steps = 1e+300: expected a whole number"),
        ("md_seed", 1.5, "md_seed = 1.5: expected a whole number >= 0"),
        ("md_seed", -1, "md_seed = -1: expected a whole number >= 0"),
        ("md_temperature", 0.0, "md_temperature = 0.0 K: expected a number > 0"),
        ("md_temperature", np.inf, "md_temperature = inf K: expected a finite number > 0"),
        ("md_timestep", -1.0, "md_timestep = -1.0 fs: expected a number > 0"),
        ("md_pressure", -np.inf, "md_pressure = -inf GPa: expected a finite number"),
        ("md_temperature", "hot", "md_temperature = 'hot' K: expected a number > 0"),
        ("md_temperature", True, "md_temperature = 'True' K: expected a number > 0"),
        ("md_steps", True, "md_steps = 'True': expected a whole number >= 1"),
        ("md_pressure", False, "md_pressure = 'False' GPa: expected a number"),
        ("md_steps", [1, 2, 3], "md_steps has 3 values per row: expected one"),
    ],
)
def test_what_is_no_parameter_is_refused_before_anything_runs(column, value, said):
    table = table_of(1, **{column: [value]})
    assert told(table)["row 0"].startswith(said)
    assert np.isnan(RowParameters.of(table).values[column.removeprefix("md_")]).all()
    size_dynamics(table, {})  # counts the row as if it had the parameter


def test_what_is_a_parameter_is_taken():
    table = table_of(
        3,
        md_steps=[10.0, np.nan, 5.0],
        md_seed=[0, 1, 2**53 - 10**15],
        md_pressure=[-2.5, 0.0, np.nan],
        md_temperature=["300", "", "nan"],
    )
    found = RowParameters.of(table)
    assert not found.faults
    assert not told(table)
    np.testing.assert_array_equal(found.values["steps"], [10, np.nan, 5])
    np.testing.assert_array_equal(found.values["seed"], [0, 1, 2**53 - 10**15])
    np.testing.assert_array_equal(found.values["pressure"], [-2.5, 0.0, np.nan])
    np.testing.assert_array_equal(found.values["temperature"], [300.0, np.nan, np.nan])
    np.testing.assert_array_equal(found.values["timestep"], [np.nan] * 3)


def test_all_faults_of_a_row_are_named_and_other_rows_have_none():
    table = table_of(2, md_steps=[1.5, 1.0], md_seed=[2.5, 2.0])
    assert list(told(table)) == ["row 0"]
    assert "md_steps = 1.5" in told(table)["row 0"]
    assert "md_seed = 2.5" in told(table)["row 0"]


def test_velocities_are_of_all_atoms_or_of_none():
    table = table_of(5)
    fast = np.zeros((20, 3))
    fast[4:8] = np.nan  # row 1 draws its velocities
    fast[9:12] = np.nan  # of row 2 only the first atom has one
    fast[14, 1] = np.nan  # a component is missing
    fast[16:20] = np.inf
    table.atom_columns["velocities"] = fast
    said = told(table)
    assert list(said) == ["row 2", "row 3", "row 4"]
    assert said["row 2"].startswith(
        "velocities = nan nan nan of atom 1 (counted from 0), one of 3 of 4 atoms"
    )
    assert said["row 3"].startswith("velocities = 0 nan 0 of atom 2 ")
    assert said["row 4"].startswith("velocities = inf inf inf of atom 0 ")
    assert given_velocities(table, 0) is not None
    assert given_velocities(table, 1) is None
    table.atom_columns["velocities"] = np.zeros((20, 2))
    assert "2 values of type float64 per atom" in told(table)["row 0"]


def test_a_dry_run_knows_what_a_barostat_cannot_move():
    table = table_of(2)
    table.pbc[1] = [True, True, False]
    assert not told(table)
    assert list(refused_rows("md", table, {"ensemble": "npt"}).values()) == [["row 1"]]
