"""Tables of crystals in flat numpy arrays, and their ``.npz`` form: what engine and plugin exchange.

Layout: N rows under unique string ids; a column's first dimension is N; a per-atom column's first dimension is A,
the number of atoms of all rows together, row ``i`` owning ``offsets[i]:offsets[i + 1]``; what has a length of its own
in each row is a :class:`~aiida_pet.engine.ragged.Ragged`. Strings are ``str`` arrays (``dtype.kind == "U"``) in memory
and UTF-8 bytes (``"S"``) on disk, so that no file needs pickle. Units are ASE's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from aiida_pet.engine.filling import concatenate_columns, concatenate_filled
from aiida_pet.engine.ragged import Array, Ragged, within

__all__ = [
    "Array",
    "DuplicateIdError",
    "StructureTable",
    "StructureTableBuilder",
    "Table",
    "check_unique",
    "decode_strings",
    "encode_strings",
    "merge_units",
]

_COLUMN = "column/"
_RAGGED = "ragged/"
_OFFSETS = "ragged_offsets/"
_ATOMS = "atoms/"
_META = "meta"


class DuplicateIdError(ValueError):
    """Raised when the ids of a table are not unique; the message names the ids."""

    def __init__(self, duplicates: Sequence[str]) -> None:
        self.duplicates = list(duplicates)
        shown = ", ".join(repr(name) for name in self.duplicates[:10])
        more = f" and {len(self.duplicates) - 10} more" if len(self.duplicates) > 10 else ""
        super().__init__(f"ids must be unique, but these occur more than once: {shown}{more}")


def check_unique(ids: Iterable[str]) -> None:
    """:raises DuplicateIdError: if an id occurs more than once."""
    duplicates = [name for name, count in Counter(ids).items() if count > 1]
    if duplicates:
        raise DuplicateIdError(duplicates)


def encode_strings(array: Array) -> Array:
    """Return a ``str`` array as UTF-8 bytes, any other array as it is."""
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else array


def decode_strings(array: Array) -> Array:
    """Return an array of UTF-8 bytes as ``str``, any other array as it is."""
    if array.dtype.kind != "S":
        return array
    try:
        return array.astype(np.dtype(f"U{max(1, array.dtype.itemsize)}"))  # ASCII: without an object per text
    except UnicodeDecodeError:
        return np.char.decode(array, "utf-8")


@dataclass
class Table:
    """N rows under unique ids.

    :ivar ids: (N,) str.
    :ivar columns: name -> array of shape (N, ...).
    :ivar units: name -> unit of a column; a column without an entry has none (counts, names, flags).
    :ivar ragged: name -> column whose rows differ in length, some of them 0.
    """

    ids: Array
    columns: dict[str, Array] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    ragged: dict[str, Ragged] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = np.asarray(self.ids, dtype=str)
        if self.ids.ndim != 1:
            raise ValueError(f"ids must be one-dimensional, got shape {self.ids.shape}")
        if len(self.ids) and len(np.unique(self.ids)) != len(self.ids):
            check_unique(self.ids.tolist())
        for name, values in self.columns.items():
            self.columns[name] = self._checked(name, values)
        for name, column in self.ragged.items():
            if len(column) != len(self.ids):
                raise ValueError(f"column {name!r} must have {len(self.ids)} rows, got {len(column)}")

    def _checked(self, name: str, values: ArrayLike) -> Array:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = array.astype(str)
        if array.ndim == 0 or len(array) != len(self.ids):
            raise ValueError(f"column {name!r} must have {len(self.ids)} rows, got shape {array.shape}")
        return array

    def __len__(self) -> int:
        return len(self.ids)

    def set_column(self, name: str, values: ArrayLike, unit: str | None = None) -> None:
        """Add or replace column ``name``: array of shape (N, ...).

        :raises ValueError: if its first dimension is not N.
        """
        self.columns[name] = self._checked(name, values)
        if unit is not None:
            self.units[name] = unit

    def index(self, row_id: str) -> int:
        """Return the position of ``row_id``.

        :raises KeyError: if there is no such row.
        """
        found = np.flatnonzero(self.ids == row_id)
        if not len(found):
            raise KeyError(f"no row {row_id!r} among {len(self)} rows")
        return int(found[0])

    def positions_of(self, ids: Sequence[str] | Array) -> NDArray[np.int64]:
        """Return the positions of ``ids``, in their order.

        :raises KeyError: naming the ids that are not there.
        """
        place = {name: i for i, name in enumerate(self.ids.tolist())}
        wanted = [str(name) for name in ids]
        missing = [name for name in wanted if name not in place]
        if missing:
            raise KeyError(f"{len(missing)} ids are not among the {len(self)} rows: {missing[:10]}")
        return np.array([place[name] for name in wanted], dtype=np.int64)

    def take(self, index: Array | Sequence[int]) -> Self:
        """Return the rows at positions ``index``, in that order."""
        index = np.asarray(index, dtype=np.int64)
        return type(self)(**self._taken(index))

    def _taken(self, index: NDArray[np.int64]) -> dict[str, Any]:
        return {
            "ids": self.ids[index],
            "columns": {name: values[index] for name, values in self.columns.items()},
            "units": dict(self.units),
            "ragged": {name: column.take(index) for name, column in self.ragged.items()},
        }

    def select(self, ids: Sequence[str] | Array) -> Self:
        """Return the rows ``ids``, in that order.

        :raises KeyError: naming the ids that are not there.
        """
        return self.take(self.positions_of(ids))

    @classmethod
    def concatenate(cls, tables: Sequence[Self]) -> Self:
        """Return all rows of ``tables``, in order. A column that a table lacks is filled.

        See :mod:`aiida_pet.engine.filling`.

        :raises DuplicateIdError: if two tables share an id.
        :raises ValueError: if ``tables`` is empty, or two tables give a column different units.
        """
        if not tables:
            raise ValueError("nothing to concatenate: no tables given")
        return cls(**cls._concatenated(tables))

    @classmethod
    def _concatenated(cls, tables: Sequence[Self]) -> dict[str, Any]:
        return {
            "ids": np.concatenate([table.ids for table in tables]),
            "columns": concatenate_columns([(len(t), t.columns) for t in tables]),
            "units": merge_units([table.units for table in tables]),
            "ragged": {
                name: Ragged.concatenate([(len(t), t.ragged.get(name)) for t in tables])
                for name in dict.fromkeys(name for table in tables for name in table.ragged)
            },
        }

    # -- files ---------------------------------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, Array]:
        """Return everything as arrays by name, strings encoded: the content of the ``.npz`` form."""
        arrays = {"ids": encode_strings(self.ids)}
        arrays |= {_COLUMN + name: encode_strings(values) for name, values in self.columns.items()}
        arrays |= {_RAGGED + name: encode_strings(column.values) for name, column in self.ragged.items()}
        arrays |= {_OFFSETS + name: column.offsets for name, column in self.ragged.items()}
        arrays[_META] = np.frombuffer(json.dumps({"units": self.units}).encode(), dtype=np.uint8)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """Return the table whose :meth:`to_arrays` is ``arrays``."""
        return cls(**cls._from_arrays(arrays))

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, Array]) -> dict[str, Any]:
        meta = json.loads(bytes(arrays[_META]).decode())
        return {
            "ids": decode_strings(arrays["ids"]),
            "columns": _prefixed(arrays, _COLUMN),
            "units": dict(meta["units"]),
            "ragged": {
                name: Ragged(values, arrays[_OFFSETS + name])
                for name, values in _prefixed(arrays, _RAGGED).items()
            },
        }

    def save(self, target: Path | IO[bytes]) -> None:
        """Write the compressed ``.npz`` form."""
        np.savez_compressed(target, allow_pickle=False, **self.to_arrays())

    @classmethod
    def load(cls, source: Path | IO[bytes]) -> Self:
        """Read the ``.npz`` form; never unpickles.

        :raises ValueError, KeyError, zipfile.BadZipFile, OSError: if the file is not such a table or is damaged.
        """
        with np.load(source, allow_pickle=False) as arrays:
            return cls.from_arrays({name: arrays[name] for name in arrays.files})


@dataclass
class StructureTable(Table):
    """N crystals in flat arrays, with columns per row and per atom.

    :ivar numbers: (A,) int32, atomic numbers.
    :ivar positions: (A, 3) float64, A.
    :ivar cells: (N, 3, 3) float64, A, lattice vectors in rows.
    :ivar pbc: (N, 3) bool.
    :ivar offsets: (N + 1,) int64; row i owns atoms offsets[i]:offsets[i + 1].
    :ivar atom_columns: name -> array of shape (A, ...), such as forces.
    """

    numbers: Array = field(default_factory=lambda: np.zeros(0, np.int32))
    positions: Array = field(default_factory=lambda: np.zeros((0, 3)))
    cells: Array = field(default_factory=lambda: np.zeros((0, 3, 3)))
    pbc: Array = field(default_factory=lambda: np.zeros((0, 3), bool))
    offsets: Array = field(default_factory=lambda: np.zeros(1, np.int64))
    atom_columns: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.numbers = np.asarray(self.numbers, dtype=np.int32)
        self.positions = np.asarray(self.positions, dtype=np.float64)
        self.cells = np.asarray(self.cells, dtype=np.float64)
        self.pbc = np.asarray(self.pbc, dtype=bool)
        self.offsets = np.asarray(self.offsets, dtype=np.int64)
        n_rows, n_atoms = len(self.ids), int(self.offsets[-1])
        expected = {
            "numbers": (n_atoms,),
            "positions": (n_atoms, 3),
            "cells": (n_rows, 3, 3),
            "pbc": (n_rows, 3),
            "offsets": (n_rows + 1,),
        }
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")
        for name, values in self.atom_columns.items():
            if len(values) != n_atoms:
                raise ValueError(
                    f"atom column {name!r} must have {n_atoms} rows, got shape {np.shape(values)}"
                )

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """(N,) atoms of each row."""
        return np.diff(self.offsets)

    def volumes(self) -> NDArray[np.float64]:
        """(N,) cell volumes, A^3, zero for a cell without volume."""
        return np.abs(np.linalg.det(self.cells))

    def atoms_of(self, index: int) -> slice:
        """Return the slice of row ``index`` in the per-atom arrays."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def get_ase(self, row_id: str) -> Atoms:
        """Return row ``row_id`` as ASE atoms, ``info["id"]`` set.

        :raises KeyError: if there is no such row.
        """
        return self.ase_at(self.index(row_id))

    def ase_at(self, index: int) -> Atoms:
        """Return the row at position ``index`` as ASE atoms, ``info["id"]`` set."""
        part = self.atoms_of(index)
        return Atoms(
            numbers=self.numbers[part],
            positions=self.positions[part],
            cell=self.cells[index],
            pbc=self.pbc[index],
            info={"id": str(self.ids[index])},
        )

    def iter_ase(self) -> Iterator[Atoms]:
        """Yield each row as ASE atoms, one at a time."""
        for index in range(len(self)):
            yield self.ase_at(index)

    @classmethod
    def from_ase(cls, structures: Iterable[tuple[str, Atoms]]) -> Self:
        """Return the table of (id, atoms) pairs; only geometry is taken.

        :raises DuplicateIdError: if an id occurs more than once.
        """
        builder = StructureTableBuilder()
        for row_id, atoms in structures:
            builder.add(row_id, atoms)
        table = builder.build()
        return cls(**{f.name: getattr(table, f.name) for f in fields(table)})

    def _taken(self, index: NDArray[np.int64]) -> dict[str, Any]:
        offsets = np.concatenate([[0], np.cumsum(self.n_atoms[index])])
        atoms = within(self.offsets, index)
        return super()._taken(index) | {
            "numbers": self.numbers[atoms],
            "positions": self.positions[atoms],
            "cells": self.cells[index],
            "pbc": self.pbc[index],
            "offsets": offsets,
            "atom_columns": {name: values[atoms] for name, values in self.atom_columns.items()},
        }

    @classmethod
    def _concatenated(cls, tables: Sequence[Self]) -> dict[str, Any]:
        sizes = np.concatenate([table.n_atoms for table in tables])
        return super()._concatenated(tables) | {
            "numbers": np.concatenate([table.numbers for table in tables]),
            "positions": np.concatenate([table.positions for table in tables]),
            "cells": np.concatenate([table.cells for table in tables]),
            "pbc": np.concatenate([table.pbc for table in tables]),
            "offsets": np.concatenate([[0], np.cumsum(sizes)]),
            "atom_columns": {
                name: concatenate_filled([(len(t.numbers), t.atom_columns.get(name)) for t in tables])
                for name in dict.fromkeys(name for table in tables for name in table.atom_columns)
            },
        }

    def to_arrays(self) -> dict[str, Array]:
        """Return everything as arrays by name, strings encoded: the content of the ``.npz`` form."""
        arrays = super().to_arrays()
        arrays |= {name: getattr(self, name) for name in ("numbers", "positions", "cells", "pbc", "offsets")}
        arrays |= {_ATOMS + name: encode_strings(values) for name, values in self.atom_columns.items()}
        return arrays

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, Array]) -> dict[str, Any]:
        return super()._from_arrays(arrays) | {
            **{name: arrays[name] for name in ("numbers", "positions", "cells", "pbc", "offsets")},
            "atom_columns": _prefixed(arrays, _ATOMS),
        }


class StructureTableBuilder:
    """Collects crystals one at a time into flat arrays, so that no list of Python objects ever stands in memory.

    Memory: about 28 bytes per atom and 75 bytes per row, plus the columns.
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._numbers = _Growing(np.int32, ())
        self._positions = _Growing(np.float64, (3,))
        self._cells = _Growing(np.float64, (3, 3))
        self._pbc = _Growing(np.bool_, (3,))
        self._sizes: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, row_id: str, atoms: Atoms) -> None:
        """Append one crystal under ``row_id``; uniqueness is checked by :meth:`build`."""
        self._ids.append(str(row_id))
        self._numbers.extend(atoms.numbers)
        self._positions.extend(atoms.positions)
        self._cells.extend(np.asarray(atoms.cell)[None])
        self._pbc.extend(np.asarray(atoms.pbc)[None])
        self._sizes.append(len(atoms))

    def build(
        self, columns: Mapping[str, ArrayLike] | None = None, units: Mapping[str, str] | None = None
    ) -> StructureTable:
        """Return the table of everything added.

        :raises DuplicateIdError: if an id was added more than once.
        """
        return StructureTable(
            ids=np.array(self._ids, dtype=str),
            columns={name: np.asarray(values) for name, values in (columns or {}).items()},
            units=dict(units or {}),
            numbers=self._numbers.array(),
            positions=self._positions.array(),
            cells=self._cells.array(),
            pbc=self._pbc.array(),
            offsets=np.concatenate([[0], np.cumsum(np.array(self._sizes, dtype=np.int64))]),
        )


class _Growing:
    """A numpy array that grows by doubling."""

    def __init__(self, dtype: Any, shape: tuple[int, ...]) -> None:
        self._data = np.zeros((1024, *shape), dtype=dtype)
        self._size = 0

    def extend(self, values: Array) -> None:
        end = self._size + len(values)
        if end > len(self._data):
            grown = np.zeros((max(end, 2 * len(self._data)), *self._data.shape[1:]), dtype=self._data.dtype)
            grown[: self._size] = self._data[: self._size]
            self._data = grown
        self._data[self._size : end] = values
        self._size = end

    def array(self) -> Array:
        return self._data[: self._size].copy()


def _prefixed(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {
        name.removeprefix(prefix): decode_strings(values)
        for name, values in arrays.items()
        if name.startswith(prefix)
    }


def merge_units(units: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the units of columns of all tables together.

    :raises ValueError: if two tables give a column different units.
    """
    merged: dict[str, str] = {}
    for one in units:
        for name, unit in one.items():
            if merged.setdefault(name, unit) != unit:
                raise ValueError(
                    f"column {name!r} has unit {merged[name]!r} in one table and {unit!r} in another"
                )
    return merged
