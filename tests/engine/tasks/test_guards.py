"""Guards against moves: distances against ASE's neighbour list, and what a row that fails is told."""

from __future__ import annotations

from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.tasks import guards
from aiida_pet.engine.tasks.guards import closest_distances, faults_of_move
from aiida_pet.tables.crystals import StructureTable

LIMITS = {"volume_ratio_max": 2.0, "min_distance": 0.5}


def batch_of(*crystals: Atoms) -> Batch:
    return Batch.from_table(StructureTable.from_ase((str(i), atoms) for i, atoms in enumerate(crystals)))


def faults(before: Batch, moved: Batch, **limits: float) -> dict[int, str]:
    neighbors = NeighborList(4.5)
    neighbors.update(before)
    return faults_of_move(moved, neighbors, before.volumes(), **LIMITS | limits)


def test_closest_distances_are_those_of_ase(alloys):
    table = alloys(12, strain=0.1, rattle=0.3)
    molecule, alone = Atoms("Mo2", [[0, 0, 0], [0, 0, 2.1]]), Atoms("Mo", [[1, 2, 3]])
    table = StructureTable.concatenate(
        [table, StructureTable.from_ase([("pair", molecule), ("alone", alone)])]
    )
    batch = Batch.from_table(table)
    found = closest_distances(batch, NeighborList(5.0).update(batch)).tolist()
    wanted = [neighbor_list("d", atoms, 5.0).min(initial=np.inf) for atoms in table.iter_ase()]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert found[-1] == np.inf


def test_move_within_bounds_is_no_fault(alloys):
    batch = Batch.from_table(alloys(5))
    assert faults(batch, batch.moved(batch.positions + 0.1, 1.02 * batch.cells)) == {}


@pytest.mark.parametrize(("factor", "ratio"), [(1.3, "2.2"), (0.75, "0.422")])
def test_volume_out_of_bounds_is_told_with_its_limit(factor, ratio):
    batch = batch_of(*[ase.build.bulk("Mo")] * 3)
    cells = batch.cells.clone()
    cells[1] *= factor
    assert faults(batch, batch.moved(batch.positions, cells)) == {
        1: f"the volume would change by a factor of {ratio}, volume_ratio_max = 2"
    }
    assert faults(batch, batch.moved(batch.positions, cells), volume_ratio_max=3.0) == {}


def test_volume_of_what_is_not_a_crystal_does_not_count():
    batch = batch_of(Atoms("Mo2", [[0, 0, 0], [0, 0, 2.1]], cell=[3, 3, 3]))
    assert faults(batch, batch.moved(batch.positions, 2 * batch.cells)) == {}


def test_atoms_that_come_too_close_are_told_with_distance_and_limit():
    batch = batch_of(ase.build.bulk("W"), ase.build.bulk("Mo", cubic=True))
    positions = batch.positions.clone()
    positions[2] = positions[1] + torch.tensor([0.3, 0.0, 0.2])
    moved = batch.moved(positions, batch.cells)
    assert faults(batch, moved) == {
        1: "two atoms would come within 0.361 A of each other, min_distance = 0.5 A"
    }
    assert faults(batch, moved, min_distance=0.36) == {}
    assert faults(batch, moved, min_distance=0.0) == {}


def test_atom_that_comes_close_to_its_own_image_is_found():
    batch = batch_of(ase.build.bulk("Mo", "sc", a=1.0))
    cells = batch.cells.clone()
    cells[0] = torch.diag(torch.tensor([0.4, 1.0, 1.6], dtype=torch.float64))
    (fault,) = faults(batch, batch.moved(batch.positions, cells)).values()
    assert "within 0.4 A" in fault


@pytest.mark.parametrize("what", ["positions", "cells"])
def test_numbers_that_are_not_finite_are_a_fault_of_their_row_only(what):
    batch = batch_of(*[ase.build.bulk("Mo", cubic=True)] * 2)
    tensors: dict[str, Any] = {"positions": batch.positions.clone(), "cells": batch.cells.clone()}
    tensors[what][1] = torch.nan
    wrong = faults(batch, batch.moved(**tensors))
    assert list(wrong) == [0 if what == "positions" else 1]


def test_distances_are_looked_at_only_where_atoms_may_be_close(monkeypatch):
    looked: list[int] = []

    def counted(batch, pairs):
        looked.append(len(batch))
        return closest_distances(batch, pairs)

    monkeypatch.setattr(guards, "closest_distances", counted)
    batch = batch_of(ase.build.bulk("W"), ase.build.bulk("Mo", cubic=True), ase.build.bulk("Ta"))
    assert faults(batch, batch.moved(batch.positions + 0.1, 1.01 * batch.cells)) == {}
    assert looked == []
    positions = batch.positions.clone()
    positions[2, 0] += 1.2  # so far that two atoms might be too close, but they are not
    assert faults(batch, batch.moved(positions, batch.cells)) == {}
    assert looked == [1]
