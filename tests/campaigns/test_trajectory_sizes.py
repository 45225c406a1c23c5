from __future__ import annotations

import ase.build
import numpy as np
import pytest

from aiida_pet.campaigns.trajectory_sizes import size_dynamics
from aiida_pet.job.trajectory_files import FILE_BYTES, HEADER_BYTES
from aiida_pet.tables.crystals import StructureTable

TABLE = StructureTable.from_ase({"a": ase.build.bulk("W"), "b": ase.build.bulk("W", cubic=True)}.items())


def test_evaluations_frames_and_bytes_are_counted():
    raw = {"steps": 100, "equilibration_steps": 20, "frames_every": 50}
    cost = size_dynamics(TABLE, raw)
    assert cost.evaluations == 2 * 121
    assert cost.frames == 2 * 3  # steps 0, 50 and 100
    assert cost.n_bytes == 3 * (12 + 112) + 3 * (24 + 112) + 2 * HEADER_BYTES + FILE_BYTES
    assert not cost.too_much
    assert size_dynamics(TABLE, raw | {"frames_every": 0}).n_bytes == 0
    assert "no trajectory" in size_dynamics(TABLE, raw | {"frames_every": 0}).told
    inner = size_dynamics(TABLE, raw | {"respa": {"every": 8}})
    assert inner.evaluations == 2 * (121 + 120 * 8 + 1)


def test_steps_of_rows_count_and_much_is_too_much():
    table = StructureTable.from_ase({"a": ase.build.bulk("W") * (5, 5, 5)}.items())
    table.columns["md_steps"] = np.array([2e7])
    cost = size_dynamics(table, {"frames_every": 1, "equilibration_steps": 0})
    assert cost.frames == 20_000_001
    assert cost.too_much
    assert (
        cost.told
        == "the model 20,000,001 times; 20,000,001 frames of trajectories take at most 32.3 GB on disk"
    )
    assert cost.n_bytes == pytest.approx(32.25e9, rel=1e-3)


def test_small_cells_are_told_of_once_per_launch():
    (note,) = size_dynamics(TABLE, {}).notes
    assert note.startswith("the cells of 2 of 2 crystals (a b) are shorter than 8 A: ")
    big = {"big": ase.build.bulk("W", cubic=True) * (3, 3, 3), "small": ase.build.bulk("W")}
    (note,) = size_dynamics(StructureTable.from_ase(big.items()), {"frames_every": 0}).notes
    assert "of 1 of 2 crystals (small)" in note
    assert size_dynamics(StructureTable.from_ase([("big", big["big"])]), {}).notes == ()
