"""The order in which rows enter, and how many at once."""

from __future__ import annotations

import numpy as np
import torch
from ase.neighborlist import neighbor_list

from aiida_pet.engine.tasks.waiting import WaitingRows, neighbor_counts


def test_counts_are_those_of_ase_and_zero_for_rows_left_out(alloys):
    table = alloys(8, strain=0.05, rattle=0.1)
    rows = [0, 1, 3, 4, 5, 7]
    counts = neighbor_counts(table, 4.5, rows, torch.device("cpu"))
    for row, atoms in enumerate(table.iter_ase()):
        largest = np.bincount(neighbor_list("i", atoms, 4.5)).max()
        assert counts[row] == (largest if row in rows else 0)


def test_rows_enter_by_neighbor_count_as_long_as_they_fit():
    n_atoms, neighbors = np.array([2, 1, 4, 3]), np.array([10.0, 30.0, 20.0, 30.0])
    waiting = WaitingRows(n_atoms, neighbors, range(4))
    assert waiting.admit([], budget=4 * 31.0) == [3, 1]
    assert waiting.admit([3, 1], budget=4 * 31.0) == []
    assert waiting.admit([1], budget=5 * 31.0) == [2]  # padded to the widest in flight
    assert len(waiting) == 1
    assert waiting.admit([], budget=1.0) == [0]  # at least one


def test_equal_counts_enter_the_largest_first():
    waiting = WaitingRows(np.array([1, 5, 3]), np.full(3, 12.0), [0, 1, 2])
    assert waiting.admit([], budget=1e6) == [1, 2, 0]
