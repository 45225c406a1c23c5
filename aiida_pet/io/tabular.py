"""Reads csv and parquet: structures as text in a column, or columns for the crystals of other files. No AiiDA.

A row with a CIF, a POSCAR or JSON in a column is a crystal. A table without any such column holds rows, which go to the
crystals of the same ids in the other files of an import. Ids are texts: ``NA``, ``nan``, ``0031`` and ``1e3`` are what
they are. Another column is of integers, numbers, flags or texts as all of its values are; what is empty is missing, and
so are ``nan``, ``NA`` and ``null`` among numbers.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from ase import Atoms

from aiida_pet.io.column_collector import ColumnCollector
from aiida_pet.io.crystal import MISSING_WORDS, Broken, Crystal, Item, OtherFileError
from aiida_pet.io.given_values import joined
from aiida_pet.io.ids import id_of, is_id_key, is_row_number
from aiida_pet.io.json_crystals import holds_crystal, is_crystal_text
from aiida_pet.io.json_records import AmbiguousStructureError, JsonOptions, item_of_record
from aiida_pet.io.left_out import LeftOut
from aiida_pet.tables.columns import Kind, kinds_of
from aiida_pet.units import VOIGT
from aiida_pet.words import plural, shortened

# Texts of CIFs and of JSON are longer than csv's own limit, 128 kB.
_LONGEST_FIELD = 1 << 27
_DELIMITERS = ",;\t|"
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf(inity)?", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+([eE][+-]?[0-9]+)?")
_SEPARATOR_HINT = re.compile(r"sep=(.)", re.IGNORECASE)
_FLAGS = {"true": True, "false": False}
# What an export makes of the crystals, and of a column with several values per crystal.
_DERIVED = ("formula", "n_atoms")
_COMPONENT = re.compile(rf"_({'|'.join(VOIGT)}|[0-9]+)\Z")


@dataclass(frozen=True)
class Row:
    """A row of a table without structures: columns of the crystal ``id`` of another file."""

    id: str
    columns: dict[str, Any]
    units: dict[str, str] = field(default_factory=dict)


class RowsBeside:
    """Rows that wait for the crystals of their ids."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def add(self, row: Row) -> None:
        """Take in ``row``; columns of several tables come together, the first value of a column counts."""
        known = self._rows.get(row.id)
        if known is not None:
            row = Row(row.id, row.columns | known.columns, row.units | known.units)
        self._rows[row.id] = row

    def join(self, places: Mapping[str, int], collector: ColumnCollector, left_out: LeftOut) -> None:
        """Give the columns that no crystal has itself to the crystals.

        :param places: id -> number of the crystal.
        :param left_out: counts the rows that no crystal has the id of.
        """
        own = collector.names() | set(_DERIVED)
        found = sorted(
            ((places[row_id], row) for row_id, row in self._rows.items() if row_id in places),
            key=lambda pair: pair[0],
        )
        for place, row in found:
            columns = {
                k: v for k, v in row.columns.items() if k not in own and _COMPONENT.sub("", k) not in own
            }
            units = {name: unit for name, unit in row.units.items() if name in columns}
            collector.add_crystal(place, Crystal(row.id, Atoms(), columns, units=units))
        lost = [row_id for row_id in self._rows if row_id not in places]
        if lost:
            whose = "its id" if len(lost) == 1 else "their ids"
            told = f"{plural(len(lost), 'row')} of a table without a crystal of {whose}"
            left_out.remark(f"{told}: {shortened(lost, 10)}")


def read_csv(
    open_text: Callable[[], AbstractContextManager[TextIO]], options: JsonOptions
) -> Iterator[Item | Row]:
    """Yield the crystals or rows of a csv file, which is read twice, since types are found for whole columns.

    :param open_text: opens the file.
    :raises ValueError: if it is no table, or has neither structures nor ids.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    with open_text() as text:
        names, rows = _rows(text)
        kinds, structures = _look(names, rows)
    structure = _structure_column(names, structures, options)
    _remark_commas(names, kinds, structure, options)
    # columns of nothing are columns all the same
    empty = {
        name: _nothing(name)
        for name, kind in zip(names, kinds, strict=True)
        if not kind and not _is_text(name, structure, options)
    }
    with open_text() as text:
        _, rows = _rows(text)
        for number, values in rows:
            if len(values) != len(names):
                known = dict(zip(names, values, strict=False))
                yield Broken(
                    id_of(known, options.id_key)[0],
                    f"line {number} has {len(values)} values: expected {len(names)}, one for each column that the "
                    f"first line names ({', '.join(names)[:100]})",
                )
                continue
            record = {
                name: value if _is_text(name, structure, options) else _typed(value, kind)
                for name, value, kind in zip(names, values, kinds, strict=True)
            }
            if structure is None:
                record |= empty
            yield _item(record, structure, options)


def _rows(text: TextIO) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the names of the columns and the rows with their line numbers.

    :raises ValueError: if it has no such names.
    """
    head = text.readline()
    hint = _SEPARATOR_HINT.fullmatch(head.strip())  # what Excel writes above a table
    head = text.readline() if hint else head
    delimiter = hint[1] if hint else max(_DELIMITERS, key=head.count)
    reader = csv.reader(_chain(head, text), delimiter=delimiter, strict=True)
    names = next(_checked(reader), (0, []))[1]
    if not names or len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise OtherFileError(
            f"its first line names {'no columns' if not names else f'column {twice[0]!r} twice'}"
        )
    return names, _checked(reader)


def _chain(head: str, text: TextIO) -> Iterator[str]:
    yield head
    yield from text


def _checked(reader: Any) -> Iterator[tuple[int, list[str]]]:
    try:
        for values in reader:
            if values:
                yield reader.line_num, values
    except csv.Error as error:
        raise ValueError(
            f"line {reader.line_num} is not valid csv: {error}: expected a value in quotes to begin right after the "
            'separator, and quotes inside the value to be doubled ("")'
        ) from error


def _look(names: list[str], rows: Iterable[tuple[int, list[str]]]) -> tuple[list[str], list[str]]:
    """Return the kind of each column, and the columns of which some value is the text of a structure."""
    kinds, structures = [""] * len(names), []
    for _, values in rows:
        for place, value in enumerate(values[: len(names)]):
            if not value:
                continue
            if names[place] not in structures and is_crystal_text(value):
                structures.append(names[place])
            if kinds[place] == "text":
                continue
            kinds[place] = _merged(kinds[place], _kind(value))
    return kinds, structures


def _kind(value: str) -> str:
    if value.lower() in _FLAGS:
        return "flag"
    if _INTEGER.fullmatch(value):
        return "integer"
    if _FLOAT.fullmatch(value):
        # 0031 is a label, 0.5 is a number
        return "text" if re.match(r"[+-]?0[0-9]", value) else "number"
    if value.lower() in MISSING_WORDS:
        return "missing"
    return "comma" if _DECIMAL_COMMA.fullmatch(value) else "text"


def _merged(one: str, other: str) -> str:
    kinds = {one, other} - {""}
    if len(kinds) == 1:
        return kinds.pop()
    if kinds <= {"comma", "integer", "number", "missing"} and "comma" in kinds:
        return "comma"
    numeric = {"integer", "number", "missing"}
    if kinds <= numeric:
        return "integer" if kinds == {"integer", "missing"} else "number"
    return "flag" if kinds == {"flag", "missing"} else "text"


def _typed(value: str, kind: str) -> Any:
    if kind in ("text", "missing", "comma"):
        return value
    if value.lower() in MISSING_WORDS:
        return None
    if kind == "flag":
        return _FLAGS[value.lower()]
    return int(value) if kind == "integer" else float(value)


def _nothing(name: str) -> Any:
    return "" if kinds_of(name) == {Kind.TEXT} else math.nan


def _remark_commas(names: list[str], kinds: list[str], structure: str | None, options: JsonOptions) -> None:
    """Say which columns hold numbers with a decimal comma."""
    for name, kind in zip(names, kinds, strict=True):
        if kind == "comma" and not _is_text(name, structure, options):
            options.dropped.remark(
                f"column {name!r} holds numbers with a decimal comma, so all its values were read as texts: write "
                "them with a decimal point"
            )


def _is_text(name: str, structure: str | None, options: JsonOptions) -> bool:
    """Return whether column ``name`` is taken as it stands: the structure, and what may be the id."""
    if name in (structure, "", options.id_key):
        return True
    return options.id_key is None and is_id_key(name, None)


def _structure_column(names: list[str], found: list[str], options: JsonOptions) -> str | None:
    """Return the column of the structures, None if there is none.

    :raises AmbiguousStructureError: if there are several.
    :raises ValueError: if the one that was asked for is not there.
    """
    if options.structure_key is not None:
        if options.structure_key not in names:
            raise OtherFileError(
                f"it has no column {options.structure_key!r}, columns are {', '.join(names)[:300]}"
            )
        return options.structure_key
    if len(found) > 1:
        raise AmbiguousStructureError(found)
    return found[0] if found else None


def _item(
    record: dict[str, Any], structure: str | None, options: JsonOptions, units: dict[str, str] | None = None
) -> Item | Row:
    """Return the crystal or the row; a column without a name, as pandas writes it, is its label."""
    record = joined(record)
    label = record.pop("", None)
    label = label if isinstance(label, str) and label and not is_row_number(label) else None
    if structure is not None:
        item = item_of_record(record, replace(options, structure_key=structure))
        named = item.id is None and label is not None and options.id_key is None
        return replace(item, id=label) if named else item
    row_id, key = id_of(record, options.id_key)
    row_id = row_id if row_id is not None or options.id_key is not None else label
    if row_id is None:
        raise OtherFileError(
            "it holds neither structures (CIF, POSCAR or JSON in a column) nor ids that match crystals of other "
            f"files: columns are {', '.join(record)[:300]}"
        )
    record.pop(key or "", None)
    return Row(row_id, record, units or {})


def read_parquet(path: Path, options: JsonOptions) -> Iterator[Item | Row]:
    """Yield the crystals or rows of a parquet file; units come from the key ``units`` of its metadata.

    :raises ValueError: if it is none, pyarrow is not there, or it has neither structures nor ids.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise OtherFileError(
            "parquet needs pyarrow, which is not installed: `pip install 'aiida-pet[parquet]'`"
        )
    arrow, parquet, types = (
        importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet", "pyarrow.types")
    )
    try:
        file = parquet.ParquetFile(path)
        stated = json.loads((file.schema_arrow.metadata or {}).get(b"units", b"{}"))
        units = {str(name): str(unit) for name, unit in stated.items()} if isinstance(stated, dict) else {}
        structure: str | None = None
        numeric = [
            field.name
            for field in file.schema_arrow
            if any(test(field.type) for test in (types.is_boolean, types.is_integer, types.is_floating))
        ]
        for number, batch in enumerate(file.iter_batches(batch_size=1000)):
            records = batch.to_pylist()
            if number == 0:
                structures = [
                    name
                    for name in batch.schema.names
                    if any(is_crystal_text(r[name]) or holds_crystal(r[name]) for r in records[:10])
                ]
                structure = _structure_column(batch.schema.names, structures, options)
            for record in records:
                label = record.pop("__index_level_0__", None)
                if structure is None:  # columns of nothing are columns all the same
                    record |= {name: math.nan for name in numeric if record.get(name, "") is None}
                yield _item({str(k): v for k, v in record.items()} | {"": label}, structure, options, units)
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(f"not a parquet file: {error}") from error
