"""Empty layers of slabs and molecules in boxes, and of crystals."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, graphene_nanoribbon, molecule

from aiida_pet.crystals.gaps import LARGEST_GAP, gap_of
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned, codes_in
from aiida_pet.testing.models import tiny_pet


def gap(atoms: Atoms) -> float:
    return gap_of(atoms.cell[:], atoms.positions)


def slab(*, pbc: bool | list[bool]) -> Atoms:
    atoms = bulk("W", a=3.2, cubic=True) * (1, 1, 2)
    atoms.center(vacuum=6.0, axis=2)
    atoms.pbc = pbc
    return atoms


def test_gaps_of_slabs_and_of_crystals():
    assert gap(fcc111("Cu", (1, 1, 3), vacuum=6.0, periodic=True)) > LARGEST_GAP
    assert gap(graphene_nanoribbon(2, 2, vacuum=6.0)) > LARGEST_GAP
    oxygen = molecule("O2", cell=[10.0, 10.0, 10.0], pbc=True)
    assert gap(oxygen) == pytest.approx(10.0)
    assert gap(bulk("Cu")) < 3.0
    assert gap(bulk("C", "hcp", a=2.46, c=6.7)) < 4.0  # layers as far apart as in graphite


def test_cells_that_are_periodic_through_their_vacuum_are_told():
    given = {
        "crystal": bulk("W", a=3.2),
        "slab": slab(pbc=True),
        "slab as such": slab(pbc=[True, True, False]),
        "far apart": Atoms("W2", positions=np.diag([0.0, 0.0, 10.4])[1:], cell=[12.0] * 3, pbc=True),
    }
    table = StructureTable.from_ase(given.items())
    finished: list[StructureTable] = []
    parameters = parse_parameters(Task.STATIC, {})
    assert Static(table, BatchedPet(tiny_pet()), parameters, finished=finished.append).run()
    found = StructureTable.concatenate(finished).select(table.ids).columns["warnings"].tolist()
    assert [Warned.VACUUM in codes_in(text) for text in found] == [False, True, False, True]
