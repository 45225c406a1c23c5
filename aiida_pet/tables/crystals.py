"""Crystals in flat numpy arrays: a table with geometry and with columns per atom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from aiida_pet.tables.arrays import Array
from aiida_pet.tables.filling import concatenate_filled
from aiida_pet.tables.ragged import within
from aiida_pet.tables.table import Table, encode_strings, prefixed

_ATOMS = "atoms/"


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
            "atom_columns": prefixed(arrays, _ATOMS),
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
