"""Looks rows up in a stored table, reading only the columns that are asked for.

Of a table of a quarter of a million rows a condition reads one or two columns, not all: each array of a node is a file
of its own. The columns have the names that they have in :meth:`~aiida_pet.data.table.TableData.to_dataframe`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.components import component_names
from aiida_pet.tables.condition_words import slips_in
from aiida_pet.tables.filter import columns_in, filter_frame
from aiida_pet.tables.frame import flat_columns

LOGGER = logging.getLogger(__name__)

_OF_CRYSTALS = ("formula", "n_atoms")


def frame_columns(node: TableData) -> list[str]:
    """Return the names of the columns of ``node.to_dataframe()``, in order, without reading any."""
    return columns_told_by(node.base.attributes.all, isinstance(node, StructureSetData))


def columns_told_by(attributes: Mapping[str, Any], of_crystals: bool) -> list[str]:
    """Return what :func:`frame_columns` does, of a node with these attributes.

    :param of_crystals: it is a set of crystals.
    """
    shapes = TableData.column_shapes(attributes)
    own = [part for name, shape in shapes.items() for part in component_names(name, shape)]
    return list(dict.fromkeys([*(_OF_CRYSTALS if of_crystals else ()), *own]))


def read_columns(
    node: TableData, names: Iterable[str], positions: NDArray[np.int64] | None = None
) -> pd.DataFrame:
    """Return these columns of ``node.to_dataframe()``, in this order.

    :param positions: positions of the rows, in their order; all if not given.
    :raises KeyError: for a column that is not there.
    """
    wanted = list(names)
    rows: Any = slice(None) if positions is None else positions
    found: dict[str, Any] = {}
    # the attributes at once: each look at those of a stored node is a query
    for name, shape in TableData.column_shapes(node.base.attributes.all).items():
        if not set(component_names(name, shape)).isdisjoint(wanted):
            found |= flat_columns(name, node.column(name)[rows])
    missing = set(wanted) - set(found)
    if isinstance(node, StructureSetData):
        if "formula" in missing:
            found["formula"] = node.formulas(positions)
        if "n_atoms" in missing:
            found["n_atoms"] = node.row_sizes()[rows]
    unknown = sorted(set(wanted) - set(found))
    if unknown:
        raise KeyError(f"no column {unknown[0]!r} in {type(node).__name__}<{node.pk}>")
    return pd.DataFrame({name: found[name] for name in wanted}, index=pd.Index(node.ids[rows], name="id"))


def select_positions(node: TableData, where: str | None) -> NDArray[np.int64]:
    """Return the positions of the rows of ``node`` that fulfil ``where``, ascending; of all rows if it is None.

    A word of it that no row has, but that is close to one that some have, is logged as a warning.

    :raises FilterError: if it is no condition on the columns there are.
    """
    if where is None:
        return np.arange(len(node))
    known = frame_columns(node)
    frame = read_columns(node, columns_in(where, known))
    for slip in slips_in(where, known, lambda name: _texts(frame, name)):
        LOGGER.warning("%r: %s", where, slip)
    return frame.index.get_indexer(filter_frame(frame, where, known).index).astype(np.int64)


def _texts(frame: pd.DataFrame, name: str) -> list[str]:
    """Return the texts of a column, each once; none of a column of another kind."""
    if name not in frame or pd.api.types.is_numeric_dtype(frame[name].dtype):
        return []
    return [text for text in frame[name].unique().tolist() if isinstance(text, str)]
