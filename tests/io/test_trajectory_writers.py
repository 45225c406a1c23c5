from __future__ import annotations

import ase.build
import ase.io
import numpy as np
import pytest

from aiida_pet.io.trajectory_writers import write_trajectory
from aiida_pet.job.trajectory_files import Frames
from aiida_pet.units import FEMTOSECOND


def frames_of(first: int, count: int) -> Frames:
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.6)
    steps = 10 * np.arange(first, first + count)
    positions = atoms.positions + 0.01 * steps[:, None, None]
    return Frames(
        atoms.numbers,
        atoms.pbc,
        {
            "steps": steps,
            "times": 0.5 * steps,
            "positions": positions.astype(np.float32),
            "velocities": np.full((count, 2, 3), 0.02, dtype=np.float32),
            "cells": np.tile(atoms.cell.array, (count, 1, 1)),
            "energies": -3.0 - steps,
            "temperatures": 300.0 + steps,
            "pressures": 0.25 * steps,
        },
    )


@pytest.mark.parametrize("suffix", [".extxyz", ".traj"])
def test_ase_reads_what_was_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert write_trajectory(iter([frames_of(0, 2), frames_of(2, 3)]), path) == 5
    found = ase.io.read(path, ":")
    assert len(found) == 5
    last = found[-1]
    assert last.info["step"] == 40
    assert last.info["time"] == 20.0
    assert last.info["pressure"] == 10.0
    assert last.get_potential_energy() == -43.0
    np.testing.assert_allclose(last.positions, frames_of(0, 5).series["positions"][4], atol=1e-6)
    velocities = last.arrays.get("velocities", last.get_velocities() * FEMTOSECOND)
    np.testing.assert_allclose(velocities, 0.02, rtol=1e-6)


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.extxyz, \.xyz, \.traj"):
        write_trajectory([frames_of(0, 1)], tmp_path / "a.cif")
