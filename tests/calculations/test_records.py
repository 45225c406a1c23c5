"""What a lane writes down of rows that ended their jobs."""

from __future__ import annotations

from typing import Any

import numpy as np
from aiida import orm
from ase.build import bulk

from aiida_pet.calculations.records import record_given_up
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import Task
from aiida_pet.job.input_columns import read_by
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fingerprints import fingerprints_of
from aiida_pet.tables.ragged import Ragged


def test_rows_given_up_keep_what_they_were_given_and_no_other_column(aiida_profile: Any) -> None:
    table = StructureTable.from_ase((name, bulk("W", cubic=True)) for name in "abc")
    table.set_column("energy", [1.0, 2.0, 3.0], "eV")
    table.set_column("dielectric_tensor", np.tile(np.eye(3), (3, 1, 1)))
    table.atom_columns["forces"] = np.zeros((6, 3))
    table.atom_columns["fixed_scaled"] = np.ones((6, 3), bool)
    table.ragged["force_constants"] = Ragged.of([np.zeros((4, 3, 3))] * 3)
    reasons = orm.Dict({"reasons": {"b": "killed"}, "task": "phonons"})
    made = record_given_up(structures=StructureSetData.from_table(table).store(), reasons=reasons)
    assert made.ids.tolist() == ["b"]
    assert set(made.column_names) == {"dielectric_tensor", "status", "message"}
    assert set(made.to_table().atom_columns) == {"fixed_scaled"}
    assert made.ragged_names == []
    assert np.array_equal(made.fingerprints(), fingerprints_of(table, read_by(Task.PHONONS))[[1]])
