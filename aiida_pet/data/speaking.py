"""What nodes say of themselves: in a line where Python prints them, in a table where a notebook does."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any, cast

from aiida_pet.words import plural, shortened

if TYPE_CHECKING:
    from aiida_pet.data.table import TableData

FIRST_ROWS = 8
"""Rows that a notebook shows."""
FIRST_COLUMNS = 10


def line_of(node: TableData) -> str:
    """Return ``<StructureSetData 45 'alloys': 64 crystals, Nb Mo Ta W, 28 columns, converged 64>``."""
    attributes = node.base.attributes.all
    name = f"{type(node).__name__} {node.pk if node.is_stored else 'not stored'}"
    label = f" {node.label!r}" if node.label else ""
    if not attributes.get("n_rows"):
        return f"<{name}{label}: empty>"
    elements = attributes.get("elements")
    rows = plural(attributes["n_rows"], "crystal" if elements else "row")
    statuses = (attributes.get("counts") or {}).get("status") or {}
    parts = [rows, *([shortened(elements)] if elements else []), plural(len(attributes["columns"]), "column")]
    parts += [f"{status} {count:,}" for status, count in statuses.items()]
    return f"<{name}{label}: {', '.join(parts)}>"


def html_of(node: TableData, line: str = "") -> str:
    """Return a line and the first rows of ``node``, with units, as HTML.

    :param line: that of the node if not given.
    """
    head = f"<p>{escape(line or line_of(node))}</p>"
    if not node.base.attributes.get("n_rows", 0):
        return head
    import numpy as np  # noqa: PLC0415

    from aiida_pet.data.lookup import frame_columns, read_columns  # noqa: PLC0415 - pandas takes a second to import
    from aiida_pet.printed.cells import shown  # noqa: PLC0415
    from aiida_pet.printed.groups import group_text, is_group  # noqa: PLC0415
    from aiida_pet.tables.columns import first_look  # noqa: PLC0415
    from aiida_pet.tables.components import whole_of  # noqa: PLC0415

    names = frame_columns(node)
    look = [*dict.fromkeys([*(first_look(names) or names)])][:FIRST_COLUMNS]
    frame = read_columns(node, look, np.arange(min(len(node), FIRST_ROWS)))
    units = node.base.attributes.get("columns")
    unit_of = {name: units.get(name) or units.get(whole_of(name)) or "" for name in look}

    def text(name: str, value: Any) -> str:
        return group_text(value) if is_group(name) else shown(value, unit_of[name], name)

    headings = "".join(
        f"<th>{escape(name)}{f'<br>{escape(unit_of[name])}' if unit_of[name] else ''}</th>" for name in look
    )
    lines = "".join(
        f"<tr><th>{escape(str(row_id))}</th>"
        + "".join(f"<td>{escape(text(name, frame[name].iloc[place]))}</td>" for name in look)
        + "</tr>"
        for place, row_id in enumerate(frame.index)
    )
    more = len(node) - len(frame)
    hidden = len(names) - len(look)
    below = [
        *([plural(more, "more row")] if more > 0 else []),
        *([plural(hidden, "more column")] if hidden > 0 else []),
    ]
    foot = f"<p>and {' and '.join(below)}: <code>to_dataframe()</code> has all</p>" if below else ""
    return f"{head}<table><thead><tr><th>id</th>{headings}</tr></thead><tbody>{lines}</tbody></table>{foot}"


class Speaking:
    """What Python asks of rows: how they are printed, and single rows by id or by place."""

    if TYPE_CHECKING:

        def place(self, row_id: str) -> int: ...  # noqa: D102
        def _row_at(self, place: int) -> Any: ...
        def __len__(self) -> int: ...

    def __repr__(self) -> str:
        return line_of(cast("TableData", self))

    def _repr_html_(self) -> str:
        return html_of(cast("TableData", self))

    def __getitem__(self, row: str | int) -> Any:
        """Return a row by its id or its place: the values of a table, the atoms of a set of crystals.

        :raises KeyError: if there is no row of this id.
        :raises IndexError: if there are not so many rows.
        """
        if isinstance(row, str):
            return self._row_at(self.place(row))
        size = len(self)
        if not -size <= row < size:
            raise IndexError(f"no row {row}: this {type(self).__name__} has {size} rows")
        return self._row_at(row % size)

    def __iter__(self) -> Iterator[Any]:
        """Yield each row as ``[id]`` returns it, in order."""
        return (self._row_at(place) for place in range(len(self)))

    def __contains__(self, row_id: object) -> bool:
        return isinstance(row_id, str) and bool((cast("TableData", self).ids == row_id).any())
