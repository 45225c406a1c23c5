"""How many rows of a launch say something in words: codes of warnings, and reasons why they lack a value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables import warnings
from aiida_pet.tables.columns import all_columns

_TABLES = [TableData, StructureSetData]  # a query for the one finds none of the other


def warnings_of(node: Any, jobs: Collection[Any]) -> dict[str, int]:
    """Return code -> rows that carry it, of the results of ``node``, or of ``jobs`` while there are none."""
    total: Counter[str] = Counter()
    for text, count in _texts_counted(node, jobs, warnings.COLUMN).items():
        total.update(dict.fromkeys(warnings.codes_in(text), count))
    return dict(total.most_common())


def missing_of(node: Any, jobs: Collection[Any]) -> dict[str, int]:
    """Return column that says why a row lacks a value -> rows of which it says so, of the same tables."""
    names = [column.name for column in all_columns() if column.reason]
    counts = {name: _texts_counted(node, jobs, name) for name in names}
    found = {name: sum(count for text, count in texts.items() if text) for name, texts in counts.items()}
    return {name: count for name, count in found.items() if count}


def _texts_counted(node: Any, jobs: Collection[Any], column: str) -> Counter[str]:
    """Return how often each text stands in ``column`` of these tables."""
    query, project = orm.QueryBuilder(), ["id", f"attributes.counts.{column}"]
    filters: dict[str, Any] = {"attributes.columns": {"has_key": column}}
    if "results" in node.outputs:
        query.append(_TABLES, filters=filters | {"id": node.outputs.results.pk}, project=project)
    else:
        query.append(orm.CalcJobNode, filters={"id": {"in": [job.pk for job in jobs] or [0]}}, tag="job")
        edge = {"label": "results", "type": LinkType.CREATE.value}
        query.append(_TABLES, with_incoming="job", filters=filters, edge_filters=edge, project=project)
    total: Counter[str] = Counter()
    for pk, by_text in query.all():
        total.update(by_text or _count_texts(pk, column))
    return total


def _count_texts(pk: int, column: str) -> Counter[str]:
    """Return how often each text stands in a column of a table whose attributes do not tell, as they are too many."""
    table: Any = orm.load_node(pk)
    return Counter(table.column(column).tolist())
