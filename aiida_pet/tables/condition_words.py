"""Words of a condition that no row has, and those that they may be a slip of: ``status == convergd``. No AiiDA.

A condition with such a word holds nowhere, or with ``!=`` everywhere, without an error: a launch would find out at its
end.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise

import pandas as pd

from aiida_pet.tables.columns import words_of
from aiida_pet.tables.filter import conjuncts
from aiida_pet.words import did_you_mean

type Words = Callable[[str], Iterable[str]]
"""Name of a column -> the texts that its rows have or may have; none where that is not known."""
_MOST = 100
"""Texts of a column that can be one of few; where there are more, such as ids and messages, nothing is compared."""
_FREE = "formula"
"""Column of texts that are no words: one that no row has is no slip."""


def slips_in(where: str, columns: Collection[str], values: Words = words_of) -> list[str]:
    """Return a sentence for each word of ``where`` that its column never holds but for which a close one is known.

    :param columns: names of all columns, which are no words.
    :param values: by default the words of the catalogue; those count in any case.
    :raises FilterError: if the condition is not understood.
    """
    found = []
    for column, word in dict.fromkeys(_words_beside_columns(where)):
        if column not in columns or word in columns or not word or column == _FREE:
            continue
        known = {one for text in (*values(column), *words_of(column)) for one in (text, *text.split())} - {""}
        is_unknown = word not in known and len(known) <= _MOST
        hint = did_you_mean(word, sorted(known)) if is_unknown else ""
        if hint:
            found.append(f"{column} is never {word!r}{hint}")
    return found


def _words_beside_columns(where: str) -> Iterator[tuple[str, str]]:
    """Yield what may be a column and a word that is compared with it; of two bare names both ways round."""
    for text, _ in conjuncts(where, pd.DataFrame()):
        for node in ast.walk(ast.parse(text, mode="eval")):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                for left, right in pairwise(sides):
                    yield from _pairs(left, right)


def _pairs(left: ast.expr, right: ast.expr) -> Iterator[tuple[str, str]]:
    if isinstance(right, ast.List | ast.Tuple):
        for item in right.elts:
            yield from _pairs(left, item)
        return
    for column, word in ((left, right), (right, left)):
        if isinstance(column, ast.Name) and isinstance(word, ast.Name):
            yield column.id, word.id
        elif isinstance(column, ast.Name) and isinstance(word, ast.Constant) and isinstance(word.value, str):
            yield column.id, word.value
