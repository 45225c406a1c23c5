"""How rows are shared out on chunks, and what pairs cost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.chunks import Cost, cut, plan, shared_out
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.model.saved_bytes import KeptBytes
from aiida_pet.testing.models import tiny_pet

SIZES = np.array([2, 8, 1, 4, 4, 6])
WIDTHS = np.array([10.0, 30.0, 12.0, 50.0, 31.0, 9.0])


def costs(pieces, per_row):
    return [SIZES[piece].sum() * (WIDTHS[piece].max() + 1) + per_row[piece].sum() for piece in pieces]


@pytest.mark.parametrize("per_row", [np.zeros(6), SIZES * 20.0])
def test_every_row_is_in_one_piece_that_costs_no_more_than_the_limit(per_row):
    pieces = cut(SIZES, WIDTHS, per_row, 500.0)
    assert sorted(row for piece in pieces for row in piece) == list(range(6))
    assert all(cost <= 500.0 for cost in costs(pieces, per_row))
    assert WIDTHS[pieces[0]].max() == 50.0


def test_row_above_the_limit_is_a_piece_of_its_own():
    pieces = cut(SIZES, WIDTHS, np.zeros(6), 100.0)
    assert [3] in pieces
    assert [1] in pieces


def test_pairs_make_pieces_smaller():
    assert len(cut(SIZES, WIDTHS, SIZES * 20.0, 500.0)) > len(cut(SIZES, WIDTHS, np.zeros(6), 500.0))


def test_work_is_shared_out_in_runs_of_about_equal_sums():
    work = np.array([5.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0])
    assert [share.tolist() for share in shared_out(work, 4)] == [[0], [1, 2, 3], [4, 5], [6, 7, 8]]
    assert [share.tolist() for share in shared_out(np.ones(2), 3)] == [[0], [1]]


def test_cores_get_pieces_of_equal_work_within_the_limit(alloys):
    batch = Batch.from_table(alloys(60))
    pairs = NeighborList(4.5).update(batch)
    alone = plan(batch, pairs, range(60), 3000.0, cost=Cost())
    for cores in (2, 3, 7):
        chunks = plan(batch, pairs, range(60), 3000.0, cost=Cost(), n_side_by_side=cores)
        tokens = [chunk.tokens for chunk in chunks]
        assert len(chunks) % cores == 0
        assert len(chunks) >= len(alone)
        assert max(tokens) <= 3000.0
        assert max(tokens) < 1.5 * min(tokens)
        assert sorted(torch.cat([chunk.rows for chunk in chunks]).tolist()) == list(range(60))


def test_too_little_work_is_not_shared_out(alloys):
    batch = Batch.from_table(alloys(3))
    pairs = NeighborList(4.5).update(batch)
    assert len(plan(batch, pairs, range(3), 3000.0, cost=Cost(), n_side_by_side=8)) == 1


def test_adaptive_width_and_pairs_count_in_the_plan(alloys):
    batch = Batch.from_table(alloys(10))
    pairs = NeighborList(6.0).update(batch)

    def tokens(cost: Cost) -> float:
        return sum(chunk.tokens for chunk in plan(batch, pairs, range(10), 1e9, cost=cost))

    widest = float(pairs.widths.max())
    n_atoms, n_pairs = float(batch.n_atoms.sum()), len(pairs.centers)
    assert tokens(Cost()) == n_atoms * (widest + 1)
    assert tokens(Cost(widest=20.0)) == n_atoms * 21
    assert tokens(Cost(widest=20.0, per_pair=0.25)) == n_atoms * 21 + 0.25 * n_pairs


def test_pairs_of_the_grid_cost_more_than_those_of_the_solver():
    grid, solver = (BatchedPet(tiny_pet(flavour)).cost.per_pair for flavour in ("grid", "solver"))
    # the grid keeps a number for each of 22 probes of a pair, the solver for one
    assert 0 < 5 * solver < grid < 1


def test_kept_bytes_are_those_of_what_autograd_keeps():
    x, known = torch.ones(100, dtype=torch.float64, requires_grad=True), torch.ones(100, dtype=torch.float64)
    with KeptBytes([known]) as kept:
        (x.exp() * known).sum()  # exp keeps its result, the product keeps `known`, which does not count
    assert kept.total == 100 * 8
    with KeptBytes() as kept:
        (x.exp() * known).sum()
    assert kept.total == 2 * 100 * 8
