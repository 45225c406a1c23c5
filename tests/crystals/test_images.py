"""Distances between periodic images, against shells of lattices that are known."""

from __future__ import annotations

import ase
import ase.build
import pytest

from aiida_pet.crystals.images import image_distances
from aiida_pet.tables.crystals import StructureTable


def test_images_are_found_in_skewed_cells_slabs_and_molecules() -> None:
    skewed = ase.build.bulk("Ar", a=5.3, cubic=True)
    skewed.cell[2] += skewed.cell[0] * 2  # the same lattice in a long cell
    layer = ase.Atoms("W", cell=[4.0, 5.0, 2.0], pbc=[True, True, False])
    crystals = {
        "fcc": ase.build.bulk("Ar", a=5.3),
        "skewed": skewed,
        "layer": layer,
        "molecule": ase.build.molecule("H2O"),
    }
    found = image_distances(StructureTable.from_ase(crystals.items()))
    assert found.tolist() == pytest.approx([5.3 / 2**0.5, 5.3, 4.0, float("inf")])
