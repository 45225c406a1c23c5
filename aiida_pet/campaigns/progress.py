"""How far a campaign is: sums over its jobs, with live numbers from the heartbeats of running jobs.

A finished job says it in its ``summary``; of a running one the heartbeat is read from its folder on the computer,
through the computer's transport, one connection per computer.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.transports import Transport

from aiida_pet.campaigns.row_texts import missing_of, warnings_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import PROGRESS_FILE, JobFolderError, Progress, RowStatus
from aiida_pet.workchains.jobs import Calls, calls_of, summaries_of
from aiida_pet.workchains.lane import LANE_TYPE

logger = logging.getLogger(__name__)

CACHED = "cached"
SCREEN_TYPE = "aiida.workflows:pet.screen"
"""Process type of what hands rows of an earlier launch on to its stages."""
ENDED_STATES = ("finished", "excepted", "killed")
_TABLES = [TableData, StructureSetData]  # a query for the one finds none of the other


@dataclass(frozen=True)
class JobProgress:
    """How far a job is.

    :ivar pk: pk of the job.
    :ivar state: state of the process, as AiiDA calls it; with its exit status if it ended.
    :ivar step: step of the engine: loading, running, done, stopped, failed; empty before it started; cached for a job
        from the cache, whether its process has ended or not: its folder and heartbeat are those of another job.
    :ivar rows_total: rows of the job; 0 while unknown.
    :ivar rows_done: finished rows.
    :ivar statuses: statuses of the finished rows, status -> count.
    :ivar rate: rows per second now; 0 if it does not run.
    :ivar engine_s: seconds of the engine; 0 for a job taken from the cache.
    :ivar updated: Unix time of the heartbeat; None if there is none.
    :ivar rows_in_flight: rows that the engine works on now.
    :ivar left_s: seconds until its engine has ended, estimated from the evaluations that are left; None while unknown.
    """

    pk: int
    state: str
    step: str = ""
    rows_total: int = 0
    rows_done: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0
    engine_s: float = 0.0
    updated: float | None = None
    rows_in_flight: int = 0
    left_s: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended, well or not."""
        return self.state.startswith(ENDED_STATES)


@dataclass(frozen=True)
class LaneProgress:
    """How far a lane is.

    :ivar pk: pk of the WorkChain.
    :ivar state: state of the process.
    :ivar finished: whether it has ended, with success or not.
    :ivar rows_total: rows to do.
    :ivar rows_done: rows with a result.
    :ivar rate: rows per second now.
    :ivar jobs: pks of its jobs, oldest first.
    :ivar message: reason why it did not end well; empty otherwise.
    """

    pk: int
    state: str
    finished: bool
    rows_total: int
    rows_done: int
    rate: float
    jobs: list[int]
    message: str

    @property
    def eta_s(self) -> float | None:
        """Seconds until it is through; None if it is, or if no rate is known."""
        left = self.rows_total - self.rows_done
        return left / self.rate if left > 0 and self.rate > 0 and not self.finished else None


@dataclass(frozen=True)
class CampaignProgress:
    """How far a campaign is.

    :ivar pk: pk of the WorkChain.
    :ivar state: state of the process.
    :ivar finished: whether it has ended, with success or not.
    :ivar exit_status: None while it runs.
    :ivar message: reason why it did not end well; empty otherwise.
    :ivar rows_total: rows to do; 0 while unknown.
    :ivar rows_done: rows with a result.
    :ivar statuses: statuses of the finished rows, status -> count.
    :ivar rate: rows per second now, over all lanes.
    :ivar eta_s: seconds until the slowest lane has ended; None while unknown.
    :ivar engine_s: seconds of engines, summed over jobs.
    :ivar lanes: one entry for each lane, oldest first.
    :ivar jobs: one entry for each job, oldest first.
    :ivar warnings: code of the column ``warnings`` -> rows that carry it, the most frequent first; of the results, and
        while there are none of the jobs that ended, those of all stages.
    :ivar missing: column that says why a row lacks a value, such as ``conductivity_skipped`` -> rows of which it says
        so, of the same tables.
    """

    pk: int
    state: str
    finished: bool
    exit_status: int | None
    message: str
    rows_total: int
    rows_done: int
    statuses: dict[str, int]
    rate: float
    eta_s: float | None
    engine_s: float
    lanes: list[LaneProgress]
    jobs: list[JobProgress]
    warnings: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)

    @property
    def n_cached(self) -> int:
        """How many of the jobs are from the cache: their results are those of jobs of before."""
        return sum(job.step == CACHED for job in self.jobs)

    @property
    def rows_left(self) -> int:
        """Rows without a result."""
        return max(0, self.rows_total - self.rows_done)


def campaign_progress(
    node: Any, calls: Calls | None = None, heartbeats: Heartbeats | None = None
) -> CampaignProgress:
    """Return how far ``node`` is: a WorkChain that runs batches, a lane, or a single job.

    :param calls: what it called, if that is known already.
    :param heartbeats: of one who looks again and again; None looks once.
    """
    calls = calls or calls_of(node)
    jobs = calls.jobs()
    told = _progress_of(jobs, heartbeats or Heartbeats())
    progress = {job.pk: entry for job, entry in zip(jobs, told, strict=True)}
    entries = list(progress.values())
    walks = [lane for lane in [node, *calls.below()] if lane.process_type == LANE_TYPE]
    given_up = _given_up(walks)
    lanes = [_lane(lane, [progress[job.pk] for job in calls.jobs(lane)], given_up[lane.pk]) for lane in walks]
    statuses: Counter[str] = Counter()
    for entry in entries:
        statuses.update(entry.statuses)
    rows_done = sum(entry.rows_done for entry in entries)
    if any(given_up.values()):
        statuses[RowStatus.FAILED.value] += sum(given_up.values())
        rows_done += sum(given_up.values())
    rows_total = _rows_total(node, lanes, entries)
    before = taken_over(calls)
    rows_total += sum(table.rows for table in before) if lanes else 0
    rows_done += sum(table.rows for table in before)
    for table in before:
        statuses.update(table.statuses)
    if not jobs and "results" in node.outputs:  # no job was needed
        rows_done = rows_total = len(node.outputs.results)
    rate = sum(entry.rate for entry in entries)
    return CampaignProgress(
        pk=node.pk,
        state=state_of(node),
        finished=node.is_terminated,
        exit_status=node.exit_status,
        message=node.exit_message or node.exception or "",
        rows_total=rows_total,
        rows_done=rows_done,
        statuses=dict(statuses),
        rate=rate,
        eta_s=None if node.is_terminated else _eta(lanes, rows_total - rows_done, rate),
        engine_s=sum(entry.engine_s for entry in entries),
        lanes=lanes,
        jobs=entries,
        warnings=warnings_of(node, jobs),
        missing=missing_of(node, jobs),
    )


@dataclass(frozen=True)
class TakenOver:
    """Rows of an earlier launch that are not computed again.

    :ivar by: pk of the process that takes them over.
    :ivar rows: their number.
    :ivar statuses: status -> rows.
    """

    by: int
    rows: int
    statuses: dict[str, int]


def taken_over(calls: Calls) -> list[TakenOver]:
    """Return the tables that the batches among ``calls`` took over from an earlier launch, in one query."""
    pks = [one.pk for one in [calls.node, *calls.below()] if one.process_type != SCREEN_TYPE]
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters={"id": {"in": pks or [0]}}, project="id", tag="batch")
    query.append(
        _TABLES,
        with_outgoing="batch",
        edge_filters={"type": LinkType.INPUT_WORK.value, "label": {"like": r"done\_\_%"}},
        project=["attributes.n_rows", "attributes.counts.status"],
    )
    return [TakenOver(by, rows or 0, statuses or {}) for by, rows, statuses in query.all()]


def _given_up(lanes: list[Any]) -> dict[int, int]:
    """Return how many rows each of ``lanes`` gave up, as far as they ended, by pk, in one query."""
    counts = dict.fromkeys((lane.pk for lane in lanes), 0)
    if not lanes:
        return counts
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters={"id": {"in": list(counts)}}, project="id", tag="lane")
    query.append(
        StructureSetData,
        with_incoming="lane",
        edge_filters={"type": LinkType.RETURN.value, "label": "given_up"},
        project="attributes.n_rows",
    )
    return counts | dict(query.all())


def _lane(lane: Any, jobs: list[JobProgress], given_up: int) -> LaneProgress:
    return LaneProgress(
        pk=lane.pk,
        state=state_of(lane),
        finished=lane.is_terminated,
        rows_total=len(lane.inputs.rows),
        rows_done=sum(job.rows_done for job in jobs) + given_up,
        rate=sum(job.rate for job in jobs),
        jobs=[job.pk for job in jobs],
        message=lane.exit_message or "",
    )


def _rows_total(node: Any, lanes: list[LaneProgress], jobs: list[JobProgress]) -> int:
    """Return the rows that ``node`` has to do, from what is known so far."""
    if lanes:
        return sum(lane.rows_total for lane in lanes)
    for name in ("rows", "structures"):
        if name in node.inputs:
            return len(node.inputs[name])
    if "structure" in node.inputs:
        return 1
    return sum(job.rows_total for job in jobs)


def _eta(lanes: list[LaneProgress], rows_left: int, rate: float) -> float | None:
    """Return the seconds until the slowest lane is through, None if no rate is known."""
    known = [lane.eta_s for lane in lanes if lane.eta_s is not None]
    if known:
        return max(known)
    return rows_left / rate if rate > 0 else None


def state_of(node: Any) -> str:
    """Return the state of a process in a few words: paused or not, and how it ended."""
    state = node.process_state.value if node.process_state else "created"
    if node.paused and not node.is_terminated:
        return f"{state}, paused"
    return f"{state} [{node.exit_status}]" if node.exit_status is not None else str(state)


def _progress_of(jobs: list[Any], heartbeats: Heartbeats) -> Iterable[JobProgress]:
    cached = {job.pk for job in jobs if job.base.caching.is_created_from_cache}
    beats = heartbeats.read([job for job in jobs if not job.is_terminated and job.pk not in cached])
    summaries = summaries_of(jobs)
    for job in jobs:
        if job.is_terminated or job.pk in cached:
            yield _finished(job, summaries.get(job.pk, {}))
        else:
            yield _running(job, beats.get(job.pk))


def _finished(job: Any, summary: dict[str, Any]) -> JobProgress:
    cached = job.base.caching.is_created_from_cache
    return JobProgress(
        pk=job.pk,
        state=state_of(job),
        step=CACHED if cached else "done" if job.is_finished_ok else "ended",
        rows_total=summary.get("rows_total", 0),
        rows_done=summary.get("rows_done", 0),
        statuses=summary.get("statuses", {}),
        engine_s=0.0 if cached else summary.get("engine_s", 0.0),
    )


def _running(job: Any, heartbeat: Progress | None) -> JobProgress:
    if heartbeat is None:
        rows = job.inputs.rows if "rows" in job.inputs else job.inputs.structures
        return JobProgress(pk=job.pk, state=state_of(job), rows_total=len(rows))
    return JobProgress(
        pk=job.pk,
        state=state_of(job),
        step=heartbeat.step,
        rows_total=heartbeat.rows_total,
        rows_done=heartbeat.rows_done,
        statuses=heartbeat.statuses,
        rate=heartbeat.rate if heartbeat.step == "running" else 0.0,
        engine_s=heartbeat.engine_s,
        updated=heartbeat.updated,
        rows_in_flight=heartbeat.rows_in_flight if heartbeat.step == "running" else 0,
        left_s=_left_s(heartbeat),
    )


def _left_s(heartbeat: Progress) -> float | None:
    """Return the seconds that an engine still takes, now."""
    if heartbeat.step == "done":
        return 0.0
    if heartbeat.step != "running" or heartbeat.eta_s is None:
        return None
    return max(heartbeat.eta_s - (time.time() - heartbeat.updated), 0.0)


class Heartbeats:
    """Reads the heartbeats of jobs, and connects to no computer more often than it wants to be connected to."""

    def __init__(self) -> None:
        self._known: dict[int, Progress] = {}
        self._not_before: dict[int, float] = {}  # pk of a computer -> monotonic time of the next connection

    def read(self, jobs: Iterable[Any]) -> dict[int, Progress]:
        """Return the heartbeat of each of ``jobs`` that has one, by pk; as it was, where it is too early to look again.

        A computer that cannot be reached is logged, and its jobs are as they were.
        """
        by_computer: dict[int, list[Any]] = defaultdict(list)
        for job in jobs:
            if job.get_remote_workdir():
                by_computer[job.computer.pk].append(job)
        for pk, members in by_computer.items():
            if time.monotonic() >= self._not_before.get(pk, 0.0):
                self._look(members)
        pks = [job.pk for members in by_computer.values() for job in members]
        return {pk: self._known[pk] for pk in pks if pk in self._known}

    def _look(self, jobs: list[Any]) -> None:
        """Read the heartbeats of ``jobs``, which are of one computer."""
        computer = jobs[0].computer
        try:
            transport = jobs[0].get_authinfo().get_transport()
            self._not_before[computer.pk] = time.monotonic() + transport.get_safe_open_interval()
            with transport:
                for job in jobs:
                    heartbeat = _read_heartbeat(transport, job.get_remote_workdir())
                    if heartbeat is not None:
                        self._known[job.pk] = heartbeat
        except Exception as error:
            logger.warning("cannot read heartbeats from computer %r: %s", computer.label, error)


def _read_heartbeat(transport: Transport, workdir: str) -> Progress | None:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, PROGRESS_FILE)
        try:
            transport.getfile(f"{workdir}/{PROGRESS_FILE}", str(target))
            return Progress.from_json(target.read_text())
        except (OSError, JobFolderError):
            return None
