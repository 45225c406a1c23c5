"""Calcfunctions of a screening: space groups of a set, rattled crystals, two relaxations made one, the final table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_pet.analysis.funnel import Stage, final_table, run_funnel
from aiida_pet.analysis.symmetry_breaking import combine, rattle
from aiida_pet.calculations.theory import pressure_behind
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.engine.spacegroup import spacegroup_numbers
from aiida_pet.engine.table import Array, StructureTable, Table

# International Tables A: the last space group of each crystal system.
_SYSTEMS = (
    (2, "triclinic"),
    (15, "monoclinic"),
    (74, "orthorhombic"),
    (142, "tetragonal"),
    (167, "trigonal"),
    (194, "hexagonal"),
    (230, "cubic"),
)


@calcfunction
def find_symmetry(structures: StructureSetData, symprec: orm.Float) -> TableData:
    """Return ``spacegroup`` (number, 0 for what has none), ``crystal_system`` and ``n_elements`` of each crystal.

    :param symprec: tolerance, A.
    """
    table = structures.to_table()
    groups = spacegroup_numbers(table, (symprec.value,))
    numbers: Array = next(iter(groups.values()))
    ends = np.array([end for end, _ in _SYSTEMS])
    names = np.array([name for _, name in _SYSTEMS])
    systems = np.where(numbers > 0, names[np.searchsorted(ends, np.maximum(numbers, 1))], "")
    elements = [len(np.unique(table.numbers[table.atoms_of(row)])) for row in range(len(table))]
    columns = {"spacegroup": numbers, "crystal_system": systems, "n_elements": np.array(elements)}
    return TableData.from_table(Table(table.ids, columns))


@calcfunction
def rattle_structures(structures: StructureSetData, parameters: orm.Dict) -> StructureSetData:
    """Return the converged crystals with atoms and cells moved at random.

    :param parameters: ``rattle`` (A, standard deviation of a coordinate), ``seed``.
    :raises ValueError: if no crystal converged.
    """
    table = structures.to_table()
    table = table.take(np.flatnonzero(table.columns["status"] == "converged"))
    given = parameters.get_dict()
    return StructureSetData.from_table(rattle(table, given["rattle"], given["seed"]))


@calcfunction
def combine_relaxations(
    constrained: StructureSetData, free: StructureSetData, parameters: orm.Dict
) -> StructureSetData:
    """Return one table of two relaxations: see :func:`aiida_pet.analysis.symmetry_breaking.combine`.

    :param parameters: ``min_gain`` (eV/atom).
    """
    table = combine(
        constrained.to_table(),
        free.to_table(),
        min_gain=parameters["min_gain"],
        pressure=pressure_behind(constrained),
    )
    return StructureSetData.from_table(table)


@calcfunction
def screening_table(
    structures: StructureSetData, stages: orm.Dict, **tables: TableData
) -> dict[str, StructureSetData | orm.Dict]:
    """Return ``results``, one row for each of ``structures``, and ``summary``, what each stage did.

    :param structures: the input.
    :param stages: ``stages``: of each that ran, in order, its ``name``, ``keep`` (condition or None) and what else
        there is to remember of it; ``planned``: names of all.
    :param tables: name of a stage -> its table.
    """
    given = stages.get_dict()
    records = given["stages"]
    ran = stages_of(records, tables)
    funnel = run_funnel(structures.to_table(), ran)
    table = final_table(funnel.table, [stage.name for stage in ran], funnel.verdicts)
    for record, verdict in zip(records, funnel.verdicts, strict=True):
        record["rows_in"], record["rows_out"] = len(verdict.ids), int(verdict.passes.sum())
    summary = {
        "rows": len(table),
        "passed": int(table.columns["passed"].sum()),
        "left_at": dict(Counter(table.columns["stage"].tolist())),
        "stages": records,
        "planned": given["planned"],
    }
    return {"results": StructureSetData.from_table(table), "summary": orm.Dict(summary)}


def stages_of(records: list[dict[str, Any]], tables: dict[str, TableData]) -> list[Stage]:
    """Return the stages that ran, from their records and tables."""
    return [
        Stage(one["name"], bare(tables[one["name"]]), one["keep"], moves=one["name"] == "relax")
        for one in records
    ]


def bare(node: TableData) -> Table:
    """Return rows and columns of ``node`` without what is read per atom or of any length."""
    if not isinstance(node, StructureSetData):
        return Table(node.ids, {name: node.column(name) for name in node.column_names}, _units(node))
    table: StructureTable = node.to_table()
    table.atom_columns, table.ragged = {}, {}
    return table


def _units(node: TableData) -> dict[str, str]:
    return {name: node.unit(name) for name in node.column_names if node.unit(name)}
