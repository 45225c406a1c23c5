"""How long a launch goes on, all stages of it, from its first minute: expected first, measured as rows come.

Before a stage has begun, its time follows from past jobs with the model (:mod:`~aiida_pet.campaigns.estimates`), times
what the stages before took over what was expected of them. While it runs, its engines tell it by the evaluations that
are left; where they do not, as in a queue, the pace of its rows counts. Rows come in flushes, so the pace is measured
when their number grew last. How many rows come to a later stage is what the stages before kept of theirs, where that is
known, else what they kept in past screenings or a usual share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm
from numpy.typing import NDArray

from aiida_pet.campaigns.estimates import Rate, estimate_at, past_rate
from aiida_pet.data.model import PetModelData
from aiida_pet.job.stages import Stage
from aiida_pet.job.tasks import Task

STAGE_S = 5.0
"""Of AiiDA per stage: to put its rows together, judge them and begin the next."""
TABLE_S = 2.0
"""Of AiiDA after the last stage: the final table."""
USUAL_SHARES: dict[str, float] = {Stage.HULL: 0.4, Stage.PHONONS: 0.7}
"""Share of the rows that a stage keeps, where no past screening tells; the others keep 0.95."""
OTHER_SHARE = 0.95
TRUSTED = 0.25
"""Share of the rows of a stage, or of its time, from which on its pace counts alone."""
_OVERDUE = 1.5
"""Of the time that a stage has taken, where it has no rows yet and takes longer than was expected."""
_FACTORS = (0.1, 20.0)
PAST_SCREENINGS = 20


@dataclass(frozen=True)
class Engines:
    """What the engines that run say.

    :ivar left_s: seconds until the last of them is through.
    :ivar rows: that they still have to do.
    """

    left_s: float
    rows: int


@dataclass(frozen=True)
class StageCourse:
    """How far a stage is, as the forecast needs it.

    :ivar name: name of the stage.
    :ivar rows: that come to it, expected or known.
    :ivar done: number of finished rows among them.
    :ivar taken_over: number of rows among them that an earlier launch computed.
    :ivar elapsed_s: since it began; None before.
    :ivar ended: whether it has.
    :ivar engines: of its jobs; None where they do not know.
    """

    name: str
    rows: float
    done: int = 0
    taken_over: int = 0
    elapsed_s: float | None = None
    ended: bool = False
    engines: Engines | None = None

    @property
    def to_do(self) -> float:
        """Rows that this launch computes."""
        return max(self.rows - self.taken_over, 0.0)

    @property
    def computed(self) -> int:
        """Rows that this launch has computed."""
        return self.done - self.taken_over


class Pace:
    """Remembers when the number of rows of a stage last grew."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, float]] = {}

    def when_grown(self, stage: StageCourse) -> float:
        """Return the seconds since the stage began at which its rows became so many."""
        elapsed = stage.elapsed_s or 0.0
        known = self._last.get(stage.name)
        if known is None or known[0] != stage.done:
            self._last[stage.name] = (stage.done, elapsed)
            return elapsed
        return known[1]


def seconds_left(
    stages: Sequence[StageCourse], expected_s: Callable[[str, float], float], pace: Pace | None = None
) -> list[float]:
    """Return the seconds that each stage still takes; 0 for what has ended.

    :param stages: in their order, which they run in.
    :param expected_s: of a stage's name and a number of rows, what they were expected to take.
    :param pace: of one who looks again and again; None looks once.
    """
    pace = pace or Pace()
    factor = _factor(stages, expected_s)
    overhead = STAGE_S * max(1.0, factor)  # a busy machine is slow with AiiDA, too
    left = []
    for stage in stages:
        if stage.ended:
            left.append(0.0)
            continue
        expected = expected_s(stage.name, stage.to_do) * factor + overhead
        if stage.elapsed_s is None:
            left.append(expected)
            continue
        if stage.engines is None:
            total = _total_by_rows(stage, expected, overhead, pace)
        else:
            total = _total_by_engines(stage, stage.engines, expected, overhead)
        left.append(max(total - stage.elapsed_s, 1.0))
    return left


def _total_by_engines(stage: StageCourse, engines: Engines, expected: float, overhead: float) -> float:
    """Return the seconds that a stage takes in all, as its engines tell; jobs to come go at the same pace."""
    elapsed = stage.elapsed_s or 0.0
    known = stage.computed + engines.rows
    to_come = max(stage.to_do - known, 0.0)
    told = (elapsed + engines.left_s) * (1 + to_come / max(known, 1)) + overhead / 2
    weight = min(1.0, elapsed / (TRUSTED * told))  # the first steps of relaxations tell little
    return (1 - weight) * max(expected, _OVERDUE * elapsed) + weight * told


def _total_by_rows(stage: StageCourse, expected: float, overhead: float, pace: Pace) -> float:
    """Return the seconds that a stage takes in all, as its rows tell where there are some."""
    elapsed = stage.elapsed_s or 0.0
    share = min(stage.computed / stage.to_do, 1.0) if stage.to_do > 0 else 1.0
    if share >= 1.0:
        return elapsed + overhead
    total = max(expected, _OVERDUE * elapsed)
    if stage.computed > 0:
        measured = pace.when_grown(stage) / share
        weight = min(1.0, share / TRUSTED)
        total = (1 - weight) * total + weight * max(measured, 1.02 * elapsed)
    return total


def _factor(stages: Sequence[StageCourse], expected_s: Callable[[str, float], float]) -> float:
    """Return how many times longer than expected stages take, from those that ended or are well under way."""
    took = expected = 0.0
    for stage in stages:
        if stage.elapsed_s is None:
            continue
        took_s, rows = stage.elapsed_s, stage.computed
        if stage.engines is not None:
            took_s, rows = took_s + stage.engines.left_s, rows + stage.engines.rows
        planned = expected_s(stage.name, float(rows))
        share = min(rows / max(stage.to_do, 1.0), stage.elapsed_s / max(took_s, 1.0))
        if planned > 0 and rows and (stage.ended or share >= TRUSTED):
            took += max(took_s - STAGE_S, 0.5 * took_s)
            expected += planned
    if expected <= 0:
        return 1.0
    found = min(max(took / expected, _FACTORS[0]), _FACTORS[1])
    # that one task is faster than was thought says less of another task than that the machine is slow
    return math.sqrt(found) if found < 1.0 else found


class Expected:
    """What the stages of a launch are expected to take, and to keep.

    :param tasks: name of a stage -> its task, None for one without jobs.
    :param keep: name of a stage -> its condition.
    :param parameters: name of a stage -> the parameters of its task.
    :param sizes: (N,) atoms of the crystals that the launch was given.
    """

    def __init__(
        self,
        model: PetModelData | None,
        tasks: dict[str, Task | None],
        keep: dict[str, str | None],
        sizes: NDArray[Any],
        *,
        lanes: int = 1,
        job_size: int | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._rates: dict[str, Rate] = {
            name: past_rate(task, model, parameters=(parameters or {}).get(name))
            for name, task in tasks.items()
            if task is not None and model is not None
        }
        self._sizes, self._lanes, self._job_size = np.sort(sizes), lanes, job_size
        self._shares = {name: _share_kept(name, condition) for name, condition in keep.items()}

    def seconds(self, name: str, rows: float) -> float:
        """Return what a stage takes with so many rows of the usual sizes."""
        rate, count = self._rates.get(name), math.ceil(rows)
        if rate is None or count < 1 or not len(self._sizes):
            return 0.0
        places = np.linspace(0, len(self._sizes) - 1, count).round().astype(int)
        return estimate_at(rate, self._sizes[places], self._lanes, job_size=self._job_size).wall_s

    def share_kept(self, name: str) -> float:
        """Return which share of its rows a stage lets go on."""
        return self._shares.get(name, OTHER_SHARE)


def _share_kept(name: str, condition: str | None) -> float:
    """Return the share that past screenings kept in a stage under the same condition, else what is usual."""
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters={"process_type": "aiida.workflows:pet.screen"}, tag="screen")
    query.append(
        orm.Dict,
        with_incoming="screen",
        edge_filters={"label": "summary"},
        project="attributes.stages",
        tag="told",
    )
    query.order_by({"told": {"ctime": "desc"}}).limit(PAST_SCREENINGS)
    records = [one for stages in query.all(flat=True) for one in stages or []]
    alike = [one for one in records if one.get("name") == name and one.get("keep") == condition]
    rows_in = sum(one.get("rows_in") or 0 for one in alike)
    if rows_in:
        return sum(one.get("rows_out") or 0 for one in alike) / rows_in
    return USUAL_SHARES.get(name, OTHER_SHARE) if condition else OTHER_SHARE
