"""Rows that another campaign has done: which tables of it may be taken over, and what is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm

from aiida_pet.data.structures import StructureSetData
from aiida_pet.engine.job import Task
from aiida_pet.engine.parameters import parse_parameters
from aiida_pet.engine.table import Array
from aiida_pet.workchains.jobs import is_job, jobs_of


def results_below(node: orm.ProcessNode) -> dict[str, StructureSetData]:
    """Return the results of the jobs of the batch ``node``, and those that it took over itself, by name."""
    found: dict[str, StructureSetData] = dict(node.inputs.done) if "done" in node.inputs else {}
    for job in jobs_of(node):
        # relaxations along modes are jobs below a batch of phonons, and of another task
        if job.process_class.TASK.value == node.inputs.task.value and "results" in job.outputs:
            found[f"job_{job.pk}"] = job.outputs.results
    return found


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
        job = table.creator
        if job is None or not is_job(job):
            return f"done.{name} <{table.pk}> is not the result of a job"
        if job.process_class.TASK is not task:
            return f"done.{name} <{table.pk}> is of task {job.process_class.TASK.value}, not {task.value}"
        if job.inputs.model.sha256 != inputs["model"].sha256:
            return f"done.{name} <{table.pk}> is of another model"
        if parse_parameters(task, job.inputs.parameters.get_dict()) != wanted:
            return f"done.{name} <{table.pk}> is of other parameters"
    return None
