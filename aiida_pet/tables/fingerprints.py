"""What a job was given, row by row, in 16 bytes: two rows of one fingerprint have the same answer. No AiiDA.

An id names a row, and says nothing of its crystal: it may have been relaxed further, or belong to another set. A
fingerprint covers atomic numbers, positions, cell and periodicity, bit for bit, and the columns of the input that the
task reads. A value that is missing (NaN throughout, no text, no flag set) counts as no column at all, so that a row is
the same in a set in which only others have the column. It depends neither on the machine nor on the rows around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array

SIZE = 16
"""Bytes of a fingerprint."""
ARRAY = "input_fingerprints"
"""Under which name a node has the fingerprints of its rows, (N, 16) uint8."""

Fingerprints = NDArray[np.uint8]


@dataclass(frozen=True)
class InputColumns:
    """The columns of an input set that a task reads.

    :ivar rows: names of columns per row.
    :ivar atoms: names of columns per atom.
    :ivar ragged: names of columns whose length differs from row to row.
    """

    rows: tuple[str, ...] = ()
    atoms: tuple[str, ...] = ()
    ragged: tuple[str, ...] = ()

    def rows_in(self, names: Collection[str]) -> list[str]:
        """Return those columns per row that are among ``names``, in one order."""
        return [name for name in sorted(self.rows) if name in names]

    def atoms_in(self, names: Collection[str]) -> list[str]:
        """Return those columns per atom that are among ``names``, in one order."""
        return [name for name in sorted(self.atoms) if name in names]

    def ragged_in(self, names: Collection[str]) -> list[str]:
        """Return those ragged columns that are among ``names``, in one order."""
        return [name for name in sorted(self.ragged) if name in names]


def fingerprints_of(table: StructureTable, columns: InputColumns) -> Fingerprints:
    """Return the fingerprint of each row of ``table`` as the input of a task, (N, 16).

    :param columns: which of the table's the task reads, where it has them.
    """
    per_atom = [_reader("numbers", table.numbers), _reader("positions", table.positions)]
    per_atom += [
        _reader(name, table.atom_columns[name], may_miss=True)
        for name in columns.atoms_in(table.atom_columns)
    ]
    per_row = [_reader("cell", table.cells), _reader("pbc", table.pbc)]
    per_row += [_reader(name, table.columns[name], may_miss=True) for name in columns.rows_in(table.columns)]
    per_entry = [
        (_reader(name, table.ragged[name].values), table.ragged[name].offsets.tolist())
        for name in columns.ragged_in(table.ragged)
    ]
    offsets = table.offsets.tolist()
    digests = bytearray()
    for row in range(len(table)):
        digest = hashlib.blake2b(digest_size=SIZE)
        for read in per_atom:
            digest.update(read(offsets[row], offsets[row + 1]))
        for read in per_row:
            digest.update(read(row, row + 1))
        for read, ends in per_entry:
            if ends[row + 1] > ends[row]:  # an empty one counts as no column at all
                digest.update(read(ends[row], ends[row + 1]))
        digests += digest.digest()
    return np.frombuffer(bytes(digests), dtype=np.uint8).reshape(-1, SIZE)


def same_rows(first: Fingerprints, second: Fingerprints) -> NDArray[np.bool_]:
    """Return where two arrays of fingerprints, both (N, 16), agree, (N,)."""
    same: NDArray[np.bool_] = (first == second).all(axis=1)
    return same


@dataclass(frozen=True)
class Taken:
    """Which rows of a table stand for rows that are asked for.

    :ivar same: (M,) places in the table of rows that are asked for, as they were given.
    :ivar other: ids of rows that are asked for, but were given as other crystals.
    """

    same: NDArray[np.int64]
    other: list[str]


def compare(ids: Array, wanted: Fingerprints, table_ids: Array, given: Fingerprints) -> Taken:
    """Return which rows of a table of results may be taken over.

    :param ids: (N,) of the rows that are asked for.
    :param wanted: (N, 16) of these.
    :param table_ids: (M,) of the table's rows.
    :param given: (M, 16) of what their job was given.
    """
    if not len(ids) or not len(table_ids):
        return Taken(np.zeros(0, np.int64), [])
    sorter = np.argsort(ids)
    slots = np.minimum(np.searchsorted(ids, table_ids, sorter=sorter), len(ids) - 1)
    places = sorter[slots]
    known = np.flatnonzero(ids[places] == table_ids)
    same = same_rows(wanted[places[known]], given[known])
    return Taken(known[same], table_ids[known[~same]].tolist())


def named(ids: Iterable[str], most: int = 5) -> str:
    """Return ``ids`` for a message: the first few, and how many more there are."""
    names = list(ids)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def _reader(name: str, values: Array, *, may_miss: bool = False) -> Callable[[int, int], bytes]:
    """Return a function of places in ``values``, (M, ...): what they add to a digest, as on every machine.

    :param may_miss: whether values may be missing, which then add nothing.
    """
    label = name.encode() + b"\0"
    if values.dtype.kind == "U":

        def read_texts(first: int, end: int) -> bytes:
            texts = values[first:end].ravel().tolist()
            return label + "\0".join(texts).encode() + b"\0" if any(texts) else b""

        return read_texts
    plain = _plain(values).reshape(len(values), -1)
    content, width = plain.tobytes(), plain.shape[1] * plain.dtype.itemsize
    label += b"%d\0" % plain.shape[1]
    absent = _absent(plain) if may_miss else None

    def read(first: int, end: int) -> bytes:
        if absent is not None and absent[first:end].all():
            return b""
        return b"%b%d\0%b" % (label, end - first, content[first * width : end * width])

    return read


def _plain(values: Array) -> Array:
    """Return numbers and flags in one type for each kind, little-endian, with one zero."""
    if values.dtype.kind == "f":
        return values.astype("<f8") + 0.0  # -0.0 becomes 0.0
    return values.astype("<i8") if values.dtype.kind in "iu" else values.astype(bool)


def _absent(plain: Array) -> NDArray[np.bool_]:
    """Return which rows of ``plain``, (M, K), hold nothing: NaN throughout, or no flag that is set."""
    if plain.dtype.kind == "f":
        return np.asarray(np.isnan(plain).all(axis=1))
    return np.asarray(~plain.any(axis=1)) if plain.dtype.kind == "b" else np.zeros(len(plain), bool)
