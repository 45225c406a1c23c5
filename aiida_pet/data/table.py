"""TableData: N rows under unique ids as one node, every column an ``.npy`` file in the repository.

Arrays are named ``ids`` and ``column_<name>``, columns whose rows differ in length ``ragged_<name>`` and
``offsets_<name>``; texts are stored as UTF-8 bytes (``S``), so that nothing needs
pickle. Attributes hold what people query.

What is merged of many tables lies there in segments (:mod:`aiida_pet.data.segments`), which are the files of its parts.
The hash depends on the content and not on how it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from aiida import orm
from aiida.common.exceptions import ModificationNotAllowed, ValidationError
from aiida.orm.nodes.caching import NodeCaching

from aiida_pet.data import segments
from aiida_pet.data.array_files import load_arrays, segment_arrays, segment_reader
from aiida_pet.data.description import (
    COLUMN,
    CONTENT,
    IDS,
    OFFSETS,
    RAGGED,
    check_name,
    describe,
    known_value,
    npy_bytes,
    plain_array,
)
from aiida_pet.data.speaking import Speaking
from aiida_pet.tables import fingerprints
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.table import Array, Table, check_unique, decode_strings, merge_units

if TYPE_CHECKING:
    import pandas as pd

IDS_FILE = f"{IDS}.npy"
"""Where the repository of a node has its ids, as UTF-8 bytes."""
_SEGMENTS = "segments"
# What the rows of a job were given: of no interest to the tables that are made of them.
_BESIDE = (fingerprints.ARRAY,)


class TableCaching(NodeCaching):
    """Hashes the content of a table: the same rows are the same, stored whole or in segments."""

    def get_objects_to_hash(self) -> dict[str, Any]:
        """Return what the hash is made of: class and attributes, of which one is the hash of all arrays."""
        node = self._node
        attributes = node.base.attributes.all
        if CONTENT not in attributes:  # made array by array, or stored by a version that did not know it
            return super().get_objects_to_hash()
        ignored = node._hash_ignored_attributes
        return {
            "class": str(node.__class__),
            "attributes": {key: value for key, value in attributes.items() if key not in ignored},
        }


class TableData(Speaking, orm.ArrayData):
    """N rows, each with a unique id (a string), and columns whose first dimension is N.

    Attributes: ``n_rows``; ``columns`` {name: unit or ""}; ``ragged`` {name: unit or ""} of columns whose rows differ
    in length; ``counts`` {column: {value: n}} of columns of texts with few distinct values and of flags; ``ranges``
    {column: [min, max]} of the finite values of columns of numbers; ``content_sha256`` of all arrays; ``segments``, the
    number of rows of each segment, if the table consists of segments.

    .. code-block:: python

        from aiida import orm

        results = orm.load_node(label="relax of alloys").outputs.results
        print(results.column("energy"), results.unit("energy"))
        frame = results.to_dataframe()
    """

    _CLS_NODE_CACHING = TableCaching
    # the order of columns is a matter of display, and segments are a matter of storage
    _hash_ignored_attributes = (*orm.ArrayData._hash_ignored_attributes, "column_names", _SEGMENTS)

    def initialize(self) -> None:
        """Set up what lives as long as the Python object."""
        super().initialize()  # type: ignore[no-untyped-call]
        self._clear()

    def _clear(self) -> None:
        self._arrays: dict[str, Array] = {}
        self._places: dict[str, int] | None = None
        self._segments: segments.Segments | None = None
        self._is_whole = False  # known to lie in no segments: each look at an attribute is a query

    # -- in --------------------------------------------------------------------------------------------------

    @classmethod
    def from_table(cls, table: Table, **kwargs: Any) -> Self:
        """Return an unstored node with the rows of ``table``.

        :param kwargs: further keywords of the node, such as ``label``.
        :raises ValueError: if the table is empty or a column's name cannot stand in a query.
        """
        node = cls(**kwargs)
        node.set_table(table)
        return node

    @classmethod
    def from_ids(cls, ids: Iterable[str], **kwargs: Any) -> Self:
        """Return an unstored node that contains only ids, to select rows.

        :raises DuplicateIdError: if an id occurs more than once.
        :raises ValueError: if there are none.
        """
        return cls.from_table(Table(np.array(list(ids), dtype=str)), **kwargs)

    @classmethod
    def from_segments(cls, ids: Array, order: Array, parts: Sequence[Self | Table], **kwargs: Any) -> Self:
        """Return an unstored node with the rows of ``parts`` in another order. It reuses the files of the parts.

        :param ids: (N,) of the rows.
        :param order: (N,) their positions among the rows of all ``parts`` one after the other; parts may have more
            rows.
        :param parts: stored tables, or rows that are not in a node. If a part does not have a column, missing values
            are filled in.
        :param kwargs: further keywords of the node, such as ``label``.
        :raises ValueError: if there are no rows, or two parts give a column different units.
        :raises DuplicateIdError: if an id occurs more than once.
        """
        node = cls(**kwargs)
        node._set_segments(np.asarray(ids, dtype=str), order, parts)
        return node

    def set_table(self, table: Table) -> None:
        """Set the rows of ``table`` as the content, replacing the earlier content.

        :raises ModificationNotAllowed: if the node is stored.
        :raises ValueError: if the table is empty or a column's name cannot stand in a query.
        """
        self._check_may_have(len(table))
        for name in (*table.columns, *table.ragged):
            check_name(name)
        self._remove_all()
        arrays = self._arrays_of(table)
        for name, array in arrays.items():
            self.set_array(name, plain_array(array))
        self._describe(list(arrays), table.units, arrays.__getitem__)

    def _set_segments(self, ids: Array, order: Array, parts: Sequence[Self | Table]) -> None:
        self._check_may_have(len(ids))
        if len(np.unique(ids)) != len(ids):
            check_unique(ids.tolist())
        self._remove_all()
        repository = self.base.repository
        super().set_array(IDS, plain_array(ids))
        repository.put_object_from_bytes(npy_bytes(order.astype(np.int32)), segments.ORDER_FILE)
        names = [IDS]
        for number, part in enumerate(parts):
            names += self._put_segment(number, part)
        self.base.attributes.set(_SEGMENTS, [len(part) for part in parts])
        units = [part.units if isinstance(part, Table) else part._units() for part in parts]
        names = list(dict.fromkeys(names))
        for name in names:
            self.base.attributes.set(f"{self.array_prefix}{name}", [])  # until it was looked at
        self._describe(names, merge_units(units), lambda name: decode_strings(self.get_array(name)))

    def _put_segment(self, number: int, part: TableData | Table) -> list[str]:
        """Write the files of ``part``; return the names of its arrays."""
        repository = self.base.repository
        if isinstance(part, TableData) and not part.is_segmented:
            columns = [COLUMN + name for name in part.column_names]  # attributes have no order in PostgreSQL
            names = dict.fromkeys([*columns, *part.get_arraynames()])
            found = [name for name in names if name not in _BESIDE]
            for name in found:
                with part.base.repository.open(f"{name}.npy", "rb") as handle:
                    repository.put_object_from_filelike(handle, segments.segment_file(number, name))  # type: ignore[arg-type]
            return found
        arrays = self._arrays_of(part.to_table() if isinstance(part, TableData) else part)
        for name, array in arrays.items():
            repository.put_object_from_bytes(
                npy_bytes(plain_array(array)), segments.segment_file(number, name)
            )
        return list(arrays)

    def _check_may_have(self, n_rows: int) -> None:
        if self.is_stored:
            raise ModificationNotAllowed(
                f"{type(self).__name__}<{self.pk}> is stored, so its rows cannot change"
            )
        if not n_rows:
            raise ValueError(f"a {type(self).__name__} needs at least one row, got none")

    def _remove_all(self) -> None:
        if self.base.attributes.keys():
            self.base.repository.erase()
            self.base.attributes.clear()
        self._clear()

    def set_array(self, name: str, array: Array) -> None:
        """Write one array; what was read before is forgotten."""
        super().set_array(name, array)
        if CONTENT in self.base.attributes.keys():  # noqa: SIM118 - not a dictionary
            self.base.attributes.delete(CONTENT)
        self._clear()

    def set_fingerprints(self, values: fingerprints.Fingerprints) -> None:
        """Write down what the rows were given, (N, 16); it is no column, and no part of the content that is hashed.

        :raises ValueError: if it is of another number of rows.
        """
        if values.shape != (len(self), fingerprints.SIZE):
            raise ValueError(
                f"fingerprints must have shape {(len(self), fingerprints.SIZE)}, got {values.shape}"
            )
        super().set_array(fingerprints.ARRAY, np.ascontiguousarray(values))

    def fingerprints(self) -> fingerprints.Fingerprints | None:
        """Return what the rows were given, (N, 16), None if it is not written down; it is read anew each time."""
        if self.base.attributes.get(f"{self.array_prefix}{fingerprints.ARRAY}", None) is None:
            return None
        found: fingerprints.Fingerprints = super().get_array(fingerprints.ARRAY)
        self._cached_arrays.pop(fingerprints.ARRAY, None)
        return found

    def _arrays_of(self, table: Table) -> dict[str, Array]:
        return (
            {IDS: table.ids}
            | {COLUMN + name: values for name, values in table.columns.items()}
            | {RAGGED + name: column.values for name, column in table.ragged.items()}
            | {OFFSETS + name: column.offsets for name, column in table.ragged.items()}
        )

    def _describe(self, names: Sequence[str], units: Mapping[str, str], get: Callable[[str], Array]) -> None:
        """Set the attributes of arrays, as :func:`~aiida_pet.data.description.describe` finds them."""
        found = describe(names, units, get)
        for name, shape in found.shapes.items():
            self.base.attributes.set(f"{self.array_prefix}{name}", shape)
        for key, value in found.attributes.items():
            self.base.attributes.set(key, value)

    def _validate(self) -> bool:
        super()._validate()
        n_rows = self.base.attributes.get("n_rows", 0)
        if not n_rows:
            raise ValidationError(f"a {type(self).__name__} needs rows: make it with from_table")
        names = [IDS, *(COLUMN + name for name in self.base.attributes.get("columns"))]
        for name in names:
            shape = self.base.attributes.get(f"{self.array_prefix}{name}", None)
            if not shape or shape[0] != n_rows:
                raise ValidationError(f"array {name!r} must have {n_rows} rows, got shape {shape}")
        for name in self.ragged_names:
            shape = self.base.attributes.get(f"{self.array_prefix}{OFFSETS}{name}", None)
            if shape != [n_rows + 1]:
                raise ValidationError(f"offsets of {name!r} must be {n_rows + 1}, got shape {shape}")
        return True

    # -- out -------------------------------------------------------------------------------------------------

    @property
    def is_segmented(self) -> bool:
        """Whether the table consists of segments, which are the files of the tables from which it was merged."""
        return self._read_segments() is not None

    def _read_segments(self) -> segments.Segments | None:
        if self._segments is None and not self._is_whole:
            sizes = self.base.attributes.get(_SEGMENTS, None)
            if sizes is None:
                self._is_whole = True
            else:
                [order] = load_arrays(self, [segments.ORDER_FILE])
                self._segments = segments.Segments(
                    sizes, order.astype(np.int64), segment_reader(self, len(sizes))
                )
        return self._segments

    def get_array(self, name: str | None = None) -> Array:
        """Return an array as it is stored, texts as UTF-8 bytes; segments are joined."""
        found = None if name is None or name == IDS else self._read_segments()
        if found is None or name is None:
            return super().get_array(name)
        if name not in self.get_arraynames():
            raise KeyError(f"no array {name!r} in {type(self).__name__}<{self.pk}>")
        offsets = self._offsets_of(name)
        if offsets == name:
            return found.offsets(name)
        return found.per_row(name) if offsets is None else found.values(name, offsets)

    @classmethod
    def _offsets_of(cls, name: str) -> str | None:
        """Return which array says what rows own of array ``name``; None if it has a row of its own for each."""
        if name.startswith((RAGGED, OFFSETS)):
            return OFFSETS + name.removeprefix(RAGGED).removeprefix(OFFSETS)
        return None

    def _arraynames_from_files(self) -> list[str]:
        """Return the names of all arrays, as files tell; AiiDA compares them with the attributes."""
        names = dict.fromkeys(super()._arraynames_from_files())
        sizes = self.base.attributes.get(_SEGMENTS, None)
        if sizes is not None:
            names.pop(segments.ORDER)
            for number in range(len(sizes)):
                names |= dict.fromkeys(segment_arrays(self, number))
        return list(names)

    def _array(self, name: str) -> Array:
        """Return an array of the repository, texts decoded, read once and then read-only in memory."""
        if name not in self._arrays:
            array = decode_strings(self.get_array(name))
            array.flags.writeable = False
            self._cached_arrays.pop(name, None)  # not twice in memory
            self._arrays[name] = array
        return self._arrays[name]

    def _row_at(self, place: int) -> Any:
        return self.row(str(self.ids[place]))

    def __len__(self) -> int:
        return int(self.base.attributes.get("n_rows", 0))

    @property
    def ids(self) -> Array:
        """(N,) str, the ids."""
        return self._array(IDS)

    @property
    def column_names(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.base.attributes.get("column_names", []))

    def column(self, name: str) -> Array:
        """Return column ``name``, (N, ...), read-only.

        :raises KeyError: if there is no such column; the message lists the columns.
        """
        self._known(name)
        return self._array(COLUMN + name)

    @classmethod
    def column_shapes(cls, attributes: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the shapes (N, ...) of the columns by name, in order, of a node with these attributes."""
        prefix = f"{cls.array_prefix}{COLUMN}"
        return {name: tuple(attributes[prefix + name]) for name in attributes.get("column_names", [])}

    @property
    def ragged_names(self) -> list[str]:
        """Names of the columns whose rows differ in length."""
        return list(self.base.attributes.get("ragged", {}))

    def ragged(self, name: str) -> Ragged:
        """Return column ``name`` whose rows differ in length, read-only.

        :raises KeyError: if there is no such column; the message lists the columns.
        """
        if name not in self.ragged_names:
            known = ", ".join(self.ragged_names) or "none"
            raise KeyError(
                f"no ragged column {name!r} in {type(self).__name__}<{self.pk}>, there are: {known}"
            )
        return Ragged(self._array(RAGGED + name), self._array(OFFSETS + name))

    def unit(self, name: str) -> str:
        """Return the unit of column ``name``, empty if it has none.

        :raises KeyError: if there is no such column; the message lists the columns.
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
        return {"id": row_id} | {
            name: known_value(name, self.column(name)[index].tolist()) for name in self.column_names
        }

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

        :raises KeyError: if an id is missing; the message lists missing ids.
        """
        return self.to_table().select(ids)

    def to_dataframe(self) -> pd.DataFrame:
        """Return the columns as a data frame indexed by ``id``: see :func:`aiida_pet.tables.frame.frame_of`."""
        from aiida_pet.tables.frame import frame_of  # noqa: PLC0415 - pandas takes a second to import

        return frame_of(self.to_table())
