"""Rows that another campaign has done: which of them may be taken over, and what is left to do.

A row is taken over if it is of the same task, model, parameters and version of the engine, and if its job was given
what it would be given now: the fingerprint of crystal and columns tells (:mod:`aiida_pet.tables.fingerprints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import CalcJob

from aiida_pet.calculations.functions import SINGLE_ID, keep_rows
from aiida_pet.data.merging import places_of
from aiida_pet.data.partial import fresh, part_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.input_columns import read_by
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.fingerprints import Fingerprints, Taken, compare, fingerprints_of, named
from aiida_pet.tables.table import Array
from aiida_pet.workchains.jobs import calls_of, is_job, jobs_of
from aiida_pet.workchains.lane import LANE_TYPE

KEEP_ROWS_TYPE = f"{keep_rows.__module__}.keep_rows"


def results_below(node: orm.ProcessNode) -> dict[str, StructureSetData]:
    """Return what the batch ``node`` has, by name: results of jobs, rows given up, and what it took over itself.

    Results of a version of the engine whose results differ are left out.
    """
    found = current(_taken_over(node))
    calls = calls_of(node)
    task = Task(node.inputs.task.value)
    for job in calls.jobs():
        # relaxations along modes are jobs below a batch of phonons, and of another task
        if job.process_class.TASK is task and "results" in job.outputs and _is_current(job):
            found[f"job_{job.pk}"] = job.outputs.results
    # rows are to blame for the end of jobs where others came through
    for lane in calls.below() if found else ():
        is_lane = lane.process_type == LANE_TYPE and Task(lane.inputs.task.value) is task
        if is_lane and "given_up" in lane.outputs and _is_current_table(lane.outputs.given_up):
            found[f"given_up_{lane.pk}"] = lane.outputs.given_up
    return found


def outdated_rows(node: orm.ProcessNode) -> set[str]:
    """Return the ids of the rows below the batch ``node`` that are done, but by a version whose results differ."""
    found, outdated = results_below(node), dict(_taken_over(node))
    task = Task(node.inputs.task.value)
    jobs = [
        job for job in calls_of(node).jobs() if job.process_class.TASK is task and "results" in job.outputs
    ]
    outdated |= {f"job_{job.pk}": job.outputs.results for job in jobs}
    ids = {str(name) for key, table in outdated.items() if key not in found for name in fresh(table).ids}
    return ids - {str(name) for table in found.values() for name in fresh(table).ids}


def has_current_results(node: orm.ProcessNode) -> bool:
    """Return whether the batch ``node`` would have the same results today, as far as versions of the engine tell."""
    tables = _taken_over(node).values()
    return all(map(_is_current, jobs_of(node))) and all(map(_is_current_table, tables))


def of_jobs(tables: Mapping[str, StructureSetData]) -> dict[str, StructureSetData]:
    """Return the ``tables`` that are results of jobs, without rows that were given up."""
    makers = {name: maker_of(table) for name, table in tables.items()}
    return {name: tables[name] for name, maker in makers.items() if maker is not None and is_job(maker)}


def current(tables: Mapping[str, StructureSetData]) -> dict[str, StructureSetData]:
    """Return the ``tables`` that the engine of today would make in the same way, as far as versions tell."""
    return {name: table for name, table in tables.items() if _is_current_table(table)}


def _is_current_table(table: StructureSetData) -> bool:
    maker = maker_of(table)
    if maker is None or is_job(maker):
        return _is_current(maker)
    # rows that a lane gave up; versions before called them left, and these are tried again
    counts = table.base.attributes.get("counts").get("status", {})
    return RowStatus.LEFT not in counts and all(map(_is_current, jobs_of(maker)))


def _taken_over(node: orm.ProcessNode) -> dict[str, StructureSetData]:
    return dict(node.inputs.done) if "done" in node.inputs else {}


def _is_current(maker: Any) -> bool:
    """Return whether a job would have the same results today; the cache asks the same. Other makers have no version."""
    if maker is None or not is_job(maker):
        return True
    made_by = maker.base.attributes.get(CalcJob.KEY_CACHE_VERSION, {})
    return bool(made_by.get("calc_job") == maker.process_class.CACHE_VERSION)


@dataclass
class Given:
    """Tells what rows were given to one task, for the rows that are asked for and for the rows of tables of results.

    Of a table that does not say it, of a version before, it is worked out from the inputs of the job; each set of
    crystals is read once.

    :ivar task: task of the jobs.
    """

    task: Task
    _sets: dict[int | None, tuple[Array, Fingerprints]] = field(default_factory=dict)

    def of_set(self, structures: StructureSetData, ids: Array | None = None) -> Fingerprints:
        """Return the fingerprints of ``structures`` as the input of the task, or of its rows ``ids``, (N, 16)."""
        if structures.pk not in self._sets:
            read = read_by(self.task)
            table = part_of(structures, read.rows, read.atoms, read.ragged)
            self._sets[structures.pk] = (table.ids, fingerprints_of(table, read))
        known, found = self._sets[structures.pk]
        return found if ids is None else found[places_of(known, ids)]

    def of_results(self, table: StructureSetData) -> Fingerprints:
        """Return the fingerprints of what the job was given whose results ``table`` are, (M, 16)."""
        found = table.fingerprints()
        if found is not None:
            return found
        maker = maker_of(table)
        if maker is None:
            raise ValueError(
                f"<{table.pk}> is neither the result of a job nor a table of rows that a lane gave up"
            )
        return self.of_set(maker.inputs.structures, fresh(table).ids)

    def compare(self, structures: StructureSetData, ids: Array, table: StructureSetData) -> Taken:
        """Return which rows of ``table`` stand for the rows ``ids`` of ``structures``."""
        return compare(ids, self.of_set(structures, ids), fresh(table).ids, self.of_results(table))


def left_to_do(ids: Array, tables: Mapping[str, StructureSetData]) -> Array:
    """Return which of ``ids`` are in none of ``tables``, (N,) bool; these hold rows that may be taken over only."""
    left = np.ones(len(ids), bool)
    for table in tables.values():
        left &= ~np.isin(ids, fresh(table).ids)
    return left


def still_valid(
    tables: Mapping[str, StructureSetData], task: Task, structures: StructureSetData, ids: Array
) -> tuple[dict[str, StructureSetData], list[str]]:
    """Return of ``tables`` what stands for the rows ``ids`` of ``structures``, and the ids of rows that do not.

    A table some of whose rows are of other crystals is replaced by one of the rest.
    """
    given = Given(task)
    valid: dict[str, StructureSetData] = {}
    others: list[str] = []
    for name, table in tables.items():
        taken = given.compare(structures, ids, table)
        others += taken.other
        if not taken.other:
            valid[name] = table
        elif len(taken.same):
            rows = TableData.from_ids(fresh(table).ids[taken.same])
            valid[name] = keep_rows(results=table, rows=rows)
    return valid, sorted(set(others))


def check_done(inputs: Mapping[str, Any]) -> str | None:
    """Return which table of ``done`` is not of the same task, model, parameters and crystals, None if all are."""
    tables = inputs.get("done")
    if not tables:
        return None
    task = Task(inputs["task"].value)
    problem = check_science(tables, task, inputs["model"].sha256, inputs["parameters"].get_dict())
    if problem is None:
        single = inputs.get("structure")
        structures = _set_of(single) if single is not None else inputs["structures"]
        ids = fresh(inputs.get("rows", structures)).ids
        problem = check_crystals(tables, task, structures, ids)
    return f"done.{problem}" if problem else None


def check_science(
    tables: Mapping[str, StructureSetData], task: Task, sha256: str, parameters: dict[str, Any]
) -> str | None:
    """Return which of ``tables`` is not of this task, model and these parameters, None if all are."""
    wanted = parse_parameters(task, parameters)
    for name, table in tables.items():
        problem = _problem_of(table, task, sha256, wanted)
        if problem:
            return f"{name} <{table.pk}> {problem}"
    return None


def check_crystals(
    tables: Mapping[str, StructureSetData], task: Task, structures: StructureSetData, ids: Array
) -> str | None:
    """Return which of ``tables`` holds rows of other crystals than ``structures`` has under their ids."""
    given = Given(task)
    for name, table in tables.items():
        other = given.compare(structures, ids, table).other
        if other:
            return (
                f"{name} <{table.pk}> has other crystals than the input for the ids "
                f"{named(other)}: the geometry, or columns that the task reads, differ; start a new launch for this set"
            )
    return None


def _set_of(structure: orm.StructureData) -> StructureSetData:
    """Return the unstored set of a single crystal, as a batch makes it."""
    atoms = structure.get_ase()  # type: ignore[no-untyped-call]
    return StructureSetData.from_iterator([(SINGLE_ID, atoms)])


def _problem_of(table: StructureSetData, task: Task, sha256: str, parameters: Any) -> str | None:
    maker = maker_of(table)
    if maker is None:
        return "is neither the result of a job nor a table of rows that a lane gave up"
    its_task = maker.process_class.TASK if is_job(maker) else Task(maker.inputs.task.value)
    if its_task is not task:
        return f"belongs to task {its_task.value}, not {task.value}"
    if maker.inputs.model.sha256 != sha256:
        return "belongs to another model"
    if parse_parameters(task, maker.inputs.parameters.get_dict()) != parameters:
        return "was made with other parameters"
    return None if _is_current_table(table) else "was made by a version of the engine with other results"


def maker_of(table: StructureSetData) -> Any | None:
    """Return the job whose result ``table`` is, or the lane that gave its rows up; None if it is neither."""
    creator: Any = table.creator
    if creator is None or is_job(creator):
        return creator
    if creator.process_type == KEEP_ROWS_TYPE:
        return maker_of(creator.inputs.results)
    caller = creator.caller
    return caller if caller is not None and caller.process_type == LANE_TYPE else None
