"""Reads crystals from JSON as pymatgen, pandas and the databases of materials write it, as a stream. No AiiDA.

Understood are a list of records, one record, an object ``id -> record``, two levels of it (MPtrj's material ->
frame -> record), an object with a list of records in one of its fields (Alexandria's ``entries``, OPTIMADE's
``data``), a data frame in each orient of pandas that names its columns, and JSON lines. What a record is:
:mod:`~aiida_pet.io.json_records`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any, TextIO

from aiida_pet.io.crystal import Broken, Item, reason_of
from aiida_pet.io.ids import is_id_key
from aiida_pet.io.json_crystals import holds_crystal, is_crystal, is_crystal_text
from aiida_pet.io.json_envelopes import BEFORE, FRAME, primary_key, refuse_errors, remark_lists, remark_page
from aiida_pet.io.json_frames import ColumnFrame, SplitFrame
from aiida_pet.io.json_records import AmbiguousStructureError, JsonOptions, is_no_structure, item_of_record
from aiida_pet.io.json_stream import JsonStream, JsonStreamError
from aiida_pet.io.pymatgen_structures import atoms_from_structure, structure_of

__all__ = [
    "AmbiguousStructureError",
    "AseDatabaseFoundError",
    "JsonOptions",
    "atoms_from_structure",
    "item_of_record",
    "read_json",
    "read_json_lines",
    "structure_of",
]

# So many entries of an object's first object are read to tell what it is.
_HEAD = 256
_STRUCTURE_FIELDS = frozenset(
    {
        "structure", "initial_structure", "relaxed_structure", "final_structure", "entry",
        "computed_structure_entry", "atoms", "attributes",
    }
)  # fmt: skip
_OBJECT_FIELDS = frozenset(
    {"lattice", "properties", "data", "parameters", "composition", "energy_adjustments", "entries"}
)
# Lists of records, or the rows of a data frame.
_LISTS = frozenset(
    {"entries", "data", "structures", "records", "results", "documents", "docs", "materials", "response"}
)
# Fields of an object that are no column of a data frame.
_NO_COLUMNS = frozenset({"structures", "results", "result", "payload", "body"})
_VALUES = (
    "it is a list of lists (a data frame in orient='values'), which has no names of columns: write it with "
    "orient='split' or orient='records'"
)


class AseDatabaseFoundError(Exception):
    """Raised when the JSON is an ASE database, which ASE itself reads."""


def read_json_lines(text: TextIO, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystal of each line; a damaged line costs no other."""
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield Broken(None, f"line {number} is not valid JSON: {reason_of(error)}")
            continue
        if not is_no_structure(raw):
            yield item_of_record(raw, options, text=lambda line=line: line)  # type: ignore[misc]


def read_json(text: TextIO, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of ``text``, of any of the forms above.

    :raises JsonStreamError: where it is not valid JSON.
    :raises AseDatabaseFoundError: if it is an ASE database.
    :raises AmbiguousStructureError: if rows hold several structures and ``structure_key`` is None.
    :raises ValueError: if it is valid JSON of another shape.
    """
    stream = JsonStream(text)
    opening = stream.peek()
    if opening == "[":
        yield from _records(stream, options)
    elif opening == "{":
        yield from _read_object(stream, options)
    elif opening:
        raise ValueError(f"expected a JSON list or object of structures, got a {_kind(opening)}")
    else:
        raise JsonStreamError("expected a JSON list or object of structures, got an empty file")
    while stream.peek() == "{":  # JSON lines under the name .json
        raw = stream.value()
        if not is_no_structure(raw):
            yield item_of_record(raw, options, text=stream.last)
    stream.end()


def _kind(opening: str) -> str:
    """Return what a value of JSON is, by its first character."""
    return {"[": "list", "{": "object", '"': "text"}.get(opening, "number, true, false or null")


def _records(stream: JsonStream, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of the list of records at the cursor.

    :raises ValueError: if they are lists rather than records.
    """
    for _ in stream.array():
        if stream.peek() == "[":
            raise ValueError(_VALUES)
        raw = stream.value()
        if not is_no_structure(raw):
            yield item_of_record(raw, options, text=stream.last)


def _read_object(stream: JsonStream, options: JsonOptions) -> Iterator[Item]:
    """Tell by its first field what an object is."""
    names = stream.object()
    name = next(names, None)
    if name is None:
        raise ValueError("expected structures, got an empty object")
    opening = stream.peek()
    if name in BEFORE or (name in FRAME | _LISTS and opening == "["):
        yield from _read_envelope(stream, chain([name], names), options)
    elif opening == "{":
        yield from _read_objects(stream, name, names, options)
    else:
        first = stream.value()
        whole = {name: first} | {key: stream.value() for key in names}
        if not is_no_structure(whole):
            yield from _records_within(whole, options)


def _read_objects(
    stream: JsonStream, name: str, names: Iterator[str], options: JsonOptions
) -> Iterator[Item]:
    """Tell by its first value, an object, what an object is: records by id, one record or a data frame by columns."""
    inner = stream.object()
    exact = is_id_key(name, options.id_key)
    head = {key: stream.value(exact) for key in islice(inner, _HEAD)}
    rest = ((key, stream.value(exact)) for key in inner)
    whole_head = len(head) < _HEAD
    if whole_head and name.isdigit() and "unique_id" in head:
        raise AseDatabaseFoundError
    if name == "x-optimade":  # the header of JSON lines, what follows are structures
        for _ in chain(rest, (stream.value() for _ in names)):
            pass
        return
    single = name in _OBJECT_FIELDS or name == options.structure_key or name in _STRUCTURE_FIELDS
    crystal = holds_crystal(head) or any(holds_crystal(value) for key, value in head.items() if not _row(key))
    lists = _buried_lists(head) if name in _LISTS | _NO_COLUMNS and whole_head and not crystal else []
    if lists:
        for records in chain(lists, *(_buried_lists(stream.value()) for _ in names)):
            for raw in records:
                yield item_of_record(raw, options)
    elif _is_nested(head, single):
        yield from _nested(name, chain(head.items(), rest), options)
        for key in names:
            yield from _nested(key, _entries(stream, key), options)
    elif whole_head and (name in _OBJECT_FIELDS or (single and holds_crystal(head))):
        yield from _records_within({name: head} | {key: stream.value() for key in names}, options)
    elif whole_head and crystal and not single:
        numbered = name == "0" or options.id_key is not None  # rows of a data frame; other numbers are ids
        for key, value in chain([(name, head)], ((key, stream.value()) for key in names)):
            item = item_of_record(value, options, label=key)
            yield item if numbered or item.id is not None else replace(item, id=key)
    else:
        frame = ColumnFrame(options)
        frame.add_column(name, chain(head.items(), rest))
        yield from _frame_or_lists(frame, stream, names, options)


def _buried_lists(value: Any, depth: int = 5) -> list[list[dict[str, Any]]]:
    """Return the lists of records within an object, as a client of OPTIMADE keeps them by filter and by server."""
    if not isinstance(value, dict) or not depth:
        return []
    found = []
    for key, inner in value.items():
        if (
            key in _LISTS
            and isinstance(inner, list)
            and inner
            and all(isinstance(one, dict) for one in inner)
        ):
            found += [inner] if any(map(_is_record, inner)) else []
        else:
            found += _buried_lists(inner, depth - 1)
    return found


def _frame_or_lists(
    frame: ColumnFrame, stream: JsonStream, names: Iterator[str], options: JsonOptions
) -> Iterator[Item]:
    """Yield the rows of ``frame`` with its other columns, or of the lists of records that follow what was none."""
    has_lists = False
    for key in names:
        if has_lists or (stream.peek() == "[" and not frame.has_structures):
            has_lists = True
            yield from _dictionaries(stream, options)
        else:
            frame.add_column(key, _entries(stream, key, is_id_key(key, options.id_key)))
    if not has_lists:
        yield from frame.items()


def _dictionaries(stream: JsonStream, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of the records at the cursor, if it is a list; what is no record is passed over."""
    if stream.peek() != "[":
        stream.value()
        return
    for _ in stream.array():
        raw = stream.value()
        if isinstance(raw, dict) and not is_no_structure(raw):
            yield item_of_record(raw, options, text=stream.last)


def _entries(stream: JsonStream, name: str, exact: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield the entries of the object in field ``name``, at the cursor.

    :param exact: whether numbers are to remember how they are written.
    :raises ValueError: if it is none.
    """
    if stream.peek() != "{":
        raise ValueError(
            f"field {name!r} is a {_kind(stream.peek())}: expected a data frame in which every column is an object "
            "row -> value. Write other data frames with orient='records'"
        )
    for key in stream.object():
        yield key, stream.value(exact)


def _row(key: str) -> bool:
    """Whether ``key`` looks like a row of a data frame (a number, mp-149) rather than a field of a record."""
    return any(character.isdigit() for character in key) and key not in _STRUCTURE_FIELDS


def _records_within(whole: dict[str, Any], options: JsonOptions) -> Iterator[Item]:
    """Yield the crystal that ``whole`` is, or those of the one list of records in it."""
    lists = [
        name
        for name, value in whole.items()
        if isinstance(value, list) and value and isinstance(value[0], dict) and _is_record(value[0])
    ]
    data = whole.get("data")
    if len(lists) == 1 and not _is_record(whole):
        yield from _with_lists_beside(whole, lists[0], options)
    elif len(lists) > 1 and not _is_record(whole):
        for group in lists:
            yield from _grouped(group, whole[group], options)
    elif isinstance(data, dict) and not _is_record(whole) and _is_record(data):
        yield item_of_record(data, options)  # OPTIMADE's answer for one structure
    else:
        yield item_of_record(whole, options)


def _with_lists_beside(whole: dict[str, Any], name: str, options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of the list ``name``; where it is one of crystals, lists as long as it are columns."""
    listed = whole[name]
    if not holds_crystal(listed[0]):
        for raw in listed:
            yield item_of_record(raw, options)
        return
    columns = {"id" if key == "ids" else key: value for key, value in whole.items() if key != name}
    columns = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == len(listed)}
    for row, raw in enumerate(listed):
        fields = {key: values[row] for key, values in columns.items()}
        yield item_of_record(fields | {"structure": raw}, options)


def _grouped(group: str, records: list[Any], options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of one of several lists (``material -> frames``); its name is the column ``group``."""
    for number, raw in enumerate(records):
        item = item_of_record({"group": group} | raw if isinstance(raw, dict) else raw, options)
        yield item if item.id is not None else replace(item, id=f"{group}-{number}")


def _is_record(raw: dict[str, Any]) -> bool:
    return holds_crystal(raw) or any(holds_crystal(v) or is_crystal_text(v) for v in raw.values())


# -- MPtrj ---------------------------------------------------------------------------------------------------


def _is_nested(head: dict[str, Any], single: bool) -> bool:
    """Return whether an object's first value ``head`` is itself an object ``frame -> record``.

    In a data frame the rows of a column are structures or entries, which say their class; records do not.
    """
    if single or holds_crystal(head) or not head:
        return False
    return all(
        isinstance(v, dict) and "@class" not in v and not holds_crystal(v.get("attributes")) and _is_record(v)
        for v in head.values()
    ) and not (set(head) <= _STRUCTURE_FIELDS or any(map(is_crystal, head.values())))


def _nested(group: str, frames: Iterable[tuple[str, Any]], options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of the frames of one material; its name becomes the column ``mp_id``.

    Forces and stress are left out unless options say what they are: nothing in the file says their sign and unit
    (MPtrj's stress is in kbar).
    """
    for frame, raw in frames:
        if not isinstance(raw, dict):
            yield Broken(frame, f"expected a record with a structure, got {type(raw).__name__}")
            continue
        record = {"mp_id": group} | raw
        unsure = [name for name in ("force", "forces", "stress") if name not in options.results.column_map]
        options.dropped.update([name for name in unsure if record.pop(name, None) is not None])
        yield item_of_record(record, options, label=f"{group}-{frame}" if frame.isdigit() else frame)


# -- lists in an object --------------------------------------------------------------------------------------


def _read_envelope(stream: JsonStream, names: Iterator[str], options: JsonOptions) -> Iterator[Item]:
    """Yield the crystals of an object whose fields are a list of records, or the parts of a data frame."""
    beside: dict[str, Any] = {}
    frame: SplitFrame | None = None
    found, n_crystals = False, 0
    for name in names:
        if name not in _LISTS or stream.peek() != "[":
            beside[name] = stream.value()
            continue
        found = True
        elements = stream.array()
        if next(elements, True) is True:
            continue  # an empty list
        if stream.peek() == "[":
            frame = SplitFrame(options)
            for _ in chain([None], elements):
                yield from frame.add_row(stream.value(), beside, stream.last)
        else:
            label = primary_key(beside)
            for _ in chain([None], elements):
                raw = stream.value()
                n_crystals += 1
                if isinstance(raw, dict) and label is not None:
                    raw.pop(label, None)
                if not is_no_structure(raw):
                    yield item_of_record(raw, options, text=stream.last)
    if frame is not None:
        yield from frame.rest(beside)
    elif not found:
        refuse_errors(beside)
        yield from _records_within(beside, options)
    remark_page(beside, options)
    remark_lists(beside, n_crystals, options)
