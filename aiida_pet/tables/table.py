"""Tables of crystals in flat numpy arrays, and their ``.npz`` form: what engine and plugin exchange.

Layout: N rows under unique string ids; a column's first dimension is N; a per-atom column's first dimension is A,
the number of atoms of all rows together, row ``i`` owning ``offsets[i]:offsets[i + 1]``; what has a length of its own
in each row is a :class:`~aiida_pet.tables.ragged.Ragged`. Strings are ``str`` arrays (``dtype.kind == "U"``) in memory
and UTF-8 bytes (``"S"``) on disk, so that no file needs pickle. Units are ASE's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aiida_pet.tables.arrays import Array
from aiida_pet.tables.filling import concatenate_columns
from aiida_pet.tables.ragged import Ragged

__all__ = [
    "Array",
    "DuplicateIdError",
    "Table",
    "check_unique",
    "decode_strings",
    "encode_strings",
    "merge_units",
]

_COLUMN = "column/"
_RAGGED = "ragged/"
_OFFSETS = "ragged_offsets/"
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

        See :mod:`aiida_pet.tables.filling`.

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
            "columns": prefixed(arrays, _COLUMN),
            "units": dict(meta["units"]),
            "ragged": {
                name: Ragged(values, arrays[_OFFSETS + name])
                for name, values in prefixed(arrays, _RAGGED).items()
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


def prefixed(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
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
