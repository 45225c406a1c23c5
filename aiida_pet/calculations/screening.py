"""Calcfunctions of a screening: space groups of a set, rattled crystals, two relaxations made one, the final table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_pet.analysis.funnel import (
    LONGEST,
    Stage,
    Verdict,
    add_stage,
    begin,
    came_to,
    final_table,
    judge,
    not_judged,
)
from aiida_pet.analysis.symmetry_breaking import combine, rattle
from aiida_pet.calculations.theory import pressure_behind
from aiida_pet.crystals.symmetry.spacegroup import spacegroup_numbers
from aiida_pet.data.partial import fresh, part_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.input_columns import carried_columns
from aiida_pet.job.stages import stage_entry
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import FilterError
from aiida_pet.tables.table import Array, Table

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


_FREE_LEFT = "no job finished its free relaxation"


@calcfunction
def find_symmetry(structures: StructureSetData, symprec: orm.Float) -> TableData:
    """Return ``spacegroup`` (number, 0 for what has none), ``crystal_system`` and ``n_elements`` of each crystal.

    :param symprec: tolerance, A.
    """
    table = part_of(structures)
    groups = spacegroup_numbers(table, (symprec.value,))
    numbers: Array = next(iter(groups.values()))
    ends = np.array([end for end, _ in _SYSTEMS])
    names = np.array([name for _, name in _SYSTEMS])
    systems = np.where(numbers > 0, names[np.searchsorted(ends, np.maximum(numbers, 1))], "")
    elements = [len(np.unique(table.numbers[table.atoms_of(row)])) for row in range(len(table))]
    columns = {"spacegroup": numbers, "crystal_system": systems, "n_elements": np.array(elements)}
    return TableData.from_table(Table(table.ids, columns))


def symmetry_stage(structures: StructureSetData, options: Mapping[str, Any]) -> TableData:
    """Return the table of stage symmetry over the crystals ``structures``."""
    table: TableData = find_symmetry(structures=structures, symprec=orm.Float(options["symprec"]))
    return table


@calcfunction
def rattle_structures(structures: StructureSetData, parameters: orm.Dict) -> StructureSetData:
    """Return the converged crystals with atoms and cells moved at random.

    :param parameters: ``rattle`` (A, standard deviation of a coordinate), ``seed``, ``cell``: what of the cell is
        relaxed after it; where that is not all of it, cells stay as they are.
    :raises ValueError: if no crystal converged.
    """
    names = carried_columns()
    table = part_of(structures, ("status", *names.rows), names.atoms, names.ragged)
    table = table.take(np.flatnonzero(table.columns["status"] == "converged"))
    given = parameters.get_dict()
    strained = given.get("cell", "full") == "full"
    return StructureSetData.from_table(rattle(table, given["rattle"], given["seed"], strained=strained))


@calcfunction
def combine_relaxations(
    constrained: StructureSetData, parameters: orm.Dict, free: StructureSetData | None = None
) -> StructureSetData:
    """Return one table of two relaxations: see :func:`aiida_pet.analysis.symmetry_breaking.combine`.

    :param parameters: ``min_gain`` (eV/atom).
    :param free: None if no crystal converged that could be relaxed freely.
    """
    held = fresh(constrained).to_table()
    freed = held.take([]) if free is None else fresh(free).to_table()
    pressure = pressure_behind(constrained)
    table = combine(held, freed, min_gain=parameters["min_gain"], pressure=pressure)
    left = table.columns["free_status"] == RowStatus.LEFT
    if (
        left.any()
    ):  # what stands is not known yet, so that the row does not go on with the crystal that was held
        table.set_column("status", np.where(left, RowStatus.LEFT.value, table.columns["status"]))
        table.set_column("message", np.where(left, _FREE_LEFT, table.columns["message"]))
    return StructureSetData.from_table(table)


@calcfunction
def judge_stage(structures: StructureSetData, plan: orm.Dict, **tables: TableData) -> dict[str, Any]:
    """Return the ``verdict`` on the stage that ran last, a row for each that came to it: ``passes`` and ``reason``.

    It is made once. A condition that cannot be applied lets no row through, and ``problem`` says what is wrong with it.

    :param structures: the input.
    :param plan: ``names``, what its columns are called; ``stages`` that ran, in order; ``keep``, the condition of the
        last; ``known``, columns that these stages may make.
    :param tables: name of a stage -> its table; ``before``, the verdict on the stage before.
    """
    given = plan.get_dict()
    table, last = _grown(structures, given, tables)
    passing = _passing(tables["before"]) if "before" in tables else table.ids
    came = came_to(last.result, passing)
    problem = {}
    try:
        verdict = judge(table, came, given["keep"], given["known"])
    except FilterError as error:
        verdict = not_judged(came, error)
        problem = {"problem": orm.Str(str(error))}
    columns = {"passes": verdict.passes, "reason": verdict.reasons}
    return {"verdict": TableData.from_table(Table(verdict.ids, columns))} | problem


@calcfunction
def screening_table(
    structures: StructureSetData, stages: orm.Dict, **tables: TableData
) -> dict[str, StructureSetData | orm.Dict]:
    """Return ``results``, one row for each of ``structures``, and ``summary``, what each stage did.

    :param structures: the input.
    :param stages: ``stages``: of each that ran, in order, its ``name``, ``keep`` (condition or None) and what else
        there is to remember of it; ``planned``: names of all; ``names``: what the input's columns are called; ``why``
        later stages did not run.
    :param tables: name of a stage -> its table; ``verdict_<stage>`` -> of :func:`judge_stage`.
    """
    given = stages.get_dict()
    records = given["stages"]
    ran = [record["name"] for record in records]
    table, _ = _grown(structures, given | {"stages": ran}, tables)
    verdicts = [_verdict_of(tables[f"{VERDICT}{name}"]) for name in ran]
    planned = given["planned"] if given["why"] else given["planned"][: len(ran)]
    table = final_table(table, planned, verdicts, given["why"])
    for record, verdict in zip(records, verdicts, strict=True):
        record["rows_in"], record["rows_out"] = len(verdict.ids), int(verdict.passes.sum())
    summary = {
        "rows": len(table),
        "passed": int(table.columns["passed"].sum()),
        "left_at": dict(Counter(table.columns["stage"].tolist())),
        "stages": records,
        "planned": given["planned"],
    }
    return {"results": StructureSetData.from_table(table), "summary": orm.Dict(summary)}


VERDICT = "verdict_"


def _grown(
    structures: StructureSetData, plan: Mapping[str, Any], tables: Mapping[str, TableData]
) -> tuple[StructureTable, Stage]:
    """Return the input with the columns of the stages of ``plan`` that ran, and the last of them."""
    names = plan["names"]
    own = set(names.values())
    first = bare(structures)
    table = begin(first, names)  # type: ignore[arg-type]
    stage = Stage("", first)
    for name in plan["stages"]:
        stage = Stage(name, bare(tables[name]), moves=stage_entry(name).moves)
        table = add_stage(table, stage, own)
    return table, stage


def _passing(verdict: TableData) -> Array:
    found: Array = verdict.ids[verdict.column("passes")]
    return found


def _verdict_of(node: TableData) -> Verdict:
    return Verdict(node.ids, node.column("passes"), node.column("reason"))


def bare(node: TableData) -> Table:
    """Return rows and columns of ``node`` as far as a funnel has them: nothing per atom, long or of any length.

    What it leaves out is not read, and what it reads does not stay with the node.
    """
    source = fresh(node)
    shapes = source.column_shapes(source.base.attributes.all)
    names = [name for name, shape in shapes.items() if all(side <= LONGEST for side in shape[1:])]
    if isinstance(source, StructureSetData):
        return part_of(source, names)
    units = {name: source.unit(name) for name in names if source.unit(name)}
    return Table(source.ids, {name: source.column(name) for name in names}, units)
