"""What a table of the database says of its arrays: names, units, counts, ranges, and the hash of all of them.

Arrays are named as in :mod:`aiida_pet.data.table`. Free of AiiDA, so that the node class holds storage alone.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_pet.tables.arrays import Array
from aiida_pet.tables.columns import Kind, kinds_of
from aiida_pet.tables.table import encode_strings

IDS = "ids"
COLUMN = "column_"
RAGGED = "ragged_"
OFFSETS = "offsets_"
CONTENT = "content_sha256"
# More distinct texts than this are names or messages, not categories, and would only swell the attributes.
MAX_CATEGORIES = 32


@dataclass(frozen=True)
class Description:
    """What there is to say of the arrays of a table.

    :ivar shapes: shapes of each array by name, as it is with texts decoded.
    :ivar attributes: that people query, and the hash of the content.
    """

    shapes: dict[str, list[int]]
    attributes: dict[str, Any]


def describe(names: Sequence[str], units: Mapping[str, str], get: Callable[[str], Array]) -> Description:
    """Return the description of arrays, which are looked at one at a time.

    :param names: names of the arrays, columns in their order.
    :param units: units of columns that have one.
    :param get: returns an array by name, texts decoded.
    """
    counts, ranges, shapes = {}, {}, {}
    digests = hashlib.sha256()
    for name in sorted(names):
        values = get(name)
        plain = plain_array(values)
        digests.update(f"{name} {plain.dtype.str} {plain.shape} ".encode())
        digests.update(hashlib.sha256(plain.data if plain.size else b"").digest())
        shapes[name] = list(values.shape)
        if name.startswith(COLUMN):
            column = name.removeprefix(COLUMN)
            if values.ndim == 1 and values.dtype.kind == "f" and Kind.FLAG in kinds_of(column):
                values = values[~np.isnan(values)].astype(bool)  # those that are known
            counts[column] = _counts(values)
            ranges[column] = _range(values)
    columns = [name.removeprefix(COLUMN) for name in names if name.startswith(COLUMN)]
    ragged = [name.removeprefix(RAGGED) for name in names if name.startswith(RAGGED)]
    attributes = {
        "n_rows": shapes[IDS][0],
        "columns": {name: units.get(name, "") for name in columns},
        "column_names": columns,
        "counts": {name: counts[name] for name in columns if counts[name]},
        "ranges": {name: ranges[name] for name in columns if ranges[name]},
        "ragged": {name: units.get(name, "") for name in ragged},
        CONTENT: digests.hexdigest(),
    }
    return Description(shapes, attributes)


def check_name(name: str) -> None:
    """:raises ValueError: if ``name`` cannot name a column."""
    if not re.fullmatch(r"[a-zA-Z][0-9a-zA-Z_]*", name):
        raise ValueError(
            f"column name {name!r} cannot stand in a query: expected a letter, then letters, digits or _"
        )


def plain_array(array: Array) -> Array:
    """Return ``array`` as equal content is always stored: native bytes, C order, texts as UTF-8."""
    if array.dtype.kind == "U":
        # the narrowest width, so that the width an array happens to have does not change the hash
        width = max(1, int(np.char.str_len(array).max(initial=1)))
        array = encode_strings(array.astype(f"U{width}"))
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def npy_bytes(array: Array) -> bytes:
    """Return the content of an ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def npy_array(content: bytes) -> Array:
    """Return the array in the content of an ``.npy`` file."""
    array: Array = np.load(io.BytesIO(content), allow_pickle=False)
    return array


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


def known_value(name: str, value: Any) -> Any:
    """Return ``value`` of column ``name``: a flag as True or False, a count as int, None where they are missing."""
    kinds = kinds_of(name)
    if isinstance(value, list) and Kind.COUNT in kinds:
        return [known_value(name, one) for one in value]
    if not isinstance(value, float):
        return value
    if Kind.FLAG in kinds and value in (0.0, 1.0):
        return bool(value)
    if Kind.COUNT in kinds and value.is_integer():
        return int(value)
    return None if np.isnan(value) and kinds & {Kind.FLAG, Kind.COUNT} else value
