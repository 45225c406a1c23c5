"""Filters rows of a data frame by a condition a person types: ``status != converged and fmax < 0.05``. No AiiDA.

Only columns, numbers, texts, comparisons, arithmetic and ``and or not`` (or ``& | ~``) are understood; calls,
attributes, ``@`` and everything else of Python is refused before pandas sees the text.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Collection, Iterable

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

_LOGIC = {"&": "and", "|": "or", "~": "not", "&&": "and", "||": "or"}
_ALLOWED = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Mod,
    ast.Compare,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.In,
    ast.NotIn,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
)


class FilterError(ValueError):
    """Raised for a condition that is not understood; the message says what is and names the columns."""


def filter_frame(frame: pd.DataFrame, where: str) -> pd.DataFrame:
    """Return the rows of ``frame`` for which ``where`` holds.

    The index is a column by its name. A bare word that is compared with a column of texts is a text:
    ``status == converged`` and ``status in [left, diverged]`` need no quotes.

    :raises FilterError: if the condition is not understood, names no column, or is no condition.
    """
    tree = _parse(where, frame)
    tree = ast.fix_missing_locations(_Words(frame).visit(tree))
    _check_names(tree, where, frame)
    try:
        mask = frame.eval(ast.unparse(tree), engine="python")
    except (TypeError, ValueError, KeyError, NotImplementedError, AttributeError) as error:
        raise FilterError(f"cannot apply {where!r}: {error}") from error
    if not isinstance(mask, pd.Series) or not is_bool_dtype(mask):
        raise FilterError(f"{where!r} is no condition: compare with something, as in {_example(frame)}")
    return frame[mask.fillna(False).to_numpy(dtype=bool)]  # of flags that are missing nothing holds


def check_condition(where: str, columns: Iterable[str]) -> None:
    """Check that ``where`` can be understood on a table with ``columns``, whatever their types.

    :raises FilterError: if it cannot be read, or names no column.
    """
    names = list(columns)
    tree = _parse(where, pd.DataFrame(columns=names))
    texts = {
        side for node in ast.walk(tree) if isinstance(node, ast.Compare) for side in _words_in(node, names)
    }
    named = dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    for name in (name for name in named if name not in texts and name not in names):
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise FilterError(f"no column {name!r} in {where!r}{hint}: columns are {', '.join(names)}")


def conjuncts(where: str, frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return the parts of ``where`` that are joined by `and`: each as text, and the columns in it.

    :raises FilterError: if the condition is not understood.
    """
    tree = _parse(where, frame).body
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    known = set(_names(frame))
    return [
        (
            ast.unparse(part),
            [
                name
                for name in dict.fromkeys(node.id for node in ast.walk(part) if isinstance(node, ast.Name))
                if name in known
            ],
        )
        for part in parts
    ]


def _words_in(node: ast.Compare, columns: Collection[str]) -> set[str]:
    """Return the bare words that may be texts since they are compared with a column: `status == converged`."""
    sides = [node.left, *node.comparators]
    if not any(isinstance(side, ast.Name) and side.id in columns for side in sides):
        return set()
    items = [
        item for side in sides for item in (side.elts if isinstance(side, ast.List | ast.Tuple) else [side])
    ]
    return {item.id for item in items if isinstance(item, ast.Name) and item.id not in columns}


def _parse(where: str, frame: pd.DataFrame) -> ast.Expression:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(where.strip()).readline))
        text = " ".join(_LOGIC.get(token.string, token.string) for token in tokens)
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError) as error:
        raise FilterError(
            f"cannot read {where!r}: expected a condition such as {_example(frame)}; equality is ==, "
            "and texts with other characters than letters, digits and _ need quotes"
        ) from error
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise FilterError(
                f"{where!r} holds {type(node).__name__.lower()} {ast.unparse(node)!r}: only columns, numbers, "
                "texts, comparisons, arithmetic, and, or, not are understood"
            )
    return tree


class _Words(ast.NodeTransformer):
    """Turns bare words that are compared with a column of texts into texts."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._known = set(_names(frame))
        self._texts = {str(name) for name in frame.columns if not is_numeric_dtype(frame[name])}
        if frame.index.name and not is_numeric_dtype(frame.index):
            self._texts.add(str(frame.index.name))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        sides = [node.left, *node.comparators]
        if any(isinstance(side, ast.Name) and side.id in self._texts for side in sides):
            node.left, *node.comparators = [self._text(side) for side in sides]
        return node

    def _text(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and node.id not in self._known:
            return ast.Constant(node.id)
        if isinstance(node, ast.List | ast.Tuple):
            return ast.List([self._text(item) for item in node.elts], ast.Load())
        return node


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in ([frame.index.name] if frame.index.name else []) + list(frame.columns)]


def _check_names(tree: ast.AST, where: str, frame: pd.DataFrame) -> None:
    known = _names(frame)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in known:
            close = difflib.get_close_matches(node.id, known, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise FilterError(f"no column {node.id!r} in {where!r}{hint}: columns are {', '.join(known)}")


def _example(frame: pd.DataFrame) -> str:
    numbers = [name for name in frame.columns if is_numeric_dtype(frame[name])]
    return f"'{numbers[0]} < 1'" if numbers else "'status == converged'"
