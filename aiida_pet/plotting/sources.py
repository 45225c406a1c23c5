"""What is drawn: launches, sets, tables and data frames as series, each with a label that says how it differs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.campaigns.comparison import settings_of
from aiida_pet.campaigns.errors import NoRowsError
from aiida_pet.campaigns.nodes import load
from aiida_pet.campaigns.results import Rows, rows
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.figures.source import NoSuchRowError, NotDrawnError, Source
from aiida_pet.job.stages import in_order
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table
from aiida_pet.words import cell, shortened

__all__ = ["Series", "drawable", "labels_of", "many", "numbers_of", "series_of"]

_UNTOLD = ("model sha256", "crystals", "workflow")
"""Settings that differ without saying anything to a reader."""
MOST_IDS = 8


@dataclass(frozen=True)
class Series:
    """The rows of one source that is drawn, and their name.

    :ivar label: in a legend; empty if there is only one.
    :ivar source: table or data frame.
    :ivar id: id of the row, where one is drawn.
    :ivar start: the crystals before the relaxation, where they are known.
    """

    label: str
    source: Source
    id: str = ""
    start: StructureTable | None = None


def many(what: Any) -> list[Any]:
    """Return the things that are laid over each other: ``what`` itself, unless it is a list or tuple of them."""
    return list(what) if isinstance(what, list | tuple) else [what]


def series_of(what: Any, ids: str | Sequence[str], columns: Sequence[str], remedy: str) -> list[Series]:
    """Return a series per thing and row.

    :param what: one thing or a list, see :mod:`aiida_pet.plotting`.
    :param ids: ids of the rows; they may be left out if there is only one row.
    :param columns: one of which a table must have; of a screening the table of a stage is searched as well.
    :param remedy: what makes the columns.
    :raises NotDrawnError: if nothing has such a column, or rows are to be named.
    """
    things = many(what)
    wanted = [ids] if isinstance(ids, str) else list(ids)
    labels = labels_of(things)
    found = []
    for thing, label in zip(things, labels, strict=True):
        table = _table_with(thing, columns, remedy)
        chosen = wanted or _only_row(table)
        for row_id in chosen:
            parts = [label] if len(things) > 1 else []
            parts += [row_id] if len(chosen) > 1 else []
            found.append(
                Series(", ".join(parts), _rows_of(table, [row_id]), row_id, _start_of(thing, row_id))
            )
    return found


def drawable[One, Made](
    things: Iterable[One], make: Callable[[One], Made]
) -> tuple[list[One], list[Made], tuple[str, ...]]:
    """Return the things that can be drawn, what ``make`` makes of each, and a remark on each other one.

    :raises NotDrawnError: if nothing can be drawn; with the reason of each.
    :raises NoSuchRowError: if there is no such row.
    """
    kept, made, lacking = [], [], dict[str, None]()
    for one in things:
        try:
            made.append(make(one))
        except NoSuchRowError:
            raise
        except NotDrawnError as error:
            lacking[str(error)] = None
        else:
            kept.append(one)
    if not made and lacking:
        raise NotDrawnError("\n".join(lacking))
    return kept, made, tuple(f"not drawn: {why}" for why in lacking)


def numbers_of(thing: Any, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """Return the data frame of a thing, indexed by id.

    :param columns: those that are read, as far as there are such; all if not given.
    """
    if isinstance(thing, pd.DataFrame):
        return thing
    if isinstance(thing, Table):
        from aiida_pet.tables.frame import frame_of  # noqa: PLC0415

        frame = frame_of(thing)
        frame.attrs["units"] = dict(thing.units)
        return frame
    found = rows(thing)
    names = found.column_names
    return found.frame(columns=names if columns is None else [name for name in columns if name in names])


def labels_of(things: Sequence[Any]) -> list[str]:
    """Return what each of several things is called: in what it differs from the others, and its pk or place."""
    nodes = [_node_of(thing) for thing in things]
    settings = [settings_of(node) if isinstance(node, orm.ProcessNode) else {} for node in nodes]
    names = [name for name in dict.fromkeys(key for one in settings for key in one) if name not in _UNTOLD]
    differing = [name for name in names if len({cell(one.get(name)) for one in settings}) > 1]
    labels = []
    for place, (node, known) in enumerate(zip(nodes, settings, strict=True), 1):
        told = [_told(name, known[name]) for name in differing[:3] if known.get(name) is not None]
        own = "" if node is None else node.label
        labels.append(
            ", ".join(told) or own or (f"<{node.pk}>" if node is not None and node.pk else f"no. {place}")
        )
    for places in (_pks, _numbers):  # where settings, and then pks, are the same
        if len(set(labels)) < len(labels):
            pairs = zip(labels, places(nodes), strict=True)
            labels = [f"{label} {more}" if more and more != label else label for label, more in pairs]
    return labels


def _pks(nodes: Sequence[Any]) -> list[str]:
    return [f"<{node.pk}>" if node is not None and node.pk else "" for node in nodes]


def _numbers(nodes: Sequence[Any]) -> list[str]:
    return [f"no. {place}" for place in range(1, len(nodes) + 1)]


def _told(name: str, value: Any) -> str:
    return cell(value) if name == "model" else f"{name.rpartition('.')[2]}={cell(value)}"


def _node_of(thing: Any) -> Any:
    if isinstance(thing, pd.DataFrame | Table):
        return None
    return thing.source if isinstance(thing, Rows) else load(thing, TableData, orm.ProcessNode)


def _table_with(thing: Any, columns: Sequence[str], remedy: str) -> TableData | Source:
    """Return the table of a thing that has one of ``columns``.

    :raises NotDrawnError: if none has.
    """
    if isinstance(thing, pd.DataFrame | Table):
        return thing
    node = _node_of(thing)
    for table in _tables_of(node, thing):
        if not {*table.column_names, *table.ragged_names}.isdisjoint(columns):
            return table
    raise NotDrawnError(f"<{node.pk}> has no column {' or '.join(columns)}: {remedy}")


def _tables_of(node: Any, thing: Any) -> list[TableData]:
    """Return the tables behind a node, that of a screening's last stage first."""
    found: list[TableData] = []
    if isinstance(node, orm.ProcessNode) and "stages" in node.inputs:
        links = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
        called = {link.link_label: link.node for link in links}
        for name in reversed(in_order(node.inputs.stages.get_dict())):
            try:
                found += [rows(called[name]).table] if name in called else []
            except NoRowsError:  # it runs, and none of its jobs has ended
                continue
    try:
        found.append(rows(thing).table)
    except NoRowsError:
        if not found:
            raise
    return found


def _only_row(table: TableData | Source) -> list[str]:
    ids = [str(one) for one in (table.index if isinstance(table, pd.DataFrame) else table.ids)]
    if len(ids) != 1:
        raise NotDrawnError(f"there are {len(ids)} rows: name the rows to draw, such as {shortened(ids[:3])}")
    return ids


def _rows_of(table: TableData | Source, ids: list[str]) -> Source:
    if not isinstance(table, TableData):
        return table
    for row_id in ids:
        rows(table).place(row_id)  # says which ids are near
    return table.select(ids)


def _start_of(thing: Any, row_id: str) -> StructureTable | None:
    node = None if isinstance(thing, pd.DataFrame | Table) else _node_of(thing)
    given: Any = getattr(node, "inputs", {})
    if isinstance(node, orm.ProcessNode) and "structures" in given:
        structures: StructureSetData = given.structures
        if (structures.ids == row_id).any():
            return structures.select([row_id])
    return None
