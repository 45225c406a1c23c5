"""Pairs of a whole batch against ASE's neighbour list: cutoffs of many cells, skewed cells, any periodicity."""

from __future__ import annotations

from collections.abc import Callable

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_pet.engine.batch import pair_search
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.pair_search import (
    FoundPairs,
    find_pairs,
    search_images,
    search_with_vesin,
    why_not_searched,
)
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable

Search = Callable[[Batch, float], FoundPairs]
both = pytest.mark.parametrize("search", [search_with_vesin, search_images])


def batch_of(*crystals: Atoms) -> Batch:
    return Batch.from_table(StructureTable.from_ase((f"row-{i}", atoms) for i, atoms in enumerate(crystals)))


def pairs_of_row(batch: Batch, found: FoundPairs, row: int) -> dict[tuple[int, ...], float]:
    """Return the distance of each pair, atoms counted in the row."""
    mine = batch.row_of_atom[found.centers] == row
    first = int(batch.n_atoms[:row].sum())
    atoms = torch.stack([found.centers, found.neighbors], dim=1)[mine] - first
    keys = [tuple(key) for key in torch.cat([atoms, found.shifts[mine]], dim=1).tolist()]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, found.distances[mine].tolist(), strict=True))


def pairs_of_ase(atoms: Atoms, cutoff: float) -> dict[tuple[int, ...], float]:
    i, j, shifts, distances = neighbor_list("ijSd", atoms, cutoff)
    keys = [(int(a), int(b), *map(int, s)) for a, b, s in zip(i, j, shifts, strict=True)]
    return dict(zip(keys, distances.tolist(), strict=True))


def assert_equals_ase(search: Search, crystals: list[Atoms], cutoff: float) -> None:
    batch = batch_of(*crystals)
    found = search(batch, cutoff)
    assert (batch.row_of_atom[found.centers].diff() >= 0).all()
    for row, atoms in enumerate(crystals):
        mine, theirs = pairs_of_row(batch, found, row), pairs_of_ase(atoms, cutoff)
        assert mine == pytest.approx(theirs, abs=1e-9), f"row {row}"


def rattled(atoms: Atoms, seed: int) -> Atoms:
    atoms.rattle(0.2, seed=seed)
    return atoms


def all_sorts() -> list[Atoms]:
    cluster = ase.build.molecule("C60")
    in_vacuum = ase.build.bcc110("Mo", (1, 2, 3), vacuum=6)
    flat = Atoms("Mo2", [[0, 0, 0], [1.5, 1.4, 2.0]], cell=[3.0, 3.1, 0.0], pbc=[True, True, False])
    turned = Atoms("W2", [[0, 0, 0], [0.1, 2.0, 1.0]], cell=[[0, 0, 0], [1, 2, 2], [0, 0, 0]], pbc=[0, 1, 0])
    wire = Atoms("W2", [[0, 0, 0], [1, 1, 2]], cell=[[9, 0, 4], [0, 9, 4], [1, 0, 2.5]], pbc=[0, 0, 1])
    outside = ase.build.bulk("Nb", cubic=True)
    outside.positions += [[70.0, -40.0, 33.0], [-12.0, 55.0, 8.0]]
    return [
        Atoms("Mo", cell=np.eye(3) * 1.4, pbc=True),
        Atoms(
            "Mo2", [[0, 0, 0], [0.5, 1.0, 0.2]], cell=[[1.6, 0, 0], [0.9, 1.7, 0], [0.3, -0.8, 2.0]], pbc=True
        ),
        Atoms("W", cell=[[3.1, 0, 0], [9.0, 2.6, 0], [-5.0, 4.0, 3.3]], pbc=True),
        Atoms("W2", [[0, 0, 0], [1, 1, 1]], cell=[[2.9, 0, 0], [31.0, 2.7, 0], [-43.0, 25.0, 3.2]], pbc=True),
        Atoms("W", cell=-np.eye(3) * 3.0, pbc=True),  # left-handed
        in_vacuum,
        flat,
        turned,
        wire,
        cluster,
        Atoms("H"),
        outside,
        rattled(ase.build.bulk("Ta", cubic=True) * (4, 4, 4), seed=1),
    ]


@both
def test_pairs_equal_ase_for_all_sorts_of_cells_at_once(search):
    assert_equals_ase(search, all_sorts(), 4.5)


@both
def test_pairs_equal_ase_where_the_cutoff_is_many_cells_long(search):
    tiny = [Atoms("Mo", cell=np.eye(3) * 2.0, pbc=True), Atoms("W", cell=np.eye(3) * 2.3 - 0.4, pbc=True)]
    assert_equals_ase(search, [*tiny, ase.build.bulk("W")], 10.0)


@both
def test_pairs_equal_ase_for_random_cells(search):
    rng = np.random.default_rng(4)
    crystals = []
    for _ in range(40):
        size = int(rng.integers(1, 9))
        cell = rng.normal(size=(3, 3)) + 2.5 * np.eye(3)
        cell *= np.cbrt(16.0 * size / abs(np.linalg.det(cell)))
        scaled = rng.uniform(-2, 2, (size, 3))
        crystals.append(Atoms(f"W{size}", scaled_positions=scaled, cell=cell, pbc=rng.random(3) < 0.7))
    assert_equals_ase(search, crystals, 5.0)


@both
def test_shell_at_the_cutoff_leaves_all_nearer_pairs(search):
    cutoff = 3.0
    atoms = Atoms("W", cell=np.eye(3) * cutoff / 2, pbc=True)
    atoms.rotate(37.0, (1, 2, 3), rotate_cell=True)
    batch = batch_of(atoms)
    found = pairs_of_row(batch, search(batch, cutoff), 0)
    inside = {key for key, distance in found.items() if distance < cutoff - 1e-9}
    assert inside == set(pairs_of_ase(atoms, cutoff - 1e-9))
    assert len(inside) == 26  # of a simple cubic lattice below two lattice constants
    assert all(distance < cutoff + 1e-9 for distance in found.values())


@both
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_have_no_pairs_and_harm_no_other(search, value):
    crystals = [ase.build.bulk("W", cubic=True) for _ in range(4)]
    batch = batch_of(*crystals)
    batch.positions[3, 1] = value
    batch.cells[2, 0, 0] = value
    found = search(batch, 4.5)
    for row in (1, 2):
        assert not pairs_of_row(batch, found, row)
    for row in (0, 3):
        assert pairs_of_row(batch, found, row) == pytest.approx(pairs_of_ase(crystals[row], 4.5), abs=1e-9)


@both
@pytest.mark.parametrize("height", [0.0, 1e-12, 1e-5])
def test_flat_periodic_cells_have_no_pairs_and_harm_no_other(search, height):
    flat = Atoms("W", cell=[[3, 0, 0], [0, 3, 0], [3, 3, height]], pbc=True)
    crystal = ase.build.bulk("W")
    batch = batch_of(flat, crystal)
    found = search(batch, 4.5)
    assert not pairs_of_row(batch, found, 0)
    assert pairs_of_row(batch, found, 1) == pytest.approx(pairs_of_ase(crystal, 4.5), abs=1e-9)


@both
def test_batches_without_pairs_have_none(search):
    nothing = batch_of(ase.build.bulk("W"))
    nothing.positions[:] = torch.nan
    empty = nothing.take(torch.zeros(0, dtype=torch.int64))
    for batch in (nothing, empty, batch_of(Atoms("H"), Atoms("He"))):
        found = search(batch, 4.5)
        assert [tensor.shape for tensor in found] == [(0,), (0,), (0, 3), (0,), (len(batch),)]
        assert [tensor.dtype for tensor in found] == [*[torch.int64] * 3, torch.float64, torch.bool]
        assert found.searched.tolist() == [batch is not nothing] * len(batch)


def skewed(atoms: Atoms, vector: int, times: int, by: int) -> Atoms:
    """Return the same crystal in a basis whose ``vector`` has ``times`` that of ``by`` added."""
    other = atoms.copy()
    other.cell[vector] += times * other.cell[by]
    return other


@both
@pytest.mark.parametrize("times", [3_000, -3_000, 1_000_000, -100_000_000])
def test_pairs_of_skewed_bases_are_those_of_the_short_basis(search, times):
    short = [
        rattled(ase.build.bulk("W", cubic=True), seed=2),
        rattled(ase.build.bcc110("Mo", (1, 2, 3), vacuum=6), seed=3),
        Atoms("Mo2", [[0, 0, 0], [1.5, 1.4, 2.0]], cell=[3.0, 3.1, 0.0], pbc=[True, True, False]),
    ]
    short[1].pbc = [True, True, False]
    pairs_of = [(2, 0), (0, 1), (1, 0)]
    long = [skewed(atoms, a, times, b) for atoms, (a, b) in zip(short, pairs_of, strict=True)]
    batch, plain = batch_of(*long, *short), batch_of(*short)
    found, expected = search(batch, 4.5), search(plain, 4.5)
    assert found.searched.all()
    for row, (a, b) in enumerate(pairs_of):
        mine = pairs_of_row(batch, found, row)
        theirs = {}
        for (i, j, *shift), distance in pairs_of_row(plain, expected, row).items():
            shift[b] -= times * shift[a]  # the same vector, in the skewed basis
            theirs[i, j, *shift] = distance
        assert mine == pytest.approx(theirs, abs=1e-6)


@both
def test_rows_with_too_many_pairs_are_not_searched_and_say_so(search, monkeypatch):
    large, small = ase.build.bulk("W", cubic=True) * (4, 4, 4), ase.build.bulk("W")
    slab = large.copy()
    slab.pbc, slab.cell[2] = [True, True, False], [0, 0, 0]
    batch = batch_of(large, small, slab)
    monkeypatch.setattr(pair_search, "FEW_CANDIDATES", 100.0)
    found = search(batch, 4.5)
    assert found.searched.all()
    number = len(pairs_of_row(batch, found, 0))
    monkeypatch.setattr(pair_search, "MAX_PAIRS", number // 2)
    found = search(batch, 4.5)
    assert found.searched.tolist() == [False, True, False]
    assert not pairs_of_row(batch, found, 0)
    assert pairs_of_row(batch, found, 1) == pytest.approx(pairs_of_ase(small, 4.5), abs=1e-9)
    status, message = why_not_searched(batch, 0, 4.5)
    assert status is RowStatus.TOO_LARGE
    estimate = float(message.split("about ")[1].split()[0])
    assert estimate == pytest.approx(number, rel=0.2)


def test_reasons_for_not_searching_tell_what_is_wrong():
    rows = [ase.build.bulk("W") for _ in range(3)]
    rows[0].positions[0] = np.nan
    rows[1].positions[0] = 3e9
    rows[2].cell[2] = 2 * rows[2].cell[0]
    batch = batch_of(*rows)
    assert not find_pairs(batch, 4.5).searched.any()
    reasons = [why_not_searched(batch, row, 4.5) for row in range(3)]
    assert [status for status, _ in reasons] == [
        RowStatus.DIVERGED,
        RowStatus.INVALID_GEOMETRY,
        RowStatus.INVALID_GEOMETRY,
    ]
    assert "coordinate of 3e+09 A" in reasons[1][1]
    assert "no reduced basis" in reasons[2][1]


def test_many_atoms_are_searched_in_blocks_with_the_same_pairs(monkeypatch):
    batch = batch_of(*all_sorts())
    at_once = search_images(batch, 4.5)
    monkeypatch.setattr(
        pair_search, "MAX_ATOM_PAIRS", 100
    )  # fewer than the 128 of an atom of the largest row
    in_blocks = search_images(batch, 4.5)
    for one, other in zip(at_once, in_blocks, strict=True):
        assert torch.equal(one, other)


def test_cpu_takes_vesin(monkeypatch):
    batch = batch_of(ase.build.bulk("W"))
    monkeypatch.setattr(pair_search, "search_images", None)
    assert len(find_pairs(batch, 4.5).centers) == len(pairs_of_ase(ase.build.bulk("W"), 4.5))


@pytest.mark.gpu
def test_cuda_equals_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    table = StructureTable.from_ase((f"row-{i}", atoms) for i, atoms in enumerate(all_sorts()))
    on_cpu, on_cuda = (find_pairs(Batch.from_table(table, device), 4.5) for device in ("cpu", "cuda"))
    sets = []
    for found in (on_cpu, on_cuda):
        assert found.centers.device.type == ("cpu" if found is on_cpu else "cuda")
        pairs = torch.cat([found.centers[:, None], found.neighbors[:, None], found.shifts], dim=1)
        sets.append({tuple(pair) for pair in pairs.tolist()})
    assert sets[0] == sets[1]
