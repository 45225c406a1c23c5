"""Part of a stored set, read for the moment: a node keeps in memory what was read of it, as long as it lives itself.

A process holds its nodes until it ends; what it needs only now it reads of another object of the same node.
"""

from __future__ import annotations

from collections.abc import Collection

from aiida import orm

from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable


def fresh[Node: TableData](node: Node) -> Node:
    """Return another object of ``node``, which keeps what it reads no longer than it is needed."""
    return orm.load_node(node.pk) if node.is_stored else node  # type: ignore[return-value]


def part_of(
    node: StructureSetData,
    columns: Collection[str] = (),
    atom_columns: Collection[str] = (),
    ragged: Collection[str] = (),
) -> StructureTable:
    """Return the crystals of ``node`` with those columns, per row, per atom and ragged, that it has; nothing stays."""
    source = fresh(node)
    rows = [name for name in source.column_names if name in columns]
    atoms = [name for name in source.atom_column_shapes() if name in atom_columns]
    units = {name: source.unit(name) for name in rows} | {name: source.atom_unit(name) for name in atoms}
    return StructureTable(
        ids=source.ids,
        columns={name: source.column(name) for name in rows},
        units={name: unit for name, unit in units.items() if unit},
        atom_columns={name: source.atom_column(name) for name in atoms},
        ragged={name: source.ragged(name) for name in source.ragged_names if name in ragged},
        **source.geometry(),
    )
