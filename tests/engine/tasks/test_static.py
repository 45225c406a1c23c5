"""How often neighbours are looked for when crystals are evaluated once, and that it changes no number."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.tasks import driver as drivers
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_pet


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The rows whose neighbours were counted before they entered, one list for each driver."""
    calls: list[list[int]] = []
    count = drivers.neighbor_counts

    def counting(table: StructureTable, cutoff: float, rows: list[int], device: torch.device) -> np.ndarray:
        calls.append(list(rows))
        return count(table, cutoff, rows, device)

    monkeypatch.setattr(drivers, "neighbor_counts", counting)
    return calls


def evaluated(table: StructureTable, stand_in: np.ndarray | None = None) -> tuple[StructureTable, Static]:
    finished: list[StructureTable] = []
    driver = Static(
        table,
        BatchedPet(tiny_pet()),
        parse_parameters(Task.STATIC, {}),
        finished=finished.append,
        stand_in=stand_in,
    )
    assert driver.run()
    return StructureTable.concatenate(finished).select(table.ids), driver


def test_neighbours_of_a_row_are_counted_once_for_all_that_it_stands_for(alloys, counted):
    table = alloys(6, strain=0.05, rattle=0.1)
    alone, _ = evaluated(table)
    together, _ = evaluated(table, np.array([0, 0, 0, 3, 3, 3]))
    assert counted == [[0, 1, 2, 3, 4, 5], [0, 3]]
    np.testing.assert_allclose(together.columns["energy"], alone.columns["energy"], rtol=1e-12)
    np.testing.assert_allclose(together.atom_columns["forces"], alone.atom_columns["forces"], atol=1e-12)


def test_pairs_are_looked_for_once_and_those_within_the_skin_change_nothing(alloys):
    table = alloys(6, strain=0.05, rattle=0.1)
    found, driver = evaluated(table)
    assert driver._neighbors.builds == len(table)
    model, batch = BatchedPet(tiny_pet()), Batch.from_table(table)
    few, many = (
        NeighborList(model.cutoff, skin).update(batch) for skin in (Static.SKIN, drivers.Driver.SKIN)
    )
    assert len(few.centers) < len(many.centers)
    expected = model.evaluate(batch, many)
    np.testing.assert_allclose(found.columns["energy"], expected.energy.detach(), rtol=1e-12)
    np.testing.assert_allclose(found.atom_columns["forces"], expected.forces.detach(), atol=1e-12)
