"""Filters rows of a data frame by a condition a person types: ``status != converged and fmax < 0.05``. No AiiDA.

Only columns, numbers, texts, comparisons, arithmetic and ``and or not`` (or ``& && | || ~ !``) are understood; of calls
only ``column(NAME)``. A condition is read as Python's syntax tree and worked out here, never given to ``eval``.

What a column holds decides what it can be compared with: numbers with numbers, texts with texts. A value that is
missing fulfils no comparison but ``!=``; ``not`` turns that round: ``not e <= 0.1`` holds where ``e`` is missing. A
flag that is missing is neither true nor false: it fulfils neither ``kept`` nor ``not kept``, nor ``kept != True``.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from aiida_pet.tables.columns import all_columns, find_columns
from aiida_pet.tables.components import components_in, name_of_now
from aiida_pet.tables.condition_values import (
    SIGNS,
    FilterError,
    Kind,
    Value,
    compare,
    compute,
    contains_word,
    is_one_of,
    value_of_column,
)
from aiida_pet.words import close_names, either

__all__ = ("FilterError", "check_condition", "columns_in", "conjuncts", "filter_frame", "no_such_column")

_LOGIC = {"&": "and", "|": "or", "~": "not", "&&": "and", "||": "or", "!": "not"}
_COLUMN = "column"
_MOST_NAMES = 12
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


def filter_frame(frame: pd.DataFrame, where: str, known: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the rows of ``frame`` for which ``where`` holds.

    The index is a column by its name. A bare word that is compared with a column of texts is a text:
    ``status == converged`` and ``status in [left, diverged]`` need no quotes. ``rough in warnings`` holds where the
    column of texts ``warnings`` has the word ``rough``.

    :param known: names of all columns there are, for messages; those of ``frame`` if not given.
    :raises FilterError: if the condition is not understood, names no column, compares texts with numbers, or is no
        condition.
    """
    names = _names(frame) if known is None else list(dict.fromkeys([*_names(frame), *known]))
    mask = _Reader(_columns(frame), names, where).condition(_parse(where, frame))
    if mask.kind is not Kind.TRUTH or not mask.is_column:
        raise _no_condition(where, frame)
    return frame[mask.present_and_true()]


def check_condition(where: str, columns: Iterable[str] | Mapping[str, Kind]) -> None:
    """Check that ``where`` can be applied to a table with ``columns``, before there are values.

    :param columns: their names, or what each holds, as far as that is known.
    :raises FilterError: if it cannot be read, names no column, compares texts with numbers, or is no condition.
    """
    kinds = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, Kind.UNKNOWN)
    values = {name: Value.of_no_rows(kind, name) for name, kind in kinds.items()}
    frame = pd.DataFrame({name: value.data for name, value in values.items()})
    found = _Reader(values, list(values), where).condition(_parse(where, frame))
    if found.kind not in (Kind.TRUTH, Kind.UNKNOWN) or not found.is_column:
        raise _no_condition(where, frame)


def conjuncts(where: str, frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Return the parts of ``where`` that are joined by `and`: each as text, and the columns in it.

    :raises FilterError: if the condition is not understood.
    """
    tree = _parse(where, frame).body
    parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    known = set(_names(frame))
    return [(ast.unparse(part), [name for name in _named_in(part) if name in known]) for part in parts]


def columns_in(where: str, names: Iterable[str]) -> list[str]:
    """Return the columns among ``names`` that stand in the condition ``where``; ``id`` is not among them.

    :raises FilterError: if it is not understood, or names another column.
    """
    known = list(names)
    check_condition(where, ["id", *known])
    parts = conjuncts(where, pd.DataFrame(columns=known))
    return list(dict.fromkeys(name for _, found in parts for name in found))


def no_such_column(name: str, names: Sequence[str], where: str = "") -> str:
    """Return that there is no column ``name``, those that it may be a slip of, and which there are.

    :param names: names of all columns; a dozen is told, and how many more there are. Components count as one.
    :param where: the condition that names it.
    """
    wholes = components_in(names)
    of = {part: whole for whole, parts in wholes.items() for part in parts}
    columns = list(dict.fromkeys(of.get(one, one) for one in names))
    begins = [other for other in names if other.startswith(f"{name}_")][:3]
    found = list(dict.fromkeys([*close_names(name, [*columns, *names]), *begins]))[:3]
    hint = f" (did you mean {either(found)}?)" if found else _of_another_source(name)
    if name in wholes:
        parts = wholes[name]
        hint = f" (it has several values in each row: name one of {parts[0]} to {parts[-1]})"
    if name_of_now(name) in names:
        hint = f" (it is called {name_of_now(name)} now)"
    told = ", ".join(columns[:_MOST_NAMES])
    more = f" and {len(columns) - _MOST_NAMES} more" if len(columns) > _MOST_NAMES else ""
    return f"no column {name!r}{f' in {where!r}' if where else ''}{hint}: columns are {told}{more}"


def _of_another_source(name: str) -> str:
    """Return which column of the catalogue ``name`` is, or may be, and what writes it; empty if there is none."""
    known = [column.name for column in all_columns() if not column.is_family]
    for meant in close_names(name, known, 0.8)[:1]:
        sources = dict.fromkeys(str(source) for column in find_columns(meant) for source in column.sources)
        return f" ({meant} is a column of {either(list(sources))})" if sources else ""
    return ""


class _Reader:
    """Works a condition out.

    :ivar columns: by name.
    :ivar names: names of all columns there are, for messages.
    :ivar where: the condition, for messages.
    """

    def __init__(self, columns: dict[str, Value], names: Sequence[str], where: str) -> None:
        self._columns, self._names, self._where = columns, names, where

    def condition(self, tree: ast.Expression) -> Value:
        """Return what the whole condition comes to."""
        try:
            return self.value(tree.body)
        except RecursionError as error:
            raise FilterError(f"{self._where[:80]!r}... is too long: join fewer parts") from error

    def value(self, node: ast.expr) -> Value:
        """Return what ``node`` comes to."""
        name = node.id if isinstance(node, ast.Name) else _called_column(node)
        if name is not None:
            return self._column(name)
        match node:
            case ast.Constant():
                return Value.of_constant(node.value, ast.unparse(node))
            case ast.BoolOp():
                values = [self.value(part).as_condition(self._where) for part in node.values]
                return Value.joined(values, all_of=isinstance(node.op, ast.And))
            case ast.UnaryOp(op=ast.Not()):
                return self.value(node.operand).as_condition(self._where).negated()
            case ast.UnaryOp() | ast.BinOp():
                left = Value.of_constant(0, "0") if isinstance(node, ast.UnaryOp) else self.value(node.left)
                right = node.operand if isinstance(node, ast.UnaryOp) else node.right
                return compute(node.op, left, self.value(right), self._where)
            case ast.Compare():
                return self._comparison(node)
        raise FilterError(f"{self._where!r}: a list stands alone: expected it after `in`")

    def _column(self, name: str) -> Value:
        if name not in self._columns:
            raise FilterError(no_such_column(name, self._names, self._where))
        return self._columns[name]

    def _comparison(self, node: ast.Compare) -> Value:
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return Value.joined([self._pair(left, op, right) for left, op, right in pairs], all_of=True)

    def _pair(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Value:
        if isinstance(op, ast.In | ast.NotIn):
            found = self._membership(left, right)
            return found if isinstance(op, ast.In) else found.negated()
        if isinstance(right, ast.List | ast.Tuple) or isinstance(left, ast.List | ast.Tuple):
            raise FilterError(
                f"{self._where!r} compares with a list: write `in`, as in 'status in [left, failed]'"
            )
        self._check_one_reading(left, op, right)
        one = self._word(left, right) or self.value(left)
        other = self._word(right, left) or self.value(right)
        return compare(one, op, other, self._where)

    def _membership(self, left: ast.expr, right: ast.expr) -> Value:
        """Return whether ``left`` is one of a list, or a word of a column of texts."""
        if isinstance(right, ast.List | ast.Tuple):
            column = self.value(left)
            items = [
                Value.of_constant(item.id, item.id)
                if isinstance(item, ast.Name) and column.kind is not Kind.NUMBER
                else self.value(item)
                for item in right.elts
            ]
            return is_one_of(column, items, self._where)
        word = (
            left.id if isinstance(left, ast.Name) else left.value if isinstance(left, ast.Constant) else None
        )
        column = self.value(right)
        if not isinstance(word, str) or column.kind not in (Kind.TEXT, Kind.UNKNOWN) or not column.is_column:
            raise FilterError(
                f"cannot apply {self._where!r}: `in` wants a list on its right, as in 'status in [left, failed]', or a "
                "word on its left and a column of texts on its right, as in 'rough in warnings'"
            )
        return contains_word(column, word)

    def _word(self, node: ast.expr, beside: ast.expr) -> Value | None:
        """Return a bare word as the text that it is where it stands beside a column of texts, else None."""
        if not isinstance(node, ast.Name) or node.id in self._columns:
            return None
        other = _called_column(beside) or (beside.id if isinstance(beside, ast.Name) else "")
        if other not in self._columns or self._columns[other].kind not in (Kind.TEXT, Kind.UNKNOWN):
            return None
        return Value.of_constant(node.id, node.id)

    def _check_one_reading(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> None:
        """Refuse a bare word beside a column of texts that is the name of a column as well."""
        if not isinstance(left, ast.Name) or not isinstance(right, ast.Name):
            return
        if any(name not in self._columns for name in (left.id, right.id)):
            return
        kinds = [self._columns[name].kind for name in (left.id, right.id)]
        if Kind.TEXT not in kinds or Kind.UNKNOWN in kinds:
            return
        text, word = (left.id, right.id) if kinds[0] is Kind.TEXT else (right.id, left.id)
        sign = SIGNS[type(op)]
        columns = f", for the column {text} {sign} {_COLUMN}({word})" if kinds[0] is kinds[1] else ""
        raise FilterError(
            f"{self._where!r} can be read in two ways, since {word} is also the name of a column: for the text write "
            f"{text} {sign} '{word}'{columns}"
        )


def _parse(where: str, frame: pd.DataFrame) -> ast.Expression:
    try:
        tree = ast.parse(" ".join(_words_of(where.strip())).strip(), mode="eval")
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError, MemoryError) as error:
        raise FilterError(
            f"cannot read {where!r}: expected a condition such as {_example(frame)}; equality is ==, and a text needs "
            "quotes if it begins with a digit or holds other characters than letters, digits and _"
        ) from error
    for node in _checked_depth(tree, where):
        if not isinstance(node, _ALLOWED) and not (isinstance(node, ast.Call) and _called_column(node)):
            raise FilterError(
                f"{where!r} holds {type(node).__name__.lower()} {ast.unparse(node)!r}: only columns, numbers, "
                f"texts, comparisons, arithmetic, and, or, not, {_COLUMN}(NAME) are understood"
            )
        # conditions of launches of version 0.1.0 go on to be understood
        if isinstance(node, ast.Name) and node.id not in frame:
            node.id = name_of_now(node.id)
    return tree


def _words_of(where: str) -> Iterator[str]:
    """Yield the tokens of ``where``, signs of logic as words; ``&&`` comes as two tokens side by side."""
    tokens = list(tokenize.generate_tokens(io.StringIO(where).readline))
    skip = False
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if skip:
            skip = False
            continue
        twice = following is not None and token.string in ("&", "|") and following.string == token.string
        skip = twice and following is not None and following.start == token.end
        yield _LOGIC.get(token.string, token.string)


def _checked_depth(tree: ast.AST, where: str) -> list[ast.AST]:
    try:
        return list(_walk(tree))
    except RecursionError as error:
        raise FilterError(f"{where[:80]!r}... is too long: join fewer parts") from error


def _called_column(node: ast.AST) -> str | None:
    """Return NAME of ``column(NAME)`` or ``column('NAME')``, None for anything else."""
    match node:
        case ast.Call(func=ast.Name(id="column"), args=[ast.Name(id=name)], keywords=[]):
            return str(name)
        case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str(name))], keywords=[]):
            return str(name)
    return None


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of ``tree``, of ``column(NAME)`` the call only."""
    yield tree
    if _called_column(tree) is None:
        for child in ast.iter_child_nodes(tree):
            yield from _walk(child)


def _named_in(tree: ast.AST) -> list[str]:
    """Return what may be names of columns, each once, in order."""
    found = [
        name
        for node in _walk(tree)
        if (name := _called_column(node) or (node.id if isinstance(node, ast.Name) else None))
    ]
    return list(dict.fromkeys(found))


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in ([frame.index.name] if frame.index.name else []) + list(frame.columns)]


def _columns(frame: pd.DataFrame) -> dict[str, Value]:
    columns = {str(name): value_of_column(str(name), values) for name, values in frame.items()}
    if frame.index.name:
        name = str(frame.index.name)
        columns[name] = value_of_column(name, frame.index.to_series())
    return columns


def _no_condition(where: str, frame: pd.DataFrame) -> FilterError:
    return FilterError(f"{where!r} is not a condition: compare it with something, as in {_example(frame)}")


def _example(frame: pd.DataFrame) -> str:
    numbers = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    return f"'{numbers[0]} < 1'" if numbers else "'status == converged'"
