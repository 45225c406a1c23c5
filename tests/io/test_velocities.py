"""Velocities that files bring reach the column that molecular dynamics reads, in its unit."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import fs

from aiida_pet.io.from_python import table_of_crystals
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.readers import read_structures
from aiida_pet.io.velocities import NOTE, with_velocities
from aiida_pet.job.dynamics_columns import faults_of_velocities, given_velocities

PER_FS = np.array([[0.01, -0.02, 0.003], [0.0, 0.004, -0.01]])


def moving(masses: tuple[float, float] | None = None) -> Atoms:
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    if masses is not None:
        atoms.set_masses(masses)
    atoms.set_velocities(PER_FS / fs)
    return atoms


@pytest.mark.parametrize("name", ["one.extxyz", "one.db", "one.json"])
@pytest.mark.parametrize("masses", [None, (22.0, 37.0)])
def test_momenta_of_ase_become_velocities(tmp_path: Path, name: str, masses: tuple[float, float] | None):
    still = bulk("NaCl", "rocksalt", a=5.6)
    still.set_momenta(np.zeros((2, 3)))
    if masses is not None:
        still.set_masses(masses)
    ase.io.write(tmp_path / name, [moving(masses), still])
    result = read_structures([tmp_path / name])
    np.testing.assert_allclose(result.table.atom_columns["velocities"][:2], PER_FS, rtol=1e-6)
    assert result.table.units["velocities"] == "A/fs"
    assert given_velocities(result.table, 1) is None  # zeros are written where nothing moves
    assert not faults_of_velocities(result.table)
    assert f"{NOTE}: 1 crystal" in result.summary()


def test_velocities_of_extended_xyz_are_in_angstrom_per_femtosecond(tmp_path: Path):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.arrays["velocities"] = PER_FS
    ase.io.write(tmp_path / "one.extxyz", atoms)
    table = read_structures([tmp_path / "one.extxyz"]).table
    np.testing.assert_allclose(table.atom_columns["velocities"], PER_FS)


def test_velocities_of_atoms_in_python_are_kept():
    table = table_of_crystals({"moving": moving((20.0, 40.0)), "other": bulk("NaCl", "rocksalt", a=5.6)})
    np.testing.assert_allclose(given_velocities(table, 0), PER_FS)
    assert given_velocities(table, 1) is None
    assert table.units["velocities"] == "A/fs"


def test_arrays_of_another_shape_are_left_to_others():
    left_out = LeftOut()
    numbers = np.array([11, 17])
    arrays = {"velocities": np.ones(2), "momenta": np.ones((2, 2))}
    assert with_velocities(arrays, numbers, left_out).keys() == arrays.keys()
    assert not left_out.notes
