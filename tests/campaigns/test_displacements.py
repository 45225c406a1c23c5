"""Counts of a launch of conductivities, against the displacements themselves."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from aiida_pet.campaigns.displacements import MOST_COUNTED, count_displacements
from aiida_pet.crystals.conductivity.cells import displaced_supercells, make_phono3py
from aiida_pet.tables.crystals import StructureTable
from support.third_order import cells_of

SMALL = {"fc2_supercell": (3, 3, 3), "fc3_supercell": (2, 2, 2), "opposites": "auto"}


def test_counts_are_those_of_phono3py():
    atoms = bulk("MgO", "rocksalt", a=4.2)
    found = count_displacements(StructureTable.from_ase([("a", atoms)]), SMALL)
    two, three = (n * np.eye(3, dtype=int) for n in (2, 3))
    hand = displaced_supercells(make_phono3py(cells_of(atoms, two, three)), distance=0.03)
    assert (found.displacements, found.atoms) == (hand.n_displacements, hand.n_atoms)
    assert (found.largest_id, found.metals, found.failed) == ("a", [], {})


def test_a_sample_stands_for_many_and_slabs_count_nothing():
    slab = bulk("Cu")
    slab.pbc = (True, True, False)
    rows = [(f"{place:02d}", bulk("Cu")) for place in range(MOST_COUNTED + 10)] + [("slab", slab)]
    small = SMALL | {"fc2_supercell": (1, 1, 1), "fc3_supercell": (1, 1, 1)}
    one = count_displacements(StructureTable.from_ase(rows[:1]), small)
    many = count_displacements(StructureTable.from_ase(rows), small)
    assert (many.counted, many.n_rows) == (MOST_COUNTED, MOST_COUNTED + 10)
    assert many.displacements == (MOST_COUNTED + 10) * one.displacements
    assert "about (counted for 20 of 30)" in many.told
    assert not many.too_much
