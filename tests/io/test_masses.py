"""Masses of isotopes, which no set keeps, are told wherever crystals come from."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.io.from_python import table_of_crystals
from aiida_pet.io.masses import MASSES_NOTE, are_natural
from aiida_pet.io.readers import read_structures


def oxide(magnesium: float | None) -> Atoms:
    atoms = bulk("MgO", "rocksalt", a=4.2)
    if magnesium is not None:
        atoms.set_masses([magnesium, atoms.get_masses()[1]])
    return atoms


@pytest.mark.parametrize(("magnesium", "is_told"), [(None, False), (24.0, True), (30.0, True)])
def test_masses_of_a_phonopy_yaml_are_told(tmp_path: Path, magnesium: float | None, is_told: bool):
    atoms = oxide(magnesium)
    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=None if magnesium is None else atoms.get_masses(),
    )
    Phonopy(cell, 2 * np.eye(3), primitive_matrix=np.eye(3)).save(tmp_path / "phonopy.yaml")
    summary = read_structures([tmp_path / "phonopy.yaml"]).summary()
    assert (f"{MASSES_NOTE}: 1 crystal" in summary) == is_told


@pytest.mark.usefixtures("aiida_profile_clean")
def test_masses_of_crystals_in_python_are_warned_of():
    for one in (oxide(30.0), orm.StructureData(ase=oxide(30.0))):
        with pytest.warns(UserWarning, match="masses are not kept"):
            table_of_crystals({"a": one})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        table_of_crystals({"a": oxide(None), "b": orm.StructureData(ase=oxide(None))})


def test_natural_masses_of_several_tables_are_alike():
    numbers = np.array([30, 3, 14])
    assert are_natural([65.409, 6.941, 28.0855], numbers)
    assert not are_natural([65.409, 6.015, 28.0855], numbers)
    assert are_natural([np.nan] * 3, numbers)
