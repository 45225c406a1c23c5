"""Pairs of frames of one crystal, and by how much labels say that the energy changes from one frame to the other.

From one frame to a near one the energy changes by the work of the stress, dE = V tr(stress strain), and by that of the
forces, dE = -F dx, both with the mean of the two frames, so that the error is of third order (the trapezoidal rule).
Displacements are those within the cell: what is left of them when the cells are mapped on each other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.labels import Labels
from aiida_pet.units import VOIGT_PAIRS

ALL_PAIRS = 12  # frames of a crystal of which each is compared with each
MOST_NEIGHBOURS = 4  # of more frames: in volume, and half as many in the order of the set
MOST_PAIRS, MOST_ATOMS = 20_000, 2_000_000  # of all pairs together
LARGEST_STRAIN = 0.1
LARGEST_DISPLACEMENT = 0.7  # A, of an atom; less its part in the motion of all atoms
NO_STRAIN = 1e-4  # cells that differ by less are the same
NO_DISPLACEMENT = 1e-4  # A
# The rule errs by a share of the difference of the two ends that rises with their distance. The factors are those of
# bulk moduli that rise by 5 GPa with each GPa, and of bonds whose stiffness halves within some 0.3 A.
_ERROR_BY_STRAIN = 1.5
_ERROR_BY_DISPLACEMENT = 0.15  # 1/A


@dataclass(frozen=True)
class LabelPairs:
    """P pairs of near frames of one crystal.

    :ivar rows: (P, 2) the two rows.
    :ivar cells: (P, 2) a number for each different cell of the two rows.
    :ivar change: (P,) eV/atom, change of the energy.
    :ivar stress_work: (P,) eV/atom, what stresses say of it; 0 where the cell is the same.
    :ivar force_work: (P,) eV/atom, what forces say of it; 0 where no atom moved.
    :ivar sizes: (P,) atoms of a cell.
    :ivar volumes: (P,) A^3, mean of the two.
    :ivar strains: (P,) largest component of the strain.
    :ivar stress_error: (P,) eV/atom, what may be wrong with ``stress_work`` where the strain is not small.
    :ivar force_error: (P,) eV/atom, what may be wrong with ``force_work`` where displacements are not small.
    :ivar displacements: (P,) A, largest displacement of an atom.
    """

    rows: Array
    cells: Array
    change: Array
    stress_work: Array
    force_work: Array
    sizes: Array
    volumes: Array
    strains: Array
    stress_error: Array
    force_error: Array
    displacements: Array

    def __len__(self) -> int:
        return len(self.change)

    def take(self, kept: Array) -> LabelPairs:
        """Return the pairs ``kept``, a mask or places."""
        return LabelPairs(*(getattr(self, one.name)[kept] for one in fields(self)))


def independent(links: Array) -> int:
    """Return how many of ``links`` (P, 2) between things do not follow from others: the edges of a spanning forest."""
    # 0.2 s of a start, and workers of the daemon load this module
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    names, ends = np.unique(links, return_inverse=True)
    if not len(names):
        return 0
    ends = ends.reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(names),) * 2)
    return len(names) - int(connected_components(graph, directed=False)[0])


def label_pairs(table: StructureTable, labels: Labels, groups: Array, rows: Array) -> LabelPairs:
    """Return the pairs of near frames whose labels tell by how much the energy changes.

    Only rows that are periodic in all directions or in none are compared. Without forces (or stresses), pairs are taken
    as if these did no work.

    :param groups: (N,) the crystal that a row comes from.
    :param rows: (N,) which rows are compared.
    """
    first, second = _near_in_order(table, groups, rows)
    if not len(first):
        empty = np.zeros((0, 2), dtype=int)
        return LabelPairs(empty, empty, *(np.zeros(0) for _ in range(9)))
    cells = np.where(table.pbc.all(axis=1)[:, None, None], table.cells, np.eye(3))
    mean_cell = 0.5 * (cells[first] + cells[second])
    gradient = np.linalg.solve(mean_cell, cells[second] - cells[first])
    strain = 0.5 * (gradient + gradient.transpose(0, 2, 1))
    volumes = np.abs(np.linalg.det(mean_cell))
    strains = np.abs(strain).max(axis=(1, 2), initial=0.0)
    strained = strains > NO_STRAIN
    ends = np.zeros((2, len(first)))
    if labels.stress is not None:
        tensors = _tensors(np.stack([labels.stress[first], labels.stress[second]]))
        ends = np.where(strained, volumes * np.einsum("epij,pij->ep", tensors, strain), 0.0)
    of_forces, largest = _force_work(table, labels, (first, second), cells)
    kept = (
        np.isfinite(ends).all(axis=0)
        & np.isfinite(of_forces).all(axis=0)
        & (np.abs(gradient).max(axis=(1, 2), initial=0.0) < LARGEST_STRAIN)
        & (largest < LARGEST_DISPLACEMENT)
        & (strained | (largest > NO_DISPLACEMENT))
    )
    sizes = np.diff(table.offsets)[first].astype(float)
    numbered = np.unique(np.round(cells.reshape(-1, 9), 5) + 0.0, axis=0, return_inverse=True)[1].reshape(-1)
    return LabelPairs(
        rows=np.stack([first, second], axis=1),
        cells=np.stack([numbered[first], numbered[second]], axis=1),
        change=(labels.energy[second] - labels.energy[first]) / sizes,
        stress_work=ends.mean(axis=0) / sizes,
        force_work=of_forces.mean(axis=0) / sizes,
        sizes=sizes,
        volumes=volumes,
        strains=strains,
        stress_error=_ERROR_BY_STRAIN * strains * np.abs(ends[1] - ends[0]) / sizes,
        force_error=_ERROR_BY_DISPLACEMENT * largest * np.abs(of_forces[1] - of_forces[0]) / sizes,
        displacements=largest,
    ).take(kept)


def _near_in_order(table: StructureTable, groups: Array, rows: Array) -> tuple[Array, Array]:
    """Return pairs of rows of the same atoms and crystal that follow each other in volume, or in the set."""
    volumes = np.abs(np.linalg.det(table.cells))
    alike = table.pbc.all(axis=1) | ~table.pbc.any(axis=1)
    members: dict[tuple[str, bytes, bool], list[int]] = defaultdict(list)
    for row in np.flatnonzero(rows & alike).tolist():
        numbers = table.numbers[table.offsets[row] : table.offsets[row + 1]]
        members[str(groups[row]), numbers.tobytes(), bool(table.pbc[row, 0])].append(row)
    pairs: set[tuple[int, int]] = set()
    for crystal in members.values():
        if len(crystal) <= ALL_PAIRS:
            pairs.update(combinations(crystal, 2))
            continue
        for ordered, most in (
            (crystal, MOST_NEIGHBOURS // 2),
            (sorted(crystal, key=lambda row: float(volumes[row])), MOST_NEIGHBOURS),
        ):
            for place, one in enumerate(ordered):
                pairs.update((min(one, two), max(one, two)) for two in ordered[place + 1 : place + 1 + most])
    found = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    atoms = int(np.diff(table.offsets)[found[:, 0]].sum())
    found = found[:: max(1, int(np.ceil(max(len(found) / MOST_PAIRS, atoms / MOST_ATOMS))))]
    return found[:, 0], found[:, 1]


def _tensors(voigt: Array) -> Array:
    """Return (..., 3, 3) tensors of (..., 6) in Voigt's order."""
    tensors = np.zeros((*voigt.shape[:-1], 3, 3))
    for place, (i, j) in enumerate(VOIGT_PAIRS):
        tensors[..., i, j] = tensors[..., j, i] = voigt[..., place]
    return tensors


def _force_work(
    table: StructureTable, labels: Labels, rows: tuple[Array, Array], cells: Array
) -> tuple[Array, Array]:
    """Return (2, P) the work of the forces at either end, eV, and (P,) the largest displacement of an atom, A.

    Where forces of a row are missing, the work is 0, unless they are missing of single atoms only.
    """
    first, second = rows
    mean_cell = 0.5 * (cells[first] + cells[second])
    sizes = np.diff(table.offsets)[first]
    pair = np.repeat(np.arange(len(first)), sizes)
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    one, two = table.offsets[first][pair] + within, table.offsets[second][pair] + within
    before = np.einsum("ai,aij->aj", table.positions[one], np.linalg.inv(cells[first])[pair])
    after = np.einsum("ai,aij->aj", table.positions[two], np.linalg.inv(cells[second])[pair])
    apart = after - before
    apart -= np.round(apart) * table.pbc[first[pair]]
    moved = np.einsum("ai,aij->aj", apart, mean_cell[pair])
    starts = np.cumsum(sizes) - sizes
    moved -= (np.add.reduceat(moved, starts) / sizes[:, None])[pair]
    largest = np.maximum.reduceat(np.linalg.norm(moved, axis=1), starts)
    if labels.forces is None:
        return np.zeros((2, len(first))), largest
    ends = np.stack([labels.forces[one], labels.forces[two]])
    work = np.add.reduceat(-(ends * moved).sum(axis=2), starts, axis=1)
    missing = np.logical_and.reduceat(np.isnan(ends).any(axis=(0, 2)), starts)
    return np.where(missing | (largest <= NO_DISPLACEMENT), 0.0, work), largest
