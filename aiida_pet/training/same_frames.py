"""Frames that are there twice: within a set, and in a set that trains and one that is to judge the training."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.words import plural, shortened

_DIGITS = 5
_NAMED = 5
_DIFFERENT = 1e-3  # eV/atom, from which energies of one frame differ


def frame_keys(table: StructureTable) -> Array:
    """Return (N,) a hash of elements, cell, periodicity and positions of each row, to 1e-5 A."""
    positions = np.round(table.positions, _DIGITS) + 0.0  # no negative zeros
    cells = np.round(table.cells, _DIGITS) + 0.0
    numbers = table.numbers.astype(np.int64)
    keys = []
    for row in range(len(table)):
        atoms = table.atoms_of(row)
        content = hashlib.blake2b(numbers[atoms].tobytes(), digest_size=16)
        for part in (positions[atoms], cells[row], table.pbc[row]):
            content.update(np.ascontiguousarray(part).tobytes())
        keys.append(content.hexdigest())
    return np.array(keys, dtype=str)


def joined_groups(groups: Array, keys: Array) -> Array:
    """Return ``groups`` where equal frames are of one group, so that no split separates them.

    :param keys: (N,) as :func:`frame_keys`.
    """
    first: dict[str, str] = {}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.get(name, name) != name:
            name = parent[name]
        return name

    for group, key in zip(groups.tolist(), keys.tolist(), strict=True):
        one, two = root(first.setdefault(key, group)), root(group)
        if one != two:
            parent[two] = one
    return np.array([root(group) for group in groups.tolist()], dtype=groups.dtype)


def told_twice(table: StructureTable, energy: Array, taken: Array, keys: Array) -> list[str]:
    """Return what is to be said of rows that are taken and have the same frame."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row in np.flatnonzero(taken).tolist():
        rows[keys[row]].append(row)
    twice = [found for found in rows.values() if len(found) > 1]
    if not twice:
        return []
    extra = sum(len(found) - 1 for found in twice)
    names = ", ".join(" = ".join(map(str, table.ids[found])) for found in twice[:_NAMED])
    more = f" and {len(twice) - _NAMED:,} more" if len(twice) > _NAMED else ""
    told = [f"{plural(extra, 'row')} of the training set have the frame of another row: {names}{more}"]
    sizes = np.diff(table.offsets)
    spread = [float(np.ptp(energy[found])) / int(sizes[found[0]]) for found in twice]
    differ = [found for found, width in zip(twice, spread, strict=True) if width > _DIFFERENT]
    if differ:
        names = ", ".join(" and ".join(map(str, table.ids[found])) for found in differ[:_NAMED])
        told.append(
            f"{plural(len(differ), 'frame')} of the training set have several energies, which differ by up to "
            f"{max(spread):.3g} eV/atom: {names}"
        )
    return told


def told_shared(ids: Array, keys: Array, known: Array, name: str, other: str = "training") -> tuple[int, str]:
    """Return how many rows of a set have a frame of another set, and this in words; empty for none.

    :param ids: of the rows of the set ``name`` that are used.
    :param keys: their frames.
    :param known: frames of the set ``other``.
    """
    shared = np.isin(keys, known)
    if not shared.any():
        return 0, ""
    count = int(shared.sum())
    which = shortened(ids[shared][:_NAMED].tolist()) + (" ..." if count > _NAMED else "")
    return (
        count,
        f"{count:,} of {plural(len(ids), 'row')} of the {name} set are frames of the {other} set: {which}",
    )


def told_groups(groups: Array, known: Array, name: str, column: str) -> str:
    """Return in words which crystals of a set are in the training set too; empty for none.

    :param groups: of the rows of the set ``name`` that are used; those that are ids and no names are left out.
    :param known: of the rows that train.
    """
    shared = np.intersect1d(groups, known)
    shared = shared[~np.char.startswith(shared.astype(str), "id:")]
    if not len(shared):
        return ""
    which = shortened(shared[:_NAMED].tolist()) + (" ..." if len(shared) > _NAMED else "")
    rows = int(np.isin(groups, shared).sum())
    return (
        f"{plural(len(shared), 'crystal')} ({column}) of the {name} set, with {plural(rows, 'row')}, are in the "
        f"training set too: {which}. The errors of these rows look smaller than those of unknown crystals"
    )
