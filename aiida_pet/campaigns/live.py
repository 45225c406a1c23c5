"""A launch as somebody who waits for it wants to see it: its stages, its lanes, and the time that it still takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm
from aiida.manage import get_manager
from sqlalchemy.exc import OperationalError

from aiida_pet.campaigns.advice import obstacles
from aiida_pet.campaigns.forecast import TABLE_S, Engines, Expected, Pace, StageCourse, seconds_left
from aiida_pet.campaigns.lines import told_statuses
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.progress import (
    CACHED,
    CampaignProgress,
    Heartbeats,
    JobProgress,
    campaign_progress,
    taken_over,
)
from aiida_pet.campaigns.stages import StageStatus, stages_of
from aiida_pet.campaigns.training import TrainingProgress
from aiida_pet.job.stages import KEEP, PARAMETERS, task_of
from aiida_pet.job.tasks import Task
from aiida_pet.words import plural
from aiida_pet.workchains.jobs import Calls, calls_of

DOING = {
    "": "waiting in the queue",
    "loading": "starting",
    "running": "computing",
    "done": "fetching results",
    "stopped": "fetching results",
    "failed": "fetching results",
    CACHED: "getting results from the cache",
}
"""Step of an engine -> what its lane does, in words."""


BUSY_S = 60.0
"""A database that does not answer for so long is not just busy."""
AGAIN_S = 1.0


@dataclass(frozen=True)
class StageLook:
    """A stage.

    :ivar name: name of the stage; if the launch is no screening, name of its task.
    :ivar state: ``to come``, ``running`` or ``done``.
    :ivar rows: that came to it; expected, if it is to come. Of a training they are epochs.
    :ivar is_expected: whether ``rows`` is expected only.
    :ivar rows_done: number of finished rows.
    :ivar rows_out: that went on; None before it is done.
    :ivar rows_in_flight: that engines work on now.
    :ivar rate: rows per second now.
    :ivar left_s: seconds that it still takes.
    :ivar keep: condition under which rows go on; None for every row with an answer.
    """

    name: str
    state: str
    rows: int
    is_expected: bool
    rows_done: int
    rows_out: int | None
    rows_in_flight: int
    rate: float
    left_s: float
    keep: str | None


@dataclass(frozen=True)
class LaneLook:
    """A lane that has not ended.

    :ivar number: from 1.
    :ivar doing: in words.
    :ivar rows_done: number of finished rows of ``rows``.
    :ivar rows: rows of the lane.
    :ivar rows_in_flight: that its engine works on now.
    :ivar rate: rows per second now.
    """

    number: int
    doing: str
    rows_done: int
    rows: int
    rows_in_flight: int
    rate: float


@dataclass(frozen=True)
class Look:
    """A launch at one moment.

    :ivar title: what it is and of what, in words.
    :ivar elapsed_s: since it was launched; until it ended, if it did.
    :ivar left_s: seconds until its end, all stages; None if it has ended.
    :ivar stages: in their order.
    :ivar lanes: lanes of the stage that runs.
    :ivar obstacles: what keeps it from going on, in sentences.
    :ivar progress: the numbers behind it.
    :ivar unit: what is counted, in the singular.
    :ivar note: what is going on, if lanes do not tell.
    """

    title: str
    elapsed_s: float
    left_s: float | None
    stages: tuple[StageLook, ...]
    lanes: tuple[LaneLook, ...]
    obstacles: tuple[str, ...]
    progress: CampaignProgress | TrainingProgress
    unit: str = "row"
    note: str = ""

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.progress.finished


def live_looks(named: Named) -> Iterator[Look]:
    """Yield a look at a launch each time it is asked for, until it has ended.

    No computer is connected to more often than it wants to be, however often one looks.
    """
    node: Any = load(named, orm.ProcessNode)
    watched, heartbeats = Watched(node), Heartbeats()

    def once() -> Look:
        calls = calls_of(node)
        return watched.look(calls, campaign_progress(node, calls, heartbeats))

    while True:
        look = when_it_answers(once)
        yield look
        if look.finished:
            return


def when_it_answers(once: Callable[[], Look]) -> Look:
    """Return the look that ``once`` gives, asking a database again that is busy for a moment.

    SQLite's is busy while others write.

    :raises sqlalchemy.exc.OperationalError: if it does not answer for :data:`BUSY_S`.
    """
    until = time.monotonic() + BUSY_S
    while True:
        try:
            return once()
        except OperationalError:
            if time.monotonic() > until:
                raise
            get_manager().get_profile_storage().get_session().rollback()  # type: ignore[attr-defined]
            time.sleep(AGAIN_S)


class Watched:
    """A launch and what does not change while it runs."""

    def __init__(self, node: orm.ProcessNode) -> None:
        self.node: Any = node
        self.pace = Pace()
        self.name = _name_of(node)
        asked = self.node.inputs.stages.get_dict() if "stages" in self.node.inputs else {}
        tasks = {stage: task_of(stage) for stage in asked} or {self.name: _task_of(self.node)}
        keep = {stage: options.get(KEEP) for stage, options in asked.items()}
        given = self.node.inputs
        parameters = {stage: options.get(PARAMETERS) or {} for stage, options in asked.items()}
        parameters = parameters or {self.name: given.parameters.get_dict() if "parameters" in given else {}}
        model = given.model if "model" in given else None
        lanes = int(given.lanes.value) if "lanes" in given else 1
        job_size = int(given.job_size.value) if "job_size" in given else None
        self.expected = Expected(
            model,
            tasks,
            keep,
            _sizes_of(self.node),
            lanes=lanes,
            job_size=job_size,
            parameters=parameters,
        )

    def look(self, calls: Calls, progress: CampaignProgress) -> Look:
        """Return how it stands now."""
        told = stages_of(calls, progress) or [self._only_stage(progress)]
        tops = {stage.pk: one for stage in told for one in calls.below() if one.pk == stage.pk}
        of_stage = {stage.name: self._jobs(calls, tops.get(stage.pk), progress) for stage in told}
        before: Counter[int] = Counter()
        for table in taken_over(calls):
            before[table.by] += table.rows
        courses = self._courses(told, tops, before, of_stage)
        left = seconds_left(courses, self.expected.seconds, self.pace)
        if progress.finished:
            left = [0.0] * len(left)
        looks = [
            self._stage(stage, course, seconds, of_stage[stage.name])
            for stage, course, seconds in zip(told, courses, left, strict=True)
        ]
        ended = self.node.mtime.timestamp() if progress.finished else time.time()
        return Look(
            title=title_of(self.node, self.name),
            elapsed_s=max(0.0, ended - self.node.ctime.timestamp()),
            left_s=None if progress.finished else sum(left) + TABLE_S,
            stages=tuple(looks),
            lanes=tuple(_lanes(calls, progress)),
            obstacles=() if progress.finished else tuple(obstacles(calls, progress)),
            progress=progress,
        )

    def _only_stage(self, progress: CampaignProgress) -> StageStatus:
        state = "done" if progress.finished else "running"
        total, done = progress.rows_total, progress.rows_done
        return StageStatus(self.name, self.node.pk, state, total, done, None, None)

    def _jobs(self, calls: Calls, top: Any, progress: CampaignProgress) -> list[JobProgress]:
        pks = {job.pk for job in calls.jobs(top)} if top is not None else {job.pk for job in progress.jobs}
        return [job for job in progress.jobs if job.pk in pks]

    def _courses(
        self,
        told: list[StageStatus],
        tops: dict[Any, Any],
        before: Counter[int],
        jobs: dict[str, list[JobProgress]],
    ) -> list[StageCourse]:
        """Return how far each stage is, and how many rows come to those that have not begun."""
        courses: list[StageCourse] = []
        coming = float(len(_sizes_of(self.node)))
        for stage in told:
            top = self.node if stage.pk == self.node.pk else tops.get(stage.pk)
            ended = stage.rows_out is not None or _has_ended(stage.state)
            rows = float(stage.rows_in) if stage.rows_in is not None else coming
            elapsed = None
            if top is not None:
                until = top.mtime.timestamp() if top.is_terminated else time.time()
                elapsed = max(until - top.ctime.timestamp(), 0.0)
            of_before = 0 if top is None else before.get(top.pk, 0)
            done = (
                round(rows) if ended else stage.rows_done or 0
            )  # a hull holds rows that are no longer in, too
            engines = engines_of(jobs[stage.name]) if elapsed is not None and not ended else None
            courses.append(StageCourse(stage.name, rows, done, of_before, elapsed, ended, engines))
            coming = (
                float(stage.rows_out)
                if stage.rows_out is not None
                else rows * self.expected.share_kept(stage.name)
            )
        return courses

    def _stage(
        self, stage: StageStatus, course: StageCourse, left_s: float, jobs: list[JobProgress]
    ) -> StageLook:
        running = course.elapsed_s is not None and not course.ended
        now = [job for job in jobs if not job.has_ended] if running else []
        return StageLook(
            name=stage.name,
            state="done" if course.ended else "running" if running else "to come",
            rows=round(course.rows),
            is_expected=stage.rows_in is None and not course.ended,
            rows_done=course.done,
            rows_out=stage.rows_out,
            rows_in_flight=sum(job.rows_in_flight for job in now),
            rate=sum(job.rate for job in now),
            left_s=left_s,
            keep=stage.keep,
        )


def engines_of(jobs: list[JobProgress]) -> Engines | None:
    """Return what the engines of a stage say of the time that they still take; None if one does not, or none runs."""
    now = [job for job in jobs if not job.has_ended]
    left = [job.left_s for job in now if job.left_s is not None]
    if not now or len(left) < len(now):
        return None
    return Engines(max(left), sum(job.rows_total - job.rows_done for job in now))


def title_of(node: Any, name: str) -> str:
    """Return what a launch is and of what: ``name``, its pk, the label of its set, and its model."""
    given = node.inputs
    crystals = given.structures.label if "structures" in given else ""
    model = given.model.name if "model" in given else ""
    return "  ".join(part for part in (f"{name} <{node.pk}> {crystals}".strip(), model) if part)


def _lanes(calls: Calls, progress: CampaignProgress) -> Iterator[LaneLook]:
    """Yield the lanes that have not ended, numbered among those of their stage."""
    jobs = {job.pk: job for job in progress.jobs}
    numbers: Counter[int] = Counter()
    caller_of = {one.pk: caller for caller, called in calls.by_caller.items() for one in called}
    for lane in progress.lanes:
        caller = caller_of.get(lane.pk, 0)
        numbers[caller] += 1
        number = numbers[caller]
        if lane.finished:
            continue
        own = [jobs[pk] for pk in lane.jobs if pk in jobs]
        last = own[-1] if own else None
        if last is None or last.has_ended:
            doing = "paused" if "paused" in lane.state else "preparing the next job"
        else:
            doing = DOING.get(last.step, last.step)
        now = [job for job in own if not job.has_ended]
        yield LaneLook(
            number, doing, lane.rows_done, lane.rows_total, sum(job.rows_in_flight for job in now), lane.rate
        )


def _has_ended(state: str) -> bool:
    return state.startswith(("finished", "excepted", "killed")) or state == "done"


def _name_of(node: Any) -> str:
    if "task" in node.inputs:
        return str(node.inputs.task.value)
    name = str(node.process_label).removesuffix("WorkChain").removesuffix("Calculation").lower()
    return {"screening": "screen"}.get(name, name)


def _task_of(node: Any) -> Task | None:
    try:
        return Task(_name_of(node))
    except ValueError:
        return None


def _sizes_of(node: Any) -> Any:
    given = node.inputs
    if "structures" in given:
        return given.structures.row_sizes()
    return np.array([len(given.structure.sites)]) if "structure" in given else np.zeros(0, int)


def plain_line(look: Look) -> str:
    """Return a look in one line of text, for what is no terminal."""
    progress = look.progress
    parts = [look.title.replace("  ", ", ")]
    running = next((stage for stage in look.stages if stage.state == "running"), None)
    if progress.finished:
        parts.append(progress.state)
    elif running is None:
        parts.append("between two stages" if look.stages and look.stages[0].state == "done" else "beginning")
    for stage in look.stages if progress.finished else [running] if running else []:
        name = f"{stage.name} " if len(look.stages) > 1 else ""
        parts.append(f"{name}{stage.rows_done:,}/{stage.rows:,} {look.unit}s")
        if stage.rows_in_flight:
            parts.append(f"{stage.rows_in_flight:,} in flight")
    if not progress.finished:
        doing = [lane.doing for lane in look.lanes]
        parts += [f"{plural(doing.count(one), 'lane')} {one}" for one in dict.fromkeys(doing)]
    if look.note:
        parts.append(look.note)
    statuses = told_statuses(progress.statuses) if isinstance(progress, CampaignProgress) else ""
    return ", ".join(parts) + (f" ({statuses})" if statuses else "")
