"""Numbers, names and times in words, and values as tables for people and JSON show them."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

DIGITS = 6
"""Of numbers in tables for people."""
_SPOKEN_AS_K = ("epoch", "stomach", "monarch", "tech")
"""Words whose last two letters are spoken as k, so that they take only an s."""
_SURE = 0.8  # how much of two names is alike where one is surely a slip of the other


def plural(count: int, noun: str) -> str:
    """Return ``1 crystal`` or ``2 crystals``; also ``2 entries``, ``2 batches`` and ``2 epochs``.

    :param noun: one noun, or words that end with it.
    """
    return f"{count:,} {noun if count == 1 else _plural_of(noun)}"


def _plural_of(noun: str) -> str:
    if re.search(r"[^aeiou]y$", noun):
        return f"{noun[:-1]}ies"
    hissing = noun.endswith(("s", "x", "z", "ch", "sh")) and not noun.lower().endswith(_SPOKEN_AS_K)
    return f"{noun}es" if hissing else f"{noun}s"


def with_article(noun: str) -> str:
    """Return ``noun`` after its indefinite article, such as ``an Int``."""
    return f"{'an' if noun[:1].upper() in 'AEIOU' else 'a'} {noun}"


def shortened(names: Sequence[Any], most: int = 12) -> str:
    """Return names in one line, not more than ``most`` of them."""
    if len(names) > most:
        return f"{' '.join(map(str, names[:most]))} ... ({len(names)} in all)"
    return " ".join(map(str, names))


def duration(seconds: float | None) -> str:
    """Return a time for people: ``42 s``, ``3 min 05 s``, ``2 h 10 min``, ``1 d 04 h``; ``?`` for None."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"


def size(n_bytes: float) -> str:
    """Return an amount of data for people: ``41 kB``, ``1.3 MB``, ``32.3 GB``."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= one:
            return f"{n_bytes / one:,.3g} {unit}"
    return plural(round(n_bytes), "byte")


def without_codes(error: BaseException) -> str:
    """Return the message of ``error`` without the system's numbers: ``[Errno 111]`` says nothing to most people."""
    return re.sub(r"\[Errno -?\d+\] ", "", str(error)).strip()


def either(choices: Sequence[str]) -> str:
    """Return ``a, b or c``."""
    (*others, last) = choices
    return f"{', '.join(others)} or {last}" if others else last


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean a or b?)`` for the names that ``name`` may be a slip of, empty if there is none."""
    close = close_names(name, known)
    return f" (did you mean {either(close)}?)" if close else ""


def close_names(name: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    """Return the names that ``name`` may be a slip of, the closest first, three at most.

    Case, blanks, hyphens and underscores do not count. If no name is spelt nearly alike, the shortest name that begins
    alike and has the letters of ``name`` in their order comes first. If no name is spelt alike at all, the names that
    begin with ``name``, contain it, or have its letters in their order are taken.

    :param cutoff: how much of two names must be alike, as :func:`difflib.get_close_matches` takes it.

    >>> close_names("E-Above-Hul", ["energy", "e_above_hull"]), close_names("ehull", ["energy", "e_above_hull"])
    (['e_above_hull'], ['e_above_hull'])
    >>> close_names("ehull", ["hull_of", "e_above_hull"])
    ['e_above_hull', 'hull_of']
    """
    spelt: dict[str, list[str]] = {}
    for one in known:
        spelt.setdefault(_letters(one), []).append(one)
    asked = _letters(name)
    if asked in spelt:
        return spelt[asked][:3]
    close = difflib.get_close_matches(asked, list(spelt), n=3, cutoff=cutoff)
    if len(asked) > 2:
        in_order = re.compile(".*".join(map(re.escape, asked)))
        shortest = sorted(filter(in_order.match, spelt), key=len)
        if close and len(asked) > 3 and not difflib.get_close_matches(asked, close, n=1, cutoff=_SURE):
            close = list(dict.fromkeys([*shortest[:1], *close]))
        for test in (lambda one: one.startswith(asked), lambda one: asked in one, in_order.match):
            close = close or sorted(filter(test, spelt), key=len)
    return [one for letters in close for one in spelt[letters]][:3]


def _letters(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def unknown_name(name: str, known: Iterable[str], shown: str = "") -> str:
    """Return that ``name`` is unknown, which there are, and which it may be a slip of.

    :param shown: what ``name`` is called in the message, if it is more.
    """
    names = list(known)
    return f"{shown or name}: unknown; known are {', '.join(names)}{did_you_mean(name, names)}"


def without_negative_zero(text: str) -> str:
    """Return a number in digits, without the sign of ``-0.00``."""
    return text if text.strip("-0.") else text.removeprefix("-")


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: numpy types become Python's, NaN and infinities None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy arrays and scalars
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return None if type(value).__name__ == "NAType" else str(value)  # pandas' word for a missing flag


def assigned(values: Mapping[str, Any]) -> str:
    """Return ``name=value, ...`` as it may be typed, and the names of what has no value at the end.

    >>> assigned({"fmax": 0.02, "temperatures": [0.0, 100.0], "supercell": None})
    'fmax=0.02, temperatures=[0, 100]; not set: supercell'
    """
    told = ", ".join(f"{name}={_typed(value)}" for name, value in values.items() if value is not None)
    unset = ", ".join(name for name, value in values.items() if value is None)
    return "; ".join([told] * bool(told) + [f"not set: {unset}"] * bool(unset))


def _typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_typed, value))}]"
    return cell(value)


def cell(value: Any) -> str:
    """Return one cell of a table for people."""
    value = plain(value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    if isinstance(value, list | dict):
        return json.dumps(value)
    return str(value)
