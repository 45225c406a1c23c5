"""Which field of a crystal holds its id, and the text that an id is. No AiiDA.

An id is the text that stands in the file. Readers hand :func:`id_of` the text itself wherever the format has one,
before anything types it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

# The key under which this program writes ids.
EXPORTED_ID_KEY = "id"

# Names that may hold the id of a crystal, in order of preference.
ID_KEYS = (EXPORTED_ID_KEY, "material_id", "entry_id", "name")

# Where none of those is there: the names of Alexandria, JARVIS, the Materials Project, MatPES, AFLOW and MongoDB.
FURTHER_ID_KEYS = ("mat_id", "jid", "task_id", "matpes_id", "auid", "_id")

_LOOKS_LIKE_ID = re.compile(
    r"(.*[_ -])?([a-z]|uu|gu)?(id|ID|Id)|.*[a-z0-9](Id|ID)|[Ii]dentifier|[Ll]abel|[Cc]ode"
)


def id_text(value: Any) -> str | None:
    """Return the id that ``value`` is, None where it is none: null, NaN, an empty text, a list, an object.

    A text is itself. What a parser has typed already is written as JSON writes it; a number that remembers its
    text in an attribute ``text`` is that text; of MongoDB's ``{"$oid": ...}`` it is the text within.
    """
    if isinstance(value, Mapping) and set(value) == {"$oid"}:
        value = value["$oid"]
    if isinstance(value, np.generic):
        value = value.item()
    text = getattr(value, "text", None)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(text, str):
        return text if text.strip() else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value) if str(value).strip() else None
    return None


def id_of(fields: Mapping[str, Any], id_key: str | None) -> tuple[str | None, str | None]:
    """Return the id in ``fields`` and the key it stood under, (None, None) if there is none.

    :param id_key: the key to look under; None for :data:`ID_KEYS` and then :data:`FURTHER_ID_KEYS`, in any case and
        with or without ``_``, ``-`` and blanks (``MaterialId``); empty for no key at all.
    """
    if id_key is not None:
        text = id_text(fields.get(id_key)) if id_key else None
        return (None, None) if text is None else (text, id_key)
    for keys in (ID_KEYS, FURTHER_ID_KEYS):
        for key in keys:
            text = id_text(fields.get(key))
            if text is not None:
                return text, key
        alike = {_plain(key): key for key in reversed(list(fields)) if key not in keys}
        for name in keys:
            other = alike.get(_plain(name), "")
            text = id_text(fields.get(other))
            if text is not None:
                return text, other
    return None, None


def is_id_key(name: str, id_key: str | None) -> bool:
    """Return whether field ``name`` may hold the ids, so that its values are to be taken as they are written.

    :param id_key: as of :func:`id_of`.
    """
    return _plain(name) in _PLAIN_KEYS if id_key is None else name == id_key


def is_row_number(label: str) -> bool:
    """Return whether the label of a row only counts: ``17``, but not ``0017``."""
    return label.isdigit() and (label == "0" or not label.startswith("0"))


def without_empty_ids(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` without an ``id`` that is none: an empty text is no column of its own."""
    return {
        key: value
        for key, value in fields.items()
        if not (key == EXPORTED_ID_KEY and isinstance(value, str) and not value.strip())
    }


@cache
def sounds_like_id(name: str) -> bool:
    """Return whether ``name`` sounds like a field of ids."""
    return _LOOKS_LIKE_ID.fullmatch(name) is not None


def _plain(name: str) -> str:
    """Return ``name`` in small letters without what separates its words, but for a leading ``_``."""
    lead = "_" if name.startswith("_") else ""
    return lead + re.sub(r"[\s_-]+", "", name).lower()


_PLAIN_KEYS = frozenset(map(_plain, (*ID_KEYS, *FURTHER_ID_KEYS)))
