"""Reads the comment line of extxyz: ``key=value`` pairs as the text that stands there, and what they mean.

Values are bare, or in quotes (``"..."``, ``'...'``) or brackets (``[...]``, ``{...}``). A backslash escapes a quote, a
bracket, a blank, an equals sign or a backslash; before anything else it is a backslash. A key without a value is a
flag, ``T``. Nothing is typed before :func:`typed`, so that an id is what stands in the file.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

_KEY = re.compile(r"(?:\\.|[^\s=\\])+|\\", re.DOTALL)
_BARE = re.compile(r"(?:\\.|[^\s\\])+|\\", re.DOTALL)
_QUOTED = {
    '"': re.compile(r'"((?:\\.|[^"\\])*)"', re.DOTALL),
    "'": re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL),
}
_BRACKETS = {"[": "]", "{": "}"}
_BLANK = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\([\\\"'\s=\[\]{}])")
_INTEGER = re.compile(r"[+-]?[0-9]+\Z")
_FLOAT = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eEdD][+-]?[0-9]+)?\Z|[+-]?(?:nan|inf|infinity)\Z", re.I
)
_FLAGS = {"T": True, "F": False, "true": True, "false": False, "True": True, "False": False, "TRUE": True,
          "FALSE": False}  # fmt: skip
_PARTS = re.compile(r"[^\s,\[\]{}]+")
_JSON = "_JSON "
# What Python writes for a missing value.
_NO_ID = re.compile("[nN][aA][nN]|None")


@dataclass(frozen=True)
class Value:
    """A value of the comment line.

    :ivar text: as it stands in the file, without quotes, brackets and escapes.
    :ivar quoted: whether it stood in quotes.
    :ivar flag: whether there was a key only.
    """

    text: str
    quoted: bool = False
    flag: bool = False


def parse(line: str, again: set[str] | None = None) -> tuple[dict[str, Value], str]:
    """Return the values by key and what is wrong with the line, empty where nothing is; the last of a key counts.

    :param again: takes the keys that stand there more than once, with different values.
    """
    values: dict[str, Value] = {}
    place = 0
    while True:
        place = _after_blanks(line, place)
        if place >= len(line):
            return values, ""
        if line[place] == "=":  # a value without a key
            place += 1
            continue
        quoted = _QUOTED[line[place]].match(line, place) if line[place] in _QUOTED else None
        found = quoted or _KEY.match(line, place)
        if found is None:
            return values, f"the comment line cannot be read from {line[place : place + 20]!r} on"
        key, place = _plain(found[1] if quoted else found[0]), found.end()
        value: Value | None
        after = _after_blanks(line, place)
        if after >= len(line) or line[after] != "=":
            value = Value("T", flag=True)
        else:
            value, place = _value(line, after + 1)
        if value is None:
            return values, f"the value of {key!r} in the comment line has no closing quote or bracket"
        if again is not None and key in values and values[key].text != value.text:
            again.add(key)
        values[key] = value


def _after_blanks(line: str, place: int) -> int:
    found = _BLANK.match(line, place)
    return found.end() if found else place


def _value(line: str, start: int) -> tuple[Value | None, int]:
    place = _after_blanks(line, start)
    if place >= len(line):
        return Value(""), place
    first = line[place]
    if first in _QUOTED:
        quoted = _QUOTED[first].match(line, place)
        return (Value(_plain(quoted[1]), quoted=True), quoted.end()) if quoted else (None, place)
    if first in _BRACKETS:
        end = _closing(line, place)
        return (Value(line[place + 1 : end - 1]), end) if end else (None, place)
    bare = _BARE.match(line, place)
    if bare is None or (place > start and "=" in bare[0]):  # `a= b=c`: a is empty
        return Value(""), place
    return Value(_plain(bare[0])), bare.end()


def _closing(line: str, start: int) -> int:
    """Return the place behind the bracket that closes the one at ``start``, 0 if none does."""
    open_, close, depth = line[start], _BRACKETS[line[start]], 0
    for place in range(start, len(line)):
        depth += (line[place] == open_) - (line[place] == close)
        if depth == 0:
            return place + 1
    return 0


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text) if "\\" in text else text


def text_of(value: Value) -> str | None:
    """Return the text of ``value`` that is an id; None for a flag, bare ``nan`` or ``None``, and where there is none.

    A text that this program or ASE wrote as JSON, since it has line breaks, is what it stands for.
    """
    if value.flag or not value.text.strip() or (not value.quoted and _NO_ID.fullmatch(value.text)):
        return None
    if value.text.startswith(_JSON):
        decoded = json_of(value)
        return decoded if isinstance(decoded, str) and decoded.strip() else value.text
    return value.text


def json_of(value: Value) -> Any:
    """Return what stands behind ``_JSON`` in ``value``, None where it is no JSON."""
    try:
        return json.loads(value.text.removeprefix(_JSON))
    except (ValueError, RecursionError):
        return None


def numbers(text: str) -> np.ndarray | None:
    """Return (n,) float64 of numbers apart by blanks or commas, None if ``text`` is anything else."""
    try:
        return np.array([_float(part) for part in _PARTS.findall(text)], dtype=np.float64)
    except ValueError:
        return None


def _float(text: str) -> float:
    if _FLOAT.match(text) is None:
        raise ValueError(text)
    return float(text.replace("D", "e").replace("d", "e") if text[-1].isdigit() else text)


def flags(text: str) -> list[bool] | None:
    """Return flags apart by blanks or commas (T, F, true, false, 1, 0), None if ``text`` is anything else."""
    known = _FLAGS | {"1": True, "0": False}
    try:
        return [known[part] for part in _PARTS.findall(text)]
    except KeyError:
        return None


def typed(value: Value) -> Any:
    """Return ``value`` as bool, int, float, list of integers or numbers, JSON, or else as text."""
    text = value.text
    if text in _FLAGS:
        return _FLAGS[text]
    if _INTEGER.match(text):
        return int(text) if len(text) < 20 else float(text)
    if _FLOAT.match(text):
        return _float(text)
    if text.startswith(_JSON):
        decoded = json_of(value)
        return text if decoded is None and text.removeprefix(_JSON).strip() != "null" else decoded
    several = numbers(text) if any(blank in text for blank in " ,\t") else None
    if several is not None and several.size:
        parts = _PARTS.findall(text)
        whole = all(_INTEGER.match(part) and len(part) < 20 for part in parts)
        return [int(part) for part in parts] if whole else several.tolist()
    return text
