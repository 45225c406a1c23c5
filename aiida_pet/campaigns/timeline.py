"""When the jobs of a launch ran, in which lane and stage, and how many rows each had done by when."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pandas as pd
from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.progress import CACHED, CampaignProgress, JobProgress, campaign_progress
from aiida_pet.workchains.jobs import Calls, calls_of, summaries_of
from aiida_pet.workchains.lane import LANE_TYPE

COLUMNS = ("pk", "stage", "lane", "begun", "ended", "rows_done", "engine_s", "compute_s", "cached")


def job_times(named: Named) -> pd.DataFrame:
    """Return a row per job of a launch, oldest first, those that run among them.

    :param named: the launch, by pk, uuid, label or as a node.
    :return: ``pk``, ``stage`` (empty for what is no screening), ``lane`` (numbered within its stage), ``begun`` and
        ``ended`` (Unix s; of a job that runs, now; the queue and AiiDA included), ``rows_done``, ``engine_s`` and
        ``compute_s`` (of a job that runs, what its heartbeat says), ``cached``.
    """
    node: Any = load(named, orm.ProcessNode)
    calls = calls_of(node)
    progress = campaign_progress(node, calls)
    of_job = {job.pk: job for job in progress.jobs}
    summaries, ends = summaries_of(calls.jobs()), _ends([job.pk for job in calls.jobs()])
    records = [
        (
            job.pk,
            stage,
            lane,
            *_times(job, of_job[job.pk], ends.get(job.pk, job.mtime)),
            *_cost(summaries.get(job.pk, {}), of_job[job.pk]),
        )
        for stage, lane, job in _placed(calls, progress)
    ]
    frame = pd.DataFrame(records, columns=list(COLUMNS)).sort_values("begun", kind="stable")
    frame.attrs["units"] = dict.fromkeys(("begun", "ended", "engine_s", "compute_s"), "s")
    return frame


def _placed(calls: Calls, progress: CampaignProgress) -> list[tuple[str, str, Any]]:
    """Return (stage, lane, job) of each job."""
    node: Any = calls.node
    stages = {"": node}
    if "stages" in node.inputs:
        links = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
        stages = {link.link_label: link.node for link in links}
    found = []
    for stage, top in stages.items():
        lanes = [one for one in [top, *calls.below(top)] if one.process_type == LANE_TYPE] or [top]
        found += [
            (stage, str(number), job) for number, lane in enumerate(lanes, 1) for job in calls.jobs(lane)
        ]
    return found


def _times(job: Any, progress: JobProgress, ended: datetime) -> tuple[float, float]:
    begun = job.ctime.timestamp()
    return begun, max(begun, ended.timestamp() if progress.has_ended else time.time())


def _ends(pks: list[int]) -> dict[int, datetime]:
    """Return when the results of jobs were read, by pk: a node may be touched later, when it is cleaned say."""
    query = orm.QueryBuilder()
    query.append(orm.CalcJobNode, filters={"id": {"in": pks or [0]}}, project="id", tag="job")
    query.append(orm.Dict, with_incoming="job", edge_filters={"label": "summary"}, project="ctime")
    return dict(query.all())


def _cost(summary: dict[str, Any], progress: JobProgress) -> tuple[int, float, float, bool]:
    is_cached = progress.step == CACHED
    compute = 0.0 if is_cached else float(summary.get("compute_s") or progress.engine_s)
    return progress.rows_done, progress.engine_s, compute, is_cached
