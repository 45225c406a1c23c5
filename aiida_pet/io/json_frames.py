"""Data frames as JSON: pandas' orient ``columns`` and ``split``. The structures may come before the ids. No AiiDA."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from aiida_pet.io.crystal import Broken, Crystal, Item, reason_of
from aiida_pet.io.ids import id_of, is_row_number
from aiida_pet.io.json_crystals import (
    Found,
    crystal_of_dict,
    crystal_of_text,
    holds_crystal,
    is_crystal_text,
)
from aiida_pet.io.json_records import (
    AmbiguousStructureError,
    JsonOptions,
    columns_of,
    item_of_record,
    looks_typed,
)
from aiida_pet.io.json_stream import FloatText
from aiida_pet.tables.crystals import StructureTableBuilder


class ColumnFrame:
    """A data frame by columns, ``{column: {row: value}}``. The structures wait in flat arrays for their ids."""

    def __init__(self, options: JsonOptions) -> None:
        self._options = options
        self._column = options.structure_key
        self._labels: dict[str, None] = {}
        self._structures = StructureTableBuilder()
        self._place: dict[str, int] = {}
        self._inner: list[Found] = []
        self._reasons: dict[str, str] = {}
        self._fields: dict[str, dict[str, Any]] = {}
        self._seen: dict[str, None] = {}

    @property
    def has_structures(self) -> bool:
        """Whether some column holds structures, or is to hold them."""
        return self._column is not None

    def add_column(self, name: str, entries: Iterable[tuple[str, Any]]) -> None:
        """Take in column ``name``: (row label, value) pairs."""
        self._seen[name] = None
        for label, value in entries:
            self._labels.setdefault(label)
            crystal = holds_crystal(value) or is_crystal_text(value)
            if crystal and self._column is None:
                self._column = name
            if name == self._column and isinstance(value, dict | str):
                self._add_structure(label, value)
            elif holds_crystal(value) and self._options.structure_key is None:
                raise AmbiguousStructureError([name, str(self._column)])
            elif isinstance(value, dict) or crystal:
                self._options.dropped.add(name)
            else:
                self._fields.setdefault(name, {})[label] = value

    def _add_structure(self, label: str, value: dict[str, Any] | str) -> None:
        try:
            if isinstance(value, str):
                found = crystal_of_text(value)
            elif holds_crystal(value):
                found = crystal_of_dict(value)
            else:
                raise ValueError(f"expected a structure in column {self._column!r}, got {sorted(value)[:12]}")
        except ValueError as error:
            self._reasons[label] = reason_of(error)
            return
        self._place[label] = len(self._structures)
        self._structures.add(label, found.atoms)
        meant = self._options.results.column_map
        fields = {k: v for k, v in found.fields.items() if k in meant or not isinstance(v, dict | list)}
        self._options.dropped.update(k for k in found.fields if k not in fields)
        self._inner.append(replace(found, atoms=None, fields=fields))  # type: ignore[arg-type]

    def items(self) -> Iterator[Item]:
        """Yield the rows, in the order of their labels in the file.

        :raises ValueError: if no column holds structures.
        """
        if self._column is None:
            raise ValueError(
                "it is not a list of records, and no column of a data frame holds structures; its fields are "
                f"{', '.join(self._seen)[:300]}: expected a list of records, or an object that has the list in a "
                "field entries, data or structures"
            )
        table = self._structures.build()
        for label in self._labels:
            place = self._place.get(label)
            fields = {} if place is None else dict(self._inner[place].fields)
            fields |= {name: values[label] for name, values in self._fields.items() if label in values}
            fields = {key: value for key, value in fields.items() if not key.startswith("@")}
            row_id, key = id_of(fields, self._options.id_key)
            fields.pop(key or "", None)
            if row_id is None and self._options.id_key != "" and not is_row_number(label):
                row_id = label
            if place is None:
                reason = self._reasons.get(
                    label, f"expected a structure in column {self._column!r}, got none"
                )
                yield Broken(row_id, reason)
                continue
            atoms = table.ase_at(place)
            columns, atom_columns = columns_of(fields, atoms, self._options)
            yield Crystal(row_id, atoms, columns, atom_columns | self._inner[place].atom_columns)


class SplitFrame:
    """A data frame in orient ``split``: names of columns, the rows as lists, and perhaps an index, in any order."""

    def __init__(self, options: JsonOptions) -> None:
        self._options = options
        self._number = 0
        self._waiting: list[Any] = []  # rows without names of columns yet
        self._unnamed: list[Item] = []  # crystals that an index after them may name

    def add_row(self, row: Any, beside: dict[str, Any], text: Callable[[], str]) -> Iterator[Item]:
        """Take in a row and yield what is complete.

        :param beside: the other fields of the frame as far as they are known.
        :param text: returns the JSON of the row.
        """
        if "columns" not in beside:
            self._waiting.append(row)
            return
        item = self._item(row, beside, text)
        self._number += 1
        if item.id is None and "index" not in beside:
            self._unnamed.append(item)
        else:
            yield from self._unnamed
            self._unnamed.clear()
            yield item

    def rest(self, beside: dict[str, Any]) -> Iterator[Item]:
        """Yield what waited for fields that came after the rows.

        :raises ValueError: if the frame has no names of columns.
        """
        if self._waiting and "columns" not in beside:
            raise ValueError(
                "its field 'data' holds rows, but there is no field 'columns' with the names of their columns"
            )
        for row in self._waiting:
            self._unnamed.append(self._item(row, beside, None))
            self._number += 1
        index = beside.get("index")
        for place, item in enumerate(self._unnamed):
            label = self._label(index, place)
            yield replace(item, id=label) if item.id is None and label is not None else item

    def _item(self, row: Any, beside: dict[str, Any], text: Callable[[], str] | None) -> Item:
        names = beside["columns"]
        if not isinstance(names, list) or not isinstance(row, list) or len(row) != len(names):
            return Broken(
                None,
                f"row {self._number} is not a list with one value for each column ({str(names)[:100]})",
            )
        names = [".".join(map(str, name)) if isinstance(name, list) else str(name) for name in names]
        record = dict(zip(names, row, strict=True))
        item = item_of_record(record, self._options)
        if text is not None and item.id is not None and looks_typed(item.id):
            exact = json.loads(text(), parse_float=FloatText)
            item = item_of_record(dict(zip(names, exact, strict=True)), self._options)
        label = self._label(beside.get("index"), self._number)
        return replace(item, id=label) if item.id is None and label is not None else item

    def _label(self, index: Any, place: int) -> str | None:
        """Return the label of a row, None where it is only its number."""
        if self._options.id_key is not None or not isinstance(index, list) or place >= len(index):
            return None
        label = index[place]
        return label if isinstance(label, str) and not is_row_number(label) else None
