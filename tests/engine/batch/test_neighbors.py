"""Neighbour lists with a skin against ASE's, on small skewed cells, slabs and molecules, standing and moving."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.tables.crystals import StructureTable

CUTOFF = 4.5


def pairs_within_cutoff(batch: Batch, pairs) -> set[tuple[int, ...]]:
    shift = torch.einsum("pi,pij->pj", pairs.shifts.double(), batch.cells[batch.row_of_atom[pairs.centers]])
    vector = batch.positions[pairs.neighbors] - batch.positions[pairs.centers] + shift
    distance = torch.linalg.vector_norm(vector, dim=1)
    near = distance < CUTOFF
    table = torch.cat([pairs.centers[near, None], pairs.neighbors[near, None], pairs.shifts[near]], dim=1)
    rows = [tuple(row) for row in table.tolist()]
    assert len(set(rows)) == len(rows)
    return set(rows)


def ase_pairs(table: StructureTable) -> set[tuple[int, ...]]:
    found = set()
    for row, atoms in enumerate(table.iter_ase()):
        i, j, shift = neighbor_list("ijS", atoms, CUTOFF)
        first = int(table.offsets[row])
        found |= {(int(a) + first, int(b) + first, *map(int, s)) for a, b, s in zip(i, j, shift, strict=True)}
    return found


def structures() -> StructureTable:
    rng = np.random.default_rng(1)
    skewed = ase.build.bulk("W")
    skewed.set_cell([[3.1, 0, 0], [9.0, 2.6, 0], [-5.0, 4.0, 3.3]])
    tiny = Atoms("Mo", cell=np.eye(3) * 1.4, pbc=True)
    slab = ase.build.bcc110("Mo", (1, 2, 3), vacuum=6)
    molecule = Atoms("MoWNb", [[0, 0, 0], [2.3, 0, 0], [0, 2.2, 0.3]])
    big = ase.build.bulk("Ta", cubic=True) * (4, 4, 4)
    big.rattle(0.1, rng=rng)
    outside = ase.build.bulk("Nb", cubic=True)
    outside.positions += 50.0
    rows = {
        "skewed": skewed,
        "tiny": tiny,
        "slab": slab,
        "molecule": molecule,
        "big": big,
        "outside": outside,
    }
    return StructureTable.from_ase(rows.items())


def test_pairs_equal_ase():
    table = structures()
    batch = Batch.from_table(table)
    assert pairs_within_cutoff(batch, NeighborList(CUTOFF).update(batch)) == ase_pairs(table)


def strained(table: StructureTable, strain: np.ndarray) -> None:
    """Deform each row of ``table`` with its atoms: strain (N, 3, 3) or (3, 3)."""
    deformation = np.broadcast_to(np.eye(3) + strain, table.cells.shape)
    rows = np.repeat(np.arange(len(table)), table.n_atoms)
    table.cells = table.cells @ deformation
    table.positions = np.einsum("ai,aij->aj", table.positions, deformation[rows])


@pytest.mark.parametrize("skin", [0.0, 0.3, 1.0])
def test_pairs_stay_complete_on_a_random_walk(skin):
    rng = np.random.default_rng(2)
    table = structures()
    neighbors = NeighborList(CUTOFF, skin)
    for _ in range(12):
        batch = Batch.from_table(table)
        assert pairs_within_cutoff(batch, neighbors.update(batch)) == ase_pairs(table)
        strained(table, rng.normal(scale=0.01, size=(len(table), 3, 3)))
        table.positions = table.positions + rng.normal(scale=0.03, size=table.positions.shape)
    assert neighbors.builds == 12 * len(table) if skin == 0.0 else neighbors.builds < 12 * len(table)


@pytest.mark.parametrize("strain", [-0.06, 0.06])
def test_pairs_stay_complete_while_cells_shrink_and_grow(strain):
    table = structures().take([0, 2, 5])
    neighbors = NeighborList(CUTOFF)
    for _ in range(8):
        batch = Batch.from_table(table)
        assert pairs_within_cutoff(batch, neighbors.update(batch)) == ase_pairs(table)
        strained(table, strain * np.eye(3))
    assert neighbors.builds > len(table)


def test_strain_and_displacement_together_use_up_the_skin():
    table = structures().take([5])
    cutoff, skin, share = CUTOFF, 0.5, 0.49
    displacement = np.array([share * skin / 2, 0.0, 0.0])
    strain = share * skin / (cutoff + skin) * np.diag([-1.0, 0.0, 0.0])

    def builds_after(*, displaced: float, deformed: float) -> int:
        moving, neighbors = table.take([0]), NeighborList(cutoff, skin)
        neighbors.update(Batch.from_table(moving))
        strained(moving, deformed * strain)
        moving.positions[0] += displaced * displacement
        batch = Batch.from_table(moving)
        assert pairs_within_cutoff(batch, neighbors.update(batch)) == ase_pairs(moving)
        return neighbors.builds

    assert builds_after(displaced=1, deformed=1) == 1
    assert builds_after(displaced=2, deformed=0) == 1
    assert builds_after(displaced=0, deformed=2) == 1
    assert builds_after(displaced=2, deformed=1) == 2
    assert builds_after(displaced=1, deformed=2) == 2


def test_skin_saves_builds_and_only_rows_that_moved_are_rebuilt():
    table = structures()
    neighbors = NeighborList(CUTOFF, 0.5)
    neighbors.update(Batch.from_table(table))
    assert neighbors.builds == len(table)
    table.positions = table.positions + 0.05
    neighbors.update(Batch.from_table(table))
    assert neighbors.builds == len(table)
    table.positions[table.offsets[4]] += 1.0
    neighbors.update(Batch.from_table(table))
    assert neighbors.builds == len(table) + 1


def test_rebuilding_a_row_leaves_the_others_as_they_were():
    table = structures()
    neighbors = NeighborList(CUTOFF)
    before = neighbors.update(Batch.from_table(table))
    assert neighbors.update(Batch.from_table(table)) is before
    table.positions[table.offsets[2]] += 0.8
    batch = Batch.from_table(table)
    after = neighbors.update(batch)
    assert neighbors.builds == len(table) + 1
    others = torch.tensor([0, 1, 3, 4, 5])
    for name in ("centers", "neighbors", "shifts", "counts", "widths"):
        assert torch.equal(
            getattr(before.take(others, batch), name), getattr(after.take(others, batch), name)
        )


def test_rows_leave_and_enter_while_they_move():
    rng = np.random.default_rng(3)
    pool = structures()
    flying = [0, 1, 2]
    waiting = [3, 4, 5]
    table = pool.take(flying)
    neighbors = NeighborList(CUTOFF)
    for _ in range(6):
        batch = Batch.from_table(table)
        assert pairs_within_cutoff(batch, neighbors.update(batch)) == ase_pairs(table)
        kept = rng.permutation(len(table))[:2]
        neighbors.keep(batch, torch.from_numpy(kept))
        entering = pool.take([waiting.pop(0)]) if waiting else pool.take([int(rng.integers(6))])
        entering.ids = [f"{entering.ids[0]}-{rng.integers(1 << 30)}"]
        neighbors.append(Batch.from_table(entering))
        table = StructureTable.concatenate([table.take(kept.tolist()), entering])
        table.positions = table.positions + rng.normal(scale=0.05, size=table.positions.shape)


@pytest.mark.parametrize(("cutoff", "skin"), [(0.0, 0.5), (4.5, -0.1)])
def test_senseless_ranges_are_refused(cutoff, skin):
    with pytest.raises(ValueError, match="cutoff must be positive and skin not negative"):
        NeighborList(cutoff, skin)


def test_pairs_of_taken_rows_equal_those_of_a_batch_of_them():
    table = structures()
    batch = Batch.from_table(table)
    pairs = NeighborList(CUTOFF).update(batch)
    rows = [4, 1, 1, 3]
    taken = pairs.take(torch.tensor(rows), batch)
    alone = NeighborList(CUTOFF).update(batch.take(torch.tensor(rows)))
    for name in ("centers", "neighbors", "shifts", "counts"):
        assert torch.equal(getattr(taken, name), getattr(alone, name)), name


def test_pairs_are_sorted_by_row_and_counted():
    batch = Batch.from_table(structures())
    pairs = NeighborList(CUTOFF).update(batch)
    row = batch.row_of_atom[pairs.centers]
    assert torch.equal(row, torch.repeat_interleave(torch.arange(len(batch)), pairs.counts))


def test_widths_are_the_largest_of_any_atom_within_the_cutoff_at_the_last_build():
    table = structures()
    neighbors = NeighborList(CUTOFF)
    counts = neighbors.update(Batch.from_table(table)).widths.tolist()
    assert counts == [np.bincount(neighbor_list("i", atoms, CUTOFF)).max() for atoms in table.iter_ase()]
    table.cells[1] *= 0.999  # within the skin: no build, so no new count
    table.positions[table.offsets[3] : table.offsets[4]] *= 10.0
    assert neighbors.update(Batch.from_table(table)).widths.tolist() == [*counts[:3], 0, *counts[4:]]


@pytest.mark.parametrize("broken", ["positions", "cells"])
def test_row_that_is_not_a_number_has_no_pairs_and_harms_no_other(broken):
    table = structures()
    good = ase_pairs(table)
    first, last = table.offsets[2], table.offsets[3]
    good = {pair for pair in good if not first <= pair[0] < last}
    batch = Batch.from_table(table)
    bad = Batch.from_table(table)
    getattr(bad, broken)[int(first) if broken == "positions" else 2] = torch.nan
    standing = NeighborList(CUTOFF)
    standing.update(batch)
    for neighbors in (standing, NeighborList(CUTOFF)):
        pairs = neighbors.update(bad)
        assert pairs_within_cutoff(bad, pairs) == good
        assert int(pairs.counts[2]) == int(pairs.widths[2]) == 0
        assert pairs_within_cutoff(batch, neighbors.update(batch)) == ase_pairs(table)


def test_flat_cell_that_deforms_is_rebuilt():
    slab = Atoms("Mo", cell=[[3.0, 0, 0], [0, 3.0, 0], [0, 0, 0]], pbc=[True, True, False])
    table = StructureTable.from_ase([("slab", slab)])
    neighbors = NeighborList(CUTOFF)
    neighbors.update(Batch.from_table(table))
    table.cells *= 0.7
    batch = Batch.from_table(table)
    assert pairs_within_cutoff(batch, neighbors.update(batch)) == ase_pairs(table)


def closest_by_ase(table: StructureTable) -> np.ndarray:
    return np.array([neighbor_list("d", atoms, 8.0).min(initial=np.inf) for atoms in table.iter_ase()])


def test_bounds_of_distances_hold_on_a_walk_and_are_exact_at_rest():
    table, rng = structures(), np.random.default_rng(4)
    neighbors = NeighborList(CUTOFF)
    batch = Batch.from_table(table)
    assert neighbors.distances_at_least(batch).tolist() == [-np.inf] * len(table)
    neighbors.update(batch)
    np.testing.assert_allclose(neighbors.distances_at_least(batch), closest_by_ase(table), atol=1e-12)
    fell_short = 0.0
    for _ in range(10):
        strained(table, rng.normal(0, 0.01, (3, 3)))
        table.positions[:] += rng.normal(0, 0.05, table.positions.shape)
        batch = Batch.from_table(table)
        bounds, closest = neighbors.distances_at_least(batch).numpy(), closest_by_ase(table)
        assert (bounds <= closest + 1e-12).all()
        fell_short = max(fell_short, float((closest - bounds).max()))
        neighbors.update(batch)
    assert fell_short > 0.1


def test_nothing_is_known_of_a_flat_cell_that_deforms():
    slab = Atoms("Mo", cell=[[3.0, 0, 0], [0, 3.0, 0], [0, 0, 0]], pbc=[True, True, False])
    table = StructureTable.from_ase([("slab", slab)])
    neighbors = NeighborList(CUTOFF)
    neighbors.update(Batch.from_table(table))
    assert float(neighbors.distances_at_least(Batch.from_table(table))) == 3.0
    table.cells *= 0.7
    assert np.isnan(float(neighbors.distances_at_least(Batch.from_table(table))))
