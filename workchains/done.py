"""Rows that another campaign has done: which tables of it may be taken over, and what is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import CalcJob

from aiida_pet.data.structures import StructureSetData
from aiida_pet.engine.job import RowStatus, Task
from aiida_pet.engine.parameters import parse_parameters
from aiida_pet.engine.table import Array
from aiida_pet.workchains.jobs import calls_of, is_job, jobs_of
from aiida_pet.workchains.lane import LANE_TYPE


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


def has_current_results(node: orm.ProcessNode) -> bool:
    """Return whether the batch ``node`` would have the same results today, as far as versions of the engine tell."""
    tables = _taken_over(node).values()
    return all(map(_is_current, jobs_of(node))) and all(map(_is_current_table, tables))


def of_jobs(tables: Mapping[str, StructureSetData]) -> dict[str, StructureSetData]:
    """Return those of ``tables`` that are results of jobs, without rows that were given up."""
    return {
        name: table for name, table in tables.items() if table.creator is not None and is_job(table.creator)
    }


def current(tables: Mapping[str, StructureSetData]) -> dict[str, StructureSetData]:
    """Return those of ``tables`` that the engine of today would make the same, as far as versions tell."""
    return {name: table for name, table in tables.items() if _is_current_table(table)}


def _is_current_table(table: StructureSetData) -> bool:
    maker = _maker(table)
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


def left_to_do(ids: Array, tables: Mapping[str, StructureSetData]) -> Array:
    """Return which of ``ids`` have no result, (N,) bool."""
    left = np.ones(len(ids), bool)
    for table in tables.values():
        left &= ~np.isin(ids, table.ids)
    return left


def check_done(inputs: Mapping[str, Any]) -> str | None:
    """Return which table of ``done`` is not of the same task, model and parameters, None if all are."""
    tables = inputs.get("done")
    if not tables:
        return None
    task = Task(inputs["task"].value)
    wanted = parse_parameters(task, inputs["parameters"].get_dict())
    for name, table in tables.items():
        problem = _problem_of(table, task, inputs["model"].sha256, wanted)
        if problem:
            return f"done.{name} <{table.pk}> {problem}"
    return None


def _problem_of(table: StructureSetData, task: Task, sha256: str, parameters: Any) -> str | None:
    maker = _maker(table)
    if maker is None:
        return "is not the result of a job, nor rows that a lane gave up"
    its_task = maker.process_class.TASK if is_job(maker) else Task(maker.inputs.task.value)
    if its_task is not task:
        return f"is of task {its_task.value}, not {task.value}"
    if maker.inputs.model.sha256 != sha256:
        return "is of another model"
    if parse_parameters(task, maker.inputs.parameters.get_dict()) != parameters:
        return "is of other parameters"
    return None if _is_current_table(table) else "is of a version of the engine whose results differ"


def _maker(table: StructureSetData) -> Any | None:
    """Return the job whose result ``table`` is, or the lane that gave its rows up; None if it is neither."""
    creator: Any = table.creator
    if creator is None or is_job(creator):
        return creator
    caller = creator.caller
    return caller if caller is not None and caller.process_type == LANE_TYPE else None
