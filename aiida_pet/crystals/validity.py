"""Checks of the crystals that come in: which rows must not reach the model, and why.

A row is bad if it has no atoms or numbers that are not finite, if its periodic lattice vectors span no volume
(or area, or length), if it has elements that the model does not know, if its cell is to relax but it is not
periodic in all directions, or if two of its atoms, periodic images included, are closer than a minimum
distance; looked for in this order. Lengths in A. Left-handed and huge cells are fine, and so are molecules
and slabs without a third vector.

Skewed lattices are reduced first (:mod:`~aiida_pet.crystals.lattice_reduction`).

Close pairs of all small crystals are found in one pass over flat arrays of pairs. There the nearest image is
had by rounding fractional coordinates, which is exact under a condition that is checked, however skewed the
cell: in a cell whose heights all exceed 2 d, a separation shorter than d has fractional components below 1/2.
Free of torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import complete_cell
from numpy.typing import NDArray

from aiida_pet.crystals.lattice_reduction import LARGEST_COORDINATE, LatticeReductionError, reduced_basis
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.suitability import why_cell_cannot_relax
from aiida_pet.tables.arrays import Floats, Integers
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.words import plural

Problem = tuple[RowStatus | None, str]

_SKEWED = 0.01  # a cell with less than this share of the volume of a box with the same edges is reduced first
_SHORT = 1e-6  # A; a lattice vector that is shorter has no length
_PAIRS = 2_000_000  # pairs in memory at once
_LARGE = 300  # atoms from which a tree is faster than all pairs
_NAMED = 56  # characters of a list of elements: each row of a table takes the memory of the longest message


def check_geometry(
    table: StructureTable,
    supported_numbers: Collection[int],
    min_distance: float,
    *,
    relaxes_cell: bool = False,
) -> list[Problem]:
    """Return for each row the status it ends with and why, or (None, "") if nothing is wrong with it.

    :param table: N rows.
    :param supported_numbers: atomic numbers that the model knows.
    :param min_distance: A; shorter interatomic distances are invalid, periodic images included.
    :param relaxes_cell: whether the cell is to relax, which needs rows periodic in all directions.
    """
    problems: list[Problem] = [(None, "")] * len(table)
    for row, message in broken_geometry(table).items():
        _invalid(problems, row, message)
    _check_elements(table, supported_numbers, problems)
    if relaxes_cell:
        _check_periodic(table, problems)
    _check_distances(table, min_distance, problems)
    return problems


def broken_geometry(table: StructureTable) -> dict[int, str]:
    """Return row -> what is wrong with it whatever the model: no atoms, no finite numbers, no volume."""
    problems: list[Problem] = [(None, "")] * len(table)
    _check_numbers(table, problems)
    _check_volumes(table, problems)
    return {row: message for row, (status, message) in enumerate(problems) if status is not None}


def _invalid(problems: list[Problem], index: int, message: str) -> None:
    problems[index] = (RowStatus.INVALID_GEOMETRY, message)


def _good(problems: list[Problem]) -> NDArray[np.bool_]:
    return np.array([status is None for status, _ in problems], dtype=bool)


def _row_of_atom(table: StructureTable) -> Integers:
    return np.repeat(np.arange(len(table)), table.n_atoms)


def _check_numbers(table: StructureTable, problems: list[Problem]) -> None:
    """Mark rows without atoms, and with numbers that are not finite."""
    for index in np.flatnonzero(table.n_atoms == 0).tolist():
        _invalid(problems, index, "no atoms")
    bad_atoms = np.flatnonzero(~np.isfinite(table.positions).all(axis=1))
    rows, first = np.unique(_row_of_atom(table)[bad_atoms], return_index=True)
    for index, atom in zip(rows, bad_atoms[first], strict=True):
        values = ", ".join(f"{value:g}" for value in table.positions[atom])
        _invalid(problems, index, f"position of atom {atom - table.offsets[index]} is not finite: {values}")
    for index in np.flatnonzero(~np.isfinite(table.cells).all(axis=(1, 2))).tolist():
        _invalid(problems, index, f"cell is not finite: {table.cells[index].tolist()}")


def _check_volumes(table: StructureTable, problems: list[Problem]) -> None:
    """Mark rows whose periodic lattice vectors are linearly dependent, or known too badly to tell."""
    rows = np.flatnonzero(_good(problems))
    pbc = table.pbc[rows]
    vectors = table.cells[rows] * pbc[:, :, None]
    lengths = np.where(pbc, np.linalg.norm(vectors, axis=2), 1.0)
    for place in np.flatnonzero((_spans(vectors, pbc) < _SKEWED) | (lengths < _SHORT).any(axis=1)):
        cell, periodic = table.cells[rows[place]], pbc[place]
        what = {1: "length", 2: "area", 3: "volume"}[int(periodic.sum())]
        message = f"the periodic lattice vectors span no {what}: cell {cell.tolist()}"
        try:
            short = reduced_basis(cell, periodic) @ vectors[place]
        except LatticeReductionError as error:
            if np.abs(vectors[place]).max() >= LARGEST_COORDINATE:
                message = str(error)
            _invalid(problems, rows[place], message)
            continue
        # a skewed basis may span a good lattice; one that spans nothing reduces to nothing
        if (np.linalg.norm(short, axis=1)[periodic] < _SHORT).any():
            _invalid(problems, rows[place], message)


def _spans(vectors: Floats, pbc: NDArray[np.bool_]) -> Floats:
    """Return the (M,) volumes, areas or lengths that ``vectors`` (M, 3, 3) would span if their lengths were 1."""
    lengths = np.where(pbc, np.linalg.norm(vectors, axis=2), 1.0)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)[:, :, None]
    metric = unit @ unit.transpose(0, 2, 1)
    metric += np.eye(3) * ~pbc[:, :, None]  # the non-periodic directions do not count
    return np.asarray(np.sqrt(np.maximum(np.linalg.det(metric), 0.0)))


def _check_elements(table: StructureTable, supported: Collection[int], problems: list[Problem]) -> None:
    """Mark rows with elements that the model does not know, unless marked already."""
    unknown = np.flatnonzero(~np.isin(table.numbers, np.array(sorted(supported), dtype=np.int64)))
    if not len(unknown):
        return
    known = f"it knows {plural(len(supported), 'element')}"
    pairs = np.unique(np.stack([_row_of_atom(table)[unknown], table.numbers[unknown]], axis=1), axis=0)
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    for index, part in zip(pairs[starts, 0], np.split(pairs[:, 1], starts[1:]), strict=True):
        if problems[index][0] is None:
            message = f"the model does not know {_listed([*map(_symbol, part.tolist())])}: {known}"
            problems[index] = (RowStatus.UNSUPPORTED_ELEMENT, message)


def _check_periodic(table: StructureTable, problems: list[Problem]) -> None:
    """Mark rows that are not periodic in all directions, unless marked already."""
    good = _good(problems)
    for index, message in why_cell_cannot_relax(table).items():
        if good[index]:
            _invalid(problems, index, message)


def _check_distances(table: StructureTable, min_distance: float, problems: list[Problem]) -> None:
    """Mark rows with two atoms closer than ``min_distance``, unless marked already."""
    rows = np.flatnonzero(_good(problems))
    if min_distance <= 0 or not len(rows):
        return
    cells = _completed_cells(table, rows)
    inverse = np.linalg.inv(cells)
    heights = 1.0 / np.linalg.norm(inverse, axis=1)  # between opposite faces, one per lattice vector
    thin = ((heights <= 2.01 * min_distance) & table.pbc[rows]).any(axis=1)
    large = table.n_atoms[rows] > _LARGE
    for place in np.flatnonzero(thin | large):
        part = table.atoms_of(rows[place])
        pbc, positions = table.pbc[rows[place]], table.positions[part]
        try:
            closest = _closest(cells[place], pbc, positions, min_distance)
        except LatticeReductionError as error:
            _invalid(problems, rows[place], f"the search for close atoms failed: {error}")
            continue
        if closest is not None:
            _invalid(problems, rows[place], _overlap(table.numbers[part], closest, min_distance))
    quick = np.flatnonzero(~thin & ~large)
    for index, closest in _close_pairs(table, rows[quick], cells[quick], inverse[quick], min_distance):
        _invalid(problems, index, _overlap(table.numbers[table.atoms_of(index)], closest, min_distance))


def _completed_cells(table: StructureTable, rows: Integers) -> Floats:
    """Return the cells (M, 3, 3) of ``rows``, skewed ones reduced, vectors that are not periodic replaced by
    orthogonal unit vectors.
    """
    cells, pbc = table.cells[rows].copy(), table.pbc[rows]
    for place in np.flatnonzero(_spans(cells * pbc[:, :, None], pbc) < _SKEWED):
        cells[place] = reduced_basis(cells[place], pbc[place]) @ (cells[place] * pbc[place][:, None])
    molecule = ~table.pbc[rows].any(axis=1)
    cells[molecule] = np.eye(3)
    for place in np.flatnonzero(~table.pbc[rows].all(axis=1) & ~molecule):
        cells[place] = complete_cell(cells[place] * table.pbc[rows[place]][:, None])
    return cells


def _close_pairs(
    table: StructureTable, rows: Integers, cells: Floats, inverse: Floats, cutoff: float
) -> Iterator[tuple[int, tuple[int, int, float]]]:
    """Yield (row, its closest pair) where that is below ``cutoff``; all heights must exceed 2 ``cutoff``."""
    sizes = table.n_atoms[rows]
    chunk = np.cumsum(sizes**2) // _PAIRS
    for part in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(chunk)) + 1):
        n_pairs = sizes[part] ** 2
        place = np.repeat(part, n_pairs)
        within = np.arange(n_pairs.sum()) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
        first, second = within // sizes[place], within % sizes[place]
        once = first < second
        place, first, second = place[once], first[once], second[once]
        start = table.offsets[rows[place]]
        apart = table.positions[start + second] - table.positions[start + first]
        fractional = np.einsum("pa,pab->pb", apart, inverse[place])
        whole = np.round(fractional) * table.pbc[rows[place]]
        squared = (np.einsum("pa,pab->pb", fractional - whole, cells[place]) ** 2).sum(axis=1)
        close = np.flatnonzero(squared < cutoff**2)
        close = close[np.lexsort((squared[close], place[close]))]
        for found in close[np.flatnonzero(np.diff(place[close], prepend=-1))]:
            pair = int(first[found]), int(second[found]), float(np.sqrt(squared[found]))
            yield int(rows[place[found]]), pair


def _closest(
    cell: Floats, pbc: NDArray[np.bool_], positions: Floats, cutoff: float
) -> tuple[int, int, float] | None:
    """Return the closest pair (i <= j, distance) below ``cutoff`` of any crystal, None if there is none.

    The cell is reduced first, so that few images matter; memory is linear in the atoms, on one spot or not.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 - 0.2 s of a start, and only large crystals come here

    reduced = reduced_basis(cell, pbc) @ cell
    lengths = np.linalg.norm(reduced, axis=1)[pbc]
    if len(lengths) and lengths.min() < cutoff:  # each atom and its own image
        return 0, 0, float(lengths.min())
    points, atoms = _with_images(reduced, pbc, positions, cutoff)
    distances, found = cKDTree(points).query(points[: len(positions)], k=2, distance_upper_bound=cutoff)
    # of two points on one spot either may come first
    itself = found == np.arange(len(positions))[:, None]
    distances, found = np.where(itself, np.inf, distances), np.minimum(found, len(points) - 1)
    i, which = np.unravel_index(distances.argmin(), distances.shape)
    if not distances[i, which] < cutoff:
        return None
    low, high = sorted((int(i), int(atoms[found[i, which]])))
    return low, high, float(distances[i, which])


def _with_images(
    cell: Floats, pbc: NDArray[np.bool_], positions: Floats, cutoff: float
) -> tuple[Floats, Integers]:
    """Return the wrapped atoms and then their images within ``cutoff`` of the cell: points, and whose."""
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    fractional -= np.floor(fractional) * pbc
    margin = np.where(pbc, cutoff * np.linalg.norm(inverse, axis=0) + 1e-9, np.inf)
    steps = [range(-n, n + 1) for n in np.where(pbc, np.ceil(margin), 0).astype(int)]
    points, atoms = [fractional], [np.arange(len(positions))]
    for shift in product(*steps):
        if any(shift):
            image = fractional + shift
            near = np.flatnonzero(((image >= -margin) & (image <= 1 + margin)).all(axis=1))
            points.append(image[near])
            atoms.append(near)
    return np.concatenate(points) @ cell, np.concatenate(atoms)


def _overlap(numbers: NDArray[Any], closest: tuple[int, int, float], min_distance: float) -> str:
    i, j, distance = closest
    limit = f"closer than min_distance = {min_distance:g} A"
    if i == j:
        return f"each atom is {distance:.3g} A from its own image, {limit}"
    names = f"atoms {i} ({_symbol(int(numbers[i]))}) and {j} ({_symbol(int(numbers[j]))})"
    return f"{names} are {distance:.3g} A apart, {limit}"


def _listed(names: list[str]) -> str:
    """Return names with commas between them; those beyond ``_NAMED`` characters are counted."""
    text = ", ".join(names)
    if len(text) <= _NAMED:
        return text
    kept = text[:_NAMED].split(", ")[:-1]  # the last one may be cut
    return f"{', '.join(kept)} and {len(names) - len(kept)} more"


def _symbol(number: int) -> str:
    return chemical_symbols[number] if 0 < number < len(chemical_symbols) else f"Z={number}"
