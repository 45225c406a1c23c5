"""Which columns of an input set each task reads: its jobs are given them, and a row is known by them.

A column that is added here changes what a job was given: raise `CACHE_VERSION` of its calculation then, unless the task
reads it only where a new parameter asks for it, which no job of before has.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from aiida_pet import plugins
from aiida_pet.job.tasks import Task, entry_of, task_names
from aiida_pet.tables import fixed_atoms
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fingerprints import InputColumns

_FIXED = InputColumns(rows=(fixed_atoms.NOT_READ,), atoms=fixed_atoms.COLUMNS)


def read_by(task: Task | str) -> InputColumns:
    """Return what ``task`` reads beside the crystals.

    :raises ValueError: if no installed package has the task.
    """
    entry = entry_of(task)
    return InputColumns(
        (*_FIXED.rows, *entry.reads_rows), (*_FIXED.atoms, *entry.reads_atoms), entry.reads_ragged
    )


@plugins.remembered
def carried_columns() -> InputColumns:
    """Return what travels with a row through its tasks, since one that comes later may read it."""
    read = [read_by(task) for task in task_names()]
    return InputColumns(
        rows=tuple(dict.fromkeys(name for columns in read for name in columns.rows)),
        atoms=tuple(dict.fromkeys(name for columns in read for name in columns.atoms)),
        ragged=tuple(dict.fromkeys(name for columns in read for name in columns.ragged)),
    )


def carried(results: StructureTable, given: StructureTable) -> StructureTable:
    """Return ``results`` with the columns that travel with their rows.

    A column that the results have already stays as it is, and neither a column per atom nor a ragged one, which may
    count atoms, goes to rows of other atoms.

    :param given: what the job was given, the same rows in the same order.
    """
    names = carried_columns()
    rows = _missing(names.rows_in(given.columns), results.columns)
    atoms = _missing(names.atoms_in(given.atom_columns), results.atom_columns)
    ragged = _missing(names.ragged_in(given.ragged), results.ragged)
    if not (results.numbers.shape == given.numbers.shape and (results.numbers == given.numbers).all()):
        atoms = ragged = []
    return replace(
        results,
        columns=results.columns | {name: given.columns[name] for name in rows},
        atom_columns=results.atom_columns | {name: given.atom_columns[name] for name in atoms},
        ragged=results.ragged | {name: given.ragged[name] for name in ragged},
        units=results.units | {name: given.units[name] for name in (*rows, *atoms) if name in given.units},
    )


def only_carried(table: StructureTable) -> StructureTable:
    """Return the crystals of ``table`` with no other columns than those that travel with their rows."""
    names = carried_columns()
    rows, atoms = names.rows_in(table.columns), names.atoms_in(table.atom_columns)
    return replace(
        table,
        columns={name: table.columns[name] for name in rows},
        atom_columns={name: table.atom_columns[name] for name in atoms},
        ragged={name: table.ragged[name] for name in names.ragged_in(table.ragged)},
        units={name: table.units[name] for name in (*rows, *atoms) if name in table.units},
    )


def _missing(names: list[str], there: Collection[str]) -> list[str]:
    return [name for name in names if name not in there]
