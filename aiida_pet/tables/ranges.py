"""Whether a table may hold a row that fulfils a condition, as ranges and counts of its columns tell. No AiiDA.

A table of which this says no need not be read. Looked at are parts of a condition, joined by `and`, that compare a
column with a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import pandas as pd

from aiida_pet.tables.filter import columns_in, conjuncts

_IMPOSSIBLE: Mapping[type[ast.cmpop], Callable[[float, float, float], bool]] = {
    ast.Lt: lambda low, high, value: low >= value,
    ast.LtE: lambda low, high, value: low > value,
    ast.Gt: lambda low, high, value: high <= value,
    ast.GtE: lambda low, high, value: high < value,
    ast.Eq: lambda low, high, value: not low <= value <= high,
}
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
}


class Condition(NamedTuple):
    """A condition on a table with certain columns.

    :ivar names: the columns of the table.
    :ivar columns: those in the condition.
    :ivar parts: what is joined by `and`.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[ast.expr, ...]

    def steps(self) -> list[str]:
        """Return conditions to apply one after the other: formulas are made of what is left by the others."""
        of_formulas = [any(_is_formula(node) for node in ast.walk(part)) for part in self.parts]
        groups = (
            [ast.unparse(part) for part, late in zip(self.parts, of_formulas, strict=True) if late is wanted]
            for wanted in (False, True)
        )
        return [" and ".join(f"({text})" for text in group) for group in groups if group]

    def may_hold(self, attributes: Mapping[str, Any]) -> bool:
        """Return whether a row may fulfil it, as far as ranges and counts of the columns tell.

        :param attributes: ``ranges`` and ``counts`` of a table.
        """
        ranges, counts = attributes.get("ranges") or {}, attributes.get("counts") or {}
        return all(_part_may_hold(part, self.names, ranges, counts) for part in self.parts)


def _is_formula(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "formula") or (
        isinstance(node, ast.Constant) and node.value == "formula"
    )


@lru_cache(maxsize=32)
def read_condition(where: str, names: tuple[str, ...]) -> Condition:
    """Return what ``where`` says; campaigns of a kind have the same columns.

    :raises FilterError: if it is not understood, or names another column.
    """
    parts = [
        ast.parse(text, mode="eval").body for text, _ in conjuncts(where, pd.DataFrame(columns=list(names)))
    ]
    return Condition(names, tuple(columns_in(where, names)), tuple(parts))


def may_fulfil(where: str, names: Sequence[str], attributes: Mapping[str, Any]) -> bool:
    """Return whether a row may fulfil ``where``; see :meth:`Condition.may_hold`.

    :param names: names of the columns.
    :raises FilterError: if the condition is not understood, or names another column.
    """
    return read_condition(where, tuple(names)).may_hold(attributes)


def _part_may_hold(
    part: ast.expr,
    names: tuple[str, ...],
    ranges: Mapping[str, Sequence[float]],
    counts: Mapping[str, Mapping[str, int]],
) -> bool:
    if isinstance(part, ast.Name):
        return part.id not in counts or "true" in counts[part.id]
    if not isinstance(part, ast.Compare) or len(part.ops) != 1:
        return True
    left, right, kind = part.left, part.comparators[0], type(part.ops[0])
    if not (isinstance(left, ast.Name) and left.id in names):
        left, right, kind = right, left, _MIRRORED.get(kind, kind)
    if not isinstance(left, ast.Name):
        return True
    if left.id in ranges and kind in _IMPOSSIBLE:
        value = _number(right)
        low, high = ranges[left.id]
        if value is not None and _IMPOSSIBLE[kind](low, high, value):
            return False
    word = _word(right, names) if left.id in counts and kind is ast.Eq else None
    return word is None or word in counts[left.id]


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _word(node: ast.expr, names: Sequence[str]) -> str | None:
    if isinstance(node, ast.Name):
        return None if node.id in names else node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
