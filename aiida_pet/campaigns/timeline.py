"""When the jobs of a launch began and ended, in which lane and stage, and what they did: a row per job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType
from aiida.orm import ProcessNode

from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.progress import campaign_progress
from aiida_pet.workchains.jobs import calls_of, summaries_of
from aiida_pet.workchains.lane import LANE_TYPE

COLUMNS = ("job", "lane", "stage", "begun", "ended", "rows_done", "engine_s", "compute_s", "cached")


def timeline(named: Named) -> pd.DataFrame:
    """Return the jobs of a launch, oldest first; of those that run what their heartbeats say so far.

    :param named: the launch, by pk, uuid, label or as a node.
    :return: ``job`` (pk), ``lane`` (``lane 1``, counted within its stage), ``stage`` (of a screening, else the task),
        ``begun`` and ``ended`` (Unix s; ``ended`` is now for a job that runs), ``rows_done``, ``engine_s``,
        ``compute_s``, ``cached``.
    :raises NoSuchNodeError: if there is no such node, or several.
    :raises WrongNodeError: if it is no process.
    """
    node: Any = load(named, ProcessNode)
    calls = calls_of(node)
    progress = {job.pk: job for job in campaign_progress(node, calls).jobs}
    jobs = calls.jobs()
    summaries, ends = summaries_of(jobs), _ends([job.pk for job in jobs])
    stages, lanes = _stages(calls), _lanes(calls)
    now = pd.Timestamp.now("UTC").timestamp()
    records = []
    for job in jobs:
        summary, so_far = summaries.get(job.pk, {}), progress[job.pk]
        records.append(
            (
                job.pk,
                lanes.get(job.pk, "lane 1"),
                stages.get(job.pk, _task(node)),
                job.ctime.timestamp(),
                ends.get(job.pk, job.mtime).timestamp() if job.is_terminated else now,
                so_far.rows_done,
                summary.get("engine_s", so_far.engine_s) or 0.0,
                summary.get("compute_s") or 0.0,
                bool(job.base.caching.is_created_from_cache),
            )
        )
    frame = pd.DataFrame(records, columns=list(COLUMNS))
    frame.attrs["units"] = dict.fromkeys(("begun", "ended", "engine_s", "compute_s"), "s")
    return frame


def _ends(pks: list[int]) -> dict[int, datetime]:
    """Return when the results of each job were read, by pk: a node of a job may be touched later."""
    query = orm.QueryBuilder()
    query.append(orm.CalcJobNode, filters={"id": {"in": pks or [0]}}, project="id", tag="job")
    query.append(orm.Dict, with_incoming="job", edge_filters={"label": "summary"}, project="ctime")
    return dict(query.all())


def _task(node: Any) -> str:
    return str(node.inputs.task.value) if "task" in node.inputs else str(node.process_type).rpartition(".")[2]


def _stages(calls: Any) -> dict[int, str]:
    """Return the stage of each job of a screening, by pk; nothing for a launch without stages."""
    if "stages" not in calls.node.inputs:
        return {}
    links = calls.node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    return {job.pk: link.link_label for link in links for job in calls.jobs(link.node)}


def _lanes(calls: Any) -> dict[int, str]:
    """Return the lane of each job, by pk: lanes are counted below their caller, in the order in which they began."""
    found: dict[int, str] = {}
    for called in [[calls.node], *calls.by_caller.values()]:
        lanes = sorted(
            (one for one in called if one.process_type == LANE_TYPE), key=lambda one: (one.ctime, one.pk)
        )
        for number, lane in enumerate(lanes, 1):
            found |= {job.pk: f"lane {number}" for job in calls.jobs(lane)}
    return found
