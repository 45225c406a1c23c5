"""Values of a condition: columns and constants with what they hold, and what can be done with them. No AiiDA.

See :mod:`aiida_pet.tables.filter`, which reads conditions. Missing numbers and texts fulfil no comparison but ``!=``; a
flag that is missing is neither true nor false, nor is what is said of it alone.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.tables.columns import Kind as ColumnKind
from aiida_pet.tables.columns import kinds_of
from aiida_pet.tables.table import Array
from aiida_pet.units import VOIGT


class FilterError(ValueError):
    """Raised for a condition that is not understood; the message says what is and names the columns."""


class Kind(Enum):
    """What a column or a constant holds."""

    NUMBER = "numbers"
    TRUTH = "yes and no"
    TEXT = "texts"
    OTHER = "neither numbers nor texts"
    UNKNOWN = "nothing"


_COMPARE: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
SIGNS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_COMPUTE: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.USub: operator.sub,
    ast.UAdd: operator.add,
}
_DTYPES: dict[Kind, type] = {Kind.NUMBER: float, Kind.TRUTH: bool}
_OF_CATALOGUE = {
    ColumnKind.NUMBER: Kind.NUMBER,
    ColumnKind.COUNT: Kind.NUMBER,
    ColumnKind.FLAG: Kind.TRUTH,
    ColumnKind.TEXT: Kind.TEXT,
}
_INFERRED = {
    "string": Kind.TEXT,
    "boolean": Kind.TRUTH,
    "integer": Kind.NUMBER,
    "floating": Kind.NUMBER,
    "mixed-integer-float": Kind.NUMBER,
    "decimal": Kind.NUMBER,
    "empty": Kind.UNKNOWN,
}


@dataclass(frozen=True)
class Value:
    """A column, a constant or what they come to.

    :ivar kind: what it holds.
    :ivar data: (N,) of a column, an array without a dimension of a constant. Numbers are NaN, texts None and truths
        False where they are missing.
    :ivar missing: bool, of the shape of ``data``.
    :ivar text: as it stands in the condition, for messages.
    """

    kind: Kind
    data: Array
    missing: Array
    text: str = ""

    @classmethod
    def of_constant(cls, value: Any, text: str) -> Value:
        """Return a number, a text, True, False, or None."""
        if isinstance(value, bool):
            return cls(Kind.TRUTH, np.array(value), np.array(False), text)
        if isinstance(value, int | float):
            try:
                number = np.array(float(value))
            except OverflowError as error:
                raise FilterError(f"{text} is too large for a number") from error
            return cls(Kind.NUMBER, number, np.isnan(number), text)
        if isinstance(value, str):
            return cls(Kind.TEXT, np.array(value, dtype=object), np.array(False), text)
        if value is None:
            return cls(Kind.UNKNOWN, np.array(np.nan), np.array(True), text)
        raise FilterError(f"{text} is neither a number nor a text")

    @classmethod
    def joined(cls, values: Sequence[Value], *, all_of: bool) -> Value:
        """Return where all of the conditions ``values`` hold, or any of them; of missing flags nothing is known."""
        operation = np.logical_and if all_of else np.logical_or
        sure = np.asarray(reduce(operation, [value.data.astype(bool) & ~value.missing for value in values]))
        possible = np.asarray(
            reduce(operation, [value.data.astype(bool) | value.missing for value in values])
        )
        return cls(Kind.TRUTH, sure, possible & ~sure)

    @classmethod
    def of_no_rows(cls, kind: Kind, name: str) -> Value:
        """Return column ``name`` of a table without rows."""
        return cls(kind, np.empty(0, dtype=_DTYPES.get(kind, object)), np.empty(0, dtype=bool), name)

    @property
    def is_column(self) -> bool:
        """Whether there is a value for each row."""
        return self.data.ndim == 1

    def present_and_true(self) -> Array:
        """Return where the condition holds."""
        return self.data.astype(bool) & ~self.missing

    def as_condition(self, where: str) -> Value:
        """Return it as a part of ``and``, ``or``, ``not``.

        :raises FilterError: if it is none.
        """
        if self.kind is Kind.UNKNOWN:
            return Value(Kind.TRUTH, np.zeros(self.data.shape, dtype=bool), self.missing, self.text)
        if self.kind is not Kind.TRUTH:
            raise FilterError(
                f"cannot apply {where!r}: {self.text or 'a part of it'} holds {self.kind.value} and is not a "
                "condition: compare it with something"
            )
        return self

    def negated(self) -> Value:
        """Return where the condition does not hold; a flag that is missing is neither true nor false."""
        return Value(Kind.TRUTH, ~self.data.astype(bool) & ~self.missing, self.missing)


def value_of_column(name: str, values: pd.Series) -> Value:
    """Return a column, what it holds found by its type, and by its values where the type does not tell."""
    missing = values.isna().to_numpy(dtype=bool)
    kind = _kind_of(values)
    if kind is Kind.TRUTH:
        filled = np.zeros(len(values), dtype=bool)
        filled[~missing] = values[~missing].to_numpy(dtype=bool)
        return Value(kind, filled, missing, name)
    if kind is Kind.NUMBER:
        if pd.api.types.is_numeric_dtype(values.dtype) and not missing.any():
            return Value(kind, values.to_numpy(), missing, name)
        numbers = np.full(len(values), np.nan)
        numbers[~missing] = values[~missing].to_numpy(dtype=float)
        return Value(kind, numbers, missing, name)
    return Value(kind, np.asarray(values, dtype=object), missing, name)


def expected_kind(name: str) -> Kind:
    """Return what column ``name`` of a task or a stage holds, before there are values; UNKNOWN if that is not known."""
    if name == "id":
        return Kind.TEXT
    whole, _, component = name.rpartition("_")
    kinds = kinds_of(name) or (kinds_of(whole) if component in VOIGT else set())
    found = {_OF_CATALOGUE[kind] for kind in kinds}
    return found.pop() if len(found) == 1 else Kind.UNKNOWN


def _kind_of(values: pd.Series) -> Kind:
    if pd.api.types.is_bool_dtype(values.dtype):
        return Kind.TRUTH
    if pd.api.types.is_numeric_dtype(values.dtype):
        return Kind.NUMBER
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object)
    return _INFERRED.get(pd.api.types.infer_dtype(values, skipna=True), Kind.OTHER)


def compare(one: Value, op: ast.cmpop, other: Value, where: str) -> Value:
    """Return where ``one op other`` holds.

    :raises FilterError: if texts are compared with numbers.
    """
    sign = SIGNS[type(op)]
    _check_kinds(one, sign, other, where)
    shape = np.broadcast_shapes(one.data.shape, other.data.shape)
    missing = np.broadcast_to(one.missing | other.missing, shape)
    is_other = isinstance(op, ast.NotEq)
    of_flags = Kind.TRUTH in (one.kind, other.kind)
    data = np.full(shape, is_other and not of_flags)
    left, right = np.broadcast_to(one.data, shape), np.broadcast_to(other.data, shape)
    present = ~missing
    if present.any():
        data[present] = _COMPARE[type(op)](left[present], right[present]).astype(bool)
    return Value(Kind.TRUTH, data, missing if of_flags else np.zeros(shape, dtype=bool))


def compute(op: ast.AST, one: Value, other: Value, where: str) -> Value:
    """Return ``one op other`` of numbers.

    :raises FilterError: for anything else.
    """
    for value in (one, other):
        if value.kind not in (Kind.NUMBER, Kind.TRUTH, Kind.UNKNOWN):
            raise FilterError(
                f"cannot apply {where!r}: {value.text} holds {value.kind.value}, expected numbers"
            )
    left, right = (_numbers(value) for value in (one, other))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        data = np.asarray(_COMPUTE[type(op)](left, right))
    sign = "-" if isinstance(op, ast.USub) else ""
    text = f"{sign}{other.text}" if isinstance(op, ast.unaryop) else ""
    return Value(Kind.NUMBER, data, np.isnan(data), text)


def _numbers(value: Value) -> Array:
    numbers = np.full(value.data.shape, np.nan)
    np.copyto(numbers, value.data, where=~value.missing, casting="unsafe")
    return numbers


def is_one_of(column: Value, items: Sequence[Value], where: str) -> Value:
    """Return where ``column`` equals one of ``items``.

    :raises FilterError: if it holds numbers and one of them is a text, or the other way round.
    """
    wrong = [item for item in items if not _fit(column, item)]
    if wrong:
        listed = ", ".join(_turned(item) if item in wrong else item.text for item in items)
        raise FilterError(_not_alike(column, wrong[0], f"{column.text} in [{listed}]", where))
    if any(item.is_column for item in items):
        raise FilterError(f"cannot apply {where!r}: a list may hold numbers or texts, but no columns")
    equal = [compare(column, ast.Eq(), item, where) for item in items]
    nothing = Value(
        Kind.TRUTH, np.zeros(column.data.shape, dtype=bool), np.zeros(column.data.shape, dtype=bool)
    )
    return Value.joined([nothing, *equal], all_of=False)


def contains_word(column: Value, word: str) -> Value:
    """Return where the text of ``column`` has ``word``, with no letter, digit or ``_`` right before or after it."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    found = [isinstance(text, str) and pattern.search(text) is not None for text in column.data.tolist()]
    data = np.array(found, dtype=bool)
    return Value(Kind.TRUTH, data, np.zeros(data.shape, dtype=bool))


def _fit(one: Value, other: Value) -> bool:
    kinds = {one.kind, other.kind}
    return Kind.UNKNOWN in kinds or (
        Kind.OTHER not in kinds and (kinds == {Kind.TEXT} or Kind.TEXT not in kinds)
    )


def _check_kinds(one: Value, sign: str, other: Value, where: str) -> None:
    if _fit(one, other):
        return
    column, value = (one, other) if one.is_column else (other, one)
    if value.is_column:
        remedy = ""
    elif column is one:
        remedy = f"{column.text} {sign} {_turned(value)}"
    else:
        remedy = f"{_turned(value)} {sign} {column.text}"
    raise FilterError(_not_alike(column, value, remedy, where))


def _not_alike(column: Value, value: Value, remedy: str, where: str) -> str:
    """Return that ``column`` and ``value`` cannot be compared, and what to write."""
    name = column.text or "its value"
    if Kind.OTHER in (column.kind, value.kind):
        culprit = column if column.kind is Kind.OTHER else value
        return f"cannot apply {where!r}: {culprit.text} holds {culprit.kind.value}, and cannot be compared"
    if value.is_column:
        other = value.text or "the other side"
        return f"cannot apply {where!r}: {name} holds {column.kind.value} and {other} {value.kind.value}"
    is_a = {Kind.TEXT: "a text", Kind.NUMBER: "a number", Kind.TRUTH: "no text"}[value.kind]
    told = f"cannot apply {where!r}: {name} holds {column.kind.value}, but {value.text} is {is_a}"
    if column.kind is Kind.TRUTH:
        return f"{told}: write {name} or not {name}"
    if value.kind is Kind.TEXT and _turned(value) == value.text:
        return f"{told}: compare it with a number"
    return f"{told}: write {remedy}" if remedy else told


def _turned(value: Value) -> str:
    """Return a number as a text in quotes, and a text that is a number without them."""
    if value.kind is not Kind.TEXT:
        return f"'{value.text}'"
    try:
        float(str(value.data))
    except ValueError:
        return value.text
    return str(value.data)
