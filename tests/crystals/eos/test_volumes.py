"""Crystals at other volumes against ASE's own scaling."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.crystals.eos.volumes import at_volumes, volume_ratios
from aiida_pet.tables.crystals import StructureTable


def test_volumes_are_evenly_spaced_in_length():
    np.testing.assert_allclose(np.cbrt(volume_ratios(5, 0.04)), [0.96, 0.98, 1.0, 1.02, 1.04])
    for count, strain in ((1, 0.1), (5, 0.0), (5, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            volume_ratios(count, strain)


def test_crystals_are_scaled_as_ase_does():
    atoms = bulk("ZnO", "wurtzite", a=3.25, c=5.2, u=0.38)
    rows = at_volumes(StructureTable.from_ase({"ZnO": atoms}.items()), [0.9, 1.1])
    for row, ratio in enumerate((0.9, 1.1)):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * np.cbrt(ratio), scale_atoms=True)
        np.testing.assert_allclose(rows.ase_at(row).positions, scaled.positions, atol=1e-12)
        assert rows.ase_at(row).get_volume() == pytest.approx(ratio * atoms.get_volume())
        assert rows.ase_at(row).get_chemical_symbols() == atoms.get_chemical_symbols()
