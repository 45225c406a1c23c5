"""What the components of a column are called, where each is a column of its own. Imports nothing."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import count, takewhile

from aiida_pet.units import VOIGT

TENSORS = {"elastic_tensor": "", "elastic_tensor_ieee": "_ieee"}
"""Column of elastic constants -> what stands behind the names of its components: ``C44``, ``C44_ieee``."""
_CONSTANT = re.compile(r"C[1-6][1-6](?P<suffix>|_ieee)")
_NUMBERED = re.compile(r"(?P<tensor>elastic_tensor(?:_ieee)?)_(?P<place>[0-9]|[12][0-9]|3[0-5])")


def component_names(name: str, shape: Sequence[int]) -> list[str]:
    """Return what the columns are called that a data frame has of column ``name`` with ``shape`` (N, ...).

    >>> component_names("stress", (64, 6))[:2], component_names("elastic_tensor", (64, 6, 6))[:2]
    (['stress_xx', 'stress_yy'], ['C11', 'C12'])
    """
    if len(shape) == 1:
        return [name]
    if name in TENSORS and tuple(shape[1:]) == (6, 6):
        return constant_names(name)
    labels = VOIGT if tuple(shape[1:]) == (6,) else tuple(map(str, range(math.prod(shape[1:]))))
    return [f"{name}_{label}" for label in labels]


def constant_names(name: str) -> list[str]:
    """Return the names of the elastic constants of column ``name``, one of :data:`TENSORS`, row by row."""
    return [f"C{i}{j}{TENSORS[name]}" for i in range(1, 7) for j in range(1, 7)]


def whole_of(name: str) -> str:
    """Return the column that ``name`` is a component of, by its name alone; empty if it cannot be one.

    >>> whole_of("C44"), whole_of("C44_ieee"), whole_of("stress_xx"), whole_of("energy")
    ('elastic_tensor', 'elastic_tensor_ieee', 'stress', '')
    """
    constant = _CONSTANT.fullmatch(name)
    return name.rpartition("_")[0] if constant is None else f"elastic_tensor{constant['suffix']}"


def components_in(names: Iterable[str]) -> dict[str, list[str]]:
    """Return column -> its components, of the columns that are there only component by component.

    >>> components_in(["id", "stress_xx", "matrix_0", "matrix_1", "matrix_300", "matrix_0_01"])
    {'matrix': ['matrix_0', 'matrix_1']}
    """
    known = dict.fromkeys(names)
    found = {}
    for whole in dict.fromkeys(map(whole_of, known)):
        if not whole or whole in known:
            continue
        numbered = list(takewhile(known.__contains__, (f"{whole}_{place}" for place in count())))
        by_letters = [f"{whole}_{label}" for label in VOIGT]
        constants = constant_names(whole) if whole in TENSORS else []
        for parts in (constants, by_letters, numbered):
            if parts and known.keys() >= set(parts):
                found[whole] = parts
                break
    return found


def name_of_now(name: str) -> str:
    """Return what version 0.1.0 called ``name`` by its name of now: elastic constants were numbered row by row.

    >>> name_of_now("elastic_tensor_21"), name_of_now("elastic_tensor_ieee_0"), name_of_now("energy")
    ('C44', 'C11_ieee', 'energy')
    """
    old = _NUMBERED.fullmatch(name)
    return name if old is None else constant_names(old["tensor"])[int(old["place"])]
