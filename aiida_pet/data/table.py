"""TableData: N rows under unique ids as one node, every column an ``.npy`` file in the repository.

Arrays are named ``ids`` and ``column_<name>``, columns whose rows differ in length ``ragged_<name>`` and
``offsets_<name>``; texts are stored as UTF-8 bytes (``S``), so that nothing needs
pickle. Attributes hold what people query. Equal content gives equal files and attributes, hence one hash.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed, ValidationError

from aiida_pet.engine.ragged import Ragged
from aiida_pet.engine.table import Array, Table, decode_strings, encode_strings

if TYPE_CHECKING:
    import pandas as pd

_IDS = "ids"
IDS_FILE = f"{_IDS}.npy"
"""Where the repository of a node has its ids, as UTF-8 bytes."""
_COLUMN = "column_"
_RAGGED = "ragged_"
_OFFSETS = "offsets_"
# More distinct texts than this are names or messages, not categories, and would only swell the attributes.
MAX_CATEGORIES = 32


class TableData(orm.ArrayData):
    """N rows under unique string ids, with columns whose first dimension is N.

    Attributes: ``n_rows``; ``columns`` {name: unit or ""}; ``ragged`` {name: unit or ""} of columns whose rows differ
    in length; ``counts`` {column: {value: n}} of columns of texts with few distinct values and of flags; ``ranges``
    {column: [min, max]} of the finite values of columns of numbers.
    """

    # the order of columns is a matter of display
    _hash_ignored_attributes = (*orm.ArrayData._hash_ignored_attributes, "column_names")

    def initialize(self) -> None:
        """Set up what lives as long as the Python object."""
        super().initialize()  # type: ignore[no-untyped-call]
        self._clear()

    def _clear(self) -> None:
        self._arrays: dict[str, Array] = {}
        self._places: dict[str, int] | None = None

    # -- in --------------------------------------------------------------------------------------------------

    @classmethod
    def from_table(cls, table: Table, **kwargs: Any) -> Self:
        """Return an unstored node with the rows of ``table``.

        :param kwargs: of the node, such as ``label``.
        :raises ValueError: if the table is empty or a column's name cannot stand in a query.
        """
        node = cls(**kwargs)
        node.set_table(table)
        return node

    @classmethod
    def from_ids(cls, ids: Iterable[str], **kwargs: Any) -> Self:
        """Return an unstored node of ids only: a choice of rows.

        :raises DuplicateIdError: if an id occurs more than once.
        :raises ValueError: if there are none.
        """
        return cls.from_table(Table(np.array(list(ids), dtype=str)), **kwargs)

    def set_table(self, table: Table) -> None:
        """Take the rows of ``table`` as content, in place of what there was.

        :raises ModificationNotAllowed: if the node is stored.
        :raises ValueError: if the table is empty or a column's name cannot stand in a query.
        """
        if self.is_stored:
            raise ModificationNotAllowed(
                f"{type(self).__name__}<{self.pk}> is stored, its rows cannot change"
            )
        if not len(table):
            raise ValueError(f"a {type(self).__name__} needs at least one row, got none")
        for name in (*table.columns, *table.ragged):
            check_name(name)
        for name in self.get_arraynames():
            self.delete_array(name)
        self._clear()
        for name, array in self._arrays_of(table).items():
            self.set_array(name, _plain(array))
        for key, value in self._attributes_of(table).items():
            self.base.attributes.set(key, value)

    def set_array(self, name: str, array: Array) -> None:
        """Write one array; what was read before is forgotten."""
        super().set_array(name, array)
        self._clear()

    def _arrays_of(self, table: Table) -> dict[str, Array]:
        return (
            {_IDS: table.ids}
            | {_COLUMN + name: values for name, values in table.columns.items()}
            | {_RAGGED + name: column.values for name, column in table.ragged.items()}
            | {_OFFSETS + name: column.offsets for name, column in table.ragged.items()}
        )

    def _attributes_of(self, table: Table) -> dict[str, Any]:
        counts = {name: _counts(values) for name, values in table.columns.items()}
        ranges = {name: _range(values) for name, values in table.columns.items()}
        return {
            "n_rows": len(table),
            "columns": {name: table.units.get(name, "") for name in table.columns},
            "column_names": list(table.columns),
            "counts": {name: found for name, found in counts.items() if found},
            "ranges": {name: found for name, found in ranges.items() if found},
            "ragged": {name: table.units.get(name, "") for name in table.ragged},
        }

    def _validate(self) -> bool:
        super()._validate()
        n_rows = self.base.attributes.get("n_rows", 0)
        if not n_rows:
            raise ValidationError(f"a {type(self).__name__} needs rows: make it with from_table")
        names = [_IDS, *(_COLUMN + name for name in self.base.attributes.get("columns"))]
        for name in names:
            shape = self.base.attributes.get(f"{self.array_prefix}{name}", None)
            if not shape or shape[0] != n_rows:
                raise ValidationError(f"array {name!r} must have {n_rows} rows, got shape {shape}")
        for name in self.ragged_names:
            shape = self.base.attributes.get(f"{self.array_prefix}{_OFFSETS}{name}", None)
            if shape != [n_rows + 1]:
                raise ValidationError(f"offsets of {name!r} must be {n_rows + 1}, got shape {shape}")
        return True

    # -- out -------------------------------------------------------------------------------------------------

    def _array(self, name: str) -> Array:
        """Return an array of the repository, texts decoded, read once and then read-only in memory."""
        if name not in self._arrays:
            array = decode_strings(self.get_array(name))
            array.flags.writeable = False
            self._cached_arrays.pop(name, None)  # not twice in memory
            self._arrays[name] = array
        return self._arrays[name]

    def __len__(self) -> int:
        return int(self.base.attributes.get("n_rows", 0))

    @property
    def ids(self) -> Array:
        """(N,) str, the ids."""
        return self._array(_IDS)

    @property
    def column_names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.base.attributes.get("column_names", []))

    def column(self, name: str) -> Array:
        """Return column ``name``, (N, ...), read-only.

        :raises KeyError: naming the columns there are.
        """
        self._known(name)
        return self._array(_COLUMN + name)

    @classmethod
    def column_shapes(cls, attributes: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shapes (N, ...) of the columns by name, in order, of a node with these attributes."""
        prefix = f"{cls.array_prefix}{_COLUMN}"
        return {name: tuple(attributes[prefix + name]) for name in attributes.get("column_names", [])}

    @property
    def ragged_names(self) -> list[str]:
        """Names of the columns whose rows differ in length."""
        return list(self.base.attributes.get("ragged", {}))

    def ragged(self, name: str) -> Ragged:
        """Return column ``name`` whose rows differ in length, read-only.

        :raises KeyError: naming those there are.
        """
        if name not in self.ragged_names:
            known = ", ".join(self.ragged_names) or "none"
            raise KeyError(
                f"no ragged column {name!r} in {type(self).__name__}<{self.pk}>, there are: {known}"
            )
        return Ragged(self._array(_RAGGED + name), self._array(_OFFSETS + name))

    def unit(self, name: str) -> str:
        """Return the unit of column ``name``, empty for what has none.

        :raises KeyError: naming the columns there are.
        """
        if name in self.ragged_names:
            return str(self.base.attributes.get("ragged")[name])
        self._known(name)
        return str(self.base.attributes.get("columns")[name])

    def _known(self, name: str) -> None:
        if name not in self.base.attributes.get("columns", {}):
            known = ", ".join(self.column_names) or "none"
            raise KeyError(f"no column {name!r} in {type(self).__name__}<{self.pk}>, columns are: {known}")

    def place(self, row_id: str) -> int:
        """Return the position of row ``row_id``.

        :raises KeyError: if there is no such row.
        """
        if self._places is None:
            self._places = {name: index for index, name in enumerate(self.ids.tolist())}
        try:
            return self._places[row_id]
        except KeyError:
            some = ", ".join(self.ids[:3].tolist())
            raise KeyError(
                f"no row {row_id!r} among the {len(self)} of {type(self).__name__}<{self.pk}> ({some}, ...)"
            ) from None

    def row(self, row_id: str) -> dict[str, Any]:
        """Return the values of row ``row_id`` by column, ``id`` first, as plain Python values.

        :raises KeyError: if there is no such row.
        """
        index = self.place(row_id)
        return {"id": row_id} | {name: self.column(name)[index].tolist() for name in self.column_names}

    def to_table(self) -> Table:
        """Return all rows; its arrays are read-only and shared with the node."""
        return Table(self.ids, self._columns(), self._units(), self._ragged())

    def _ragged(self) -> dict[str, Ragged]:
        return {name: self.ragged(name) for name in self.ragged_names}

    def _columns(self) -> dict[str, Array]:
        return {name: self.column(name) for name in self.column_names}

    def _units(self) -> dict[str, str]:
        attributes = self.base.attributes
        named = {**attributes.get("columns"), **attributes.get("ragged", {})}
        return {name: unit for name, unit in named.items() if unit}

    def select(self, ids: Sequence[str] | Array) -> Table:
        """Return the rows ``ids``, in that order.

        :raises KeyError: naming the ids that are not there.
        """
        return self.to_table().select(ids)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the columns as a data frame indexed by ``id``: see :func:`aiida_pet.data.frame.frame_of`."""
        from aiida_pet.data.frame import frame_of  # noqa: PLC0415 - pandas takes a second to import

        return frame_of(self.to_table())


def check_name(name: str) -> None:
    """:raises ValueError: if ``name`` cannot name a column."""
    if not re.fullmatch(r"[a-zA-Z][0-9a-zA-Z_]*", name):
        raise ValueError(
            f"column name {name!r} cannot stand in a query: expected a letter, then letters, digits or _"
        )


def _plain(array: Array) -> Array:
    """Return ``array`` as equal content is always stored: native bytes, C order, texts as UTF-8."""
    if array.dtype.kind == "U":
        # the narrowest width, so that the width an array happens to have does not change the hash
        width = max(1, int(np.char.str_len(array).max(initial=1)))
        array = encode_strings(array.astype(f"U{width}"))
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _counts(values: Array) -> dict[str, int] | None:
    if values.ndim != 1 or values.dtype.kind not in "Ub":
        return None
    found, counts = np.unique(values, return_counts=True)
    if len(found) > MAX_CATEGORIES:
        return None
    names = [str(value).lower() if values.dtype.kind == "b" else str(value) for value in found]
    return dict(zip(names, counts.tolist(), strict=True))


def _range(values: Array) -> list[float] | None:
    """Smallest and largest finite value; None for what is no column of numbers or has none."""
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        return None
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = finite.min().item(), finite.max().item()
    return [low, high] if math.isfinite(low) and math.isfinite(high) else None
