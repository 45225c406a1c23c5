"""How a lane walks its share of rows in jobs, and what becomes of rows that a job did not finish. No AiiDA in here.

Rows are numbered by their place in the lane's share and kept as ranges, so that the state of a lane of 100,000 rows is
a few lines of YAML in its checkpoints.

A job that ran out of time or memory, or broke down, leaves rows. They go back to the front. If a job finished no row at
all, one of its rows may be to blame: the job is tried once more (a node may have failed), then cut in halves, and these
are run on their own, all halves of one size before any smaller, so that one culprit never makes more than three
fruitless jobs in a row and a broken machine is told apart from it. A row that ended its job twice, at last alone, is
given up; one that ran out of time or memory twice when it was alone is starved: it is left to a campaign whose jobs
have more. A job that ended before it began with its rows says nothing of them. Rows that are on their way, of a task
that may take longer than a job, go back to the front together: the next job finds the states of all of them in the
folder of this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

MAX_ATTEMPTS_ALONE = 2


class Ending(StrEnum):
    """How a job ended, as far as its rows are concerned."""

    FINISHED = "finished"
    TIME = "time"  # stopped in order, or by the scheduler's clock
    ON_ITS_WAY = "on its way"  # stopped in order with its rows further than before, which go on from there
    MEMORY = "memory"
    BROKEN = "broken"  # crash, node failure, no results
    IDLE = "idle"  # the engine did not begin with its rows
    MODEL = "model"  # the model was refused: no row was looked at
    CALLED_OFF = "called off"  # by a person, which says nothing of its rows


@dataclass
class Segment:
    """Rows that wait.

    :ivar ranges: [first, last + 1] of each run of rows.
    :ivar failures: jobs of exactly these rows, or of rows that hold them, that finished none.
    :ivar suspect: one of these rows may be to blame, so they are run without any others.
    """

    ranges: list[list[int]]
    failures: int = 0
    suspect: bool = False

    @property
    def rows(self) -> list[int]:
        """The rows, ascending."""
        return [row for first, end in self.ranges for row in range(first, end)]

    def __len__(self) -> int:
        return sum(end - first for first, end in self.ranges)


@dataclass
class Walk:
    """The state of a lane.

    :ivar job_size: rows of a job at most.
    :ivar waiting: rows that wait, the next first.
    :ivar running: rows of the job that runs.
    :ivar fruitless: jobs in a row that finished no row.
    :ivar given_up: row -> why.
    :ivar has_finished: whether a job finished a row.
    :ivar doubtful: rows given up since one last did: if none ever does again, it was the machine.
    :ivar starved: row -> of what jobs had not enough for it, although it was alone.
    :ivar max_batch_cost: of the engine's settings, as far as memory has shown; None lets the engine choose.
    """

    job_size: int
    waiting: list[Segment] = field(default_factory=list)
    running: Segment | None = None
    fruitless: int = 0
    given_up: dict[int, str] = field(default_factory=dict)
    has_finished: bool = False
    doubtful: list[int] = field(default_factory=list)
    starved: dict[int, Ending] = field(default_factory=dict)
    max_batch_cost: float | None = None

    @classmethod
    def start(cls, n_rows: int, job_size: int, max_batch_cost: float | None = None) -> Self:
        """Return a walk over rows 0 ... ``n_rows`` - 1."""
        return cls(job_size, [Segment([[0, n_rows]])], max_batch_cost=max_batch_cost)

    def to_dict(self) -> dict[str, Any]:
        """Return the state in plain types, for a checkpoint."""

        def plain(segment: Segment | None) -> list[Any] | None:
            return None if segment is None else [segment.ranges, segment.failures, segment.suspect]

        return {
            "job_size": self.job_size,
            "waiting": [plain(segment) for segment in self.waiting],
            "running": plain(self.running),
            "fruitless": self.fruitless,
            "given_up": dict(self.given_up),
            "has_finished": self.has_finished,
            "doubtful": list(self.doubtful),
            "starved": {row: ending.value for row, ending in self.starved.items()},
            "max_batch_cost": self.max_batch_cost,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Return the walk whose :meth:`to_dict` is ``state``."""

        def segment(plain: Sequence[Any]) -> Segment:
            return Segment([list(ends) for ends in plain[0]], plain[1], plain[2])

        running = state["running"]
        return cls(
            job_size=state["job_size"],
            waiting=[segment(plain) for plain in state["waiting"]],
            running=None if running is None else segment(running),
            fruitless=state["fruitless"],
            given_up={int(row): reason for row, reason in state["given_up"].items()},
            # of lanes that were in flight when this version was installed
            has_finished=state.get("has_finished", False),
            doubtful=list(state.get("doubtful", [])),
            starved={int(row): Ending(ending) for row, ending in state.get("starved", {}).items()},
            max_batch_cost=state["max_batch_cost"],
        )

    @property
    def n_waiting(self) -> int:
        """Rows that wait for a job."""
        return sum(len(segment) for segment in self.waiting)

    @property
    def waiting_rows(self) -> list[int]:
        """Rows that wait, the next first."""
        return [row for segment in self.waiting for row in segment.rows]

    def next_job(self, most: int | None = None) -> list[int]:
        """Take the rows of the next job off the front and return them; empty if none wait.

        :param most: rows of this job at most, if that is less than ``job_size``.
        """
        if not self.waiting:
            return []
        size = self.job_size if most is None else min(self.job_size, most)
        head = self.waiting[0]
        if head.suspect:
            rows = self._take(size)
            self.running = Segment(to_ranges(rows), head.failures, suspect=True)
            return rows
        rows = []
        while self.waiting and not self.waiting[0].suspect and len(rows) < size:
            rows += self._take(size - len(rows))
        rows.sort()
        self.running = Segment(to_ranges(rows))
        return rows

    def settle(self, finished: Collection[int], ending: Ending, reason: str = "") -> None:
        """Take note of how the running job ended.

        :param finished: rows that have a result.
        :param reason: reason of a job that did not finish, for the record of a row that is given up.
        """
        job, self.running = self.running, None
        if job is None:
            raise RuntimeError("no job is running: settle() wants next_job() before it")
        left = [row for row in job.rows if row not in finished]
        if left and ending in (Ending.MODEL, Ending.CALLED_OFF, Ending.IDLE):
            self.fruitless += ending is Ending.IDLE
            self.waiting.insert(0, Segment(to_ranges(left), job.failures, job.suspect))
            return
        if len(left) < len(job):
            self.fruitless = 0
            self.has_finished = True
            self.doubtful = []
        elif ending is Ending.ON_ITS_WAY:
            self.fruitless = 0
            self.waiting.insert(0, Segment(to_ranges(left), job.failures, job.suspect))
            return
        else:
            self.fruitless += 1
        if not left:
            return
        if ending is Ending.MEMORY:
            self._shrink(len(job))
        if len(left) < len(job):
            suspect = ending in (Ending.BROKEN, Ending.FINISHED)
            self.waiting.insert(0, Segment(to_ranges(left), failures=int(suspect), suspect=suspect))
        else:
            self._blame(left, job.failures + 1, ending, reason)

    def acquit(self) -> None:
        """Let the rows wait again that were given up since a job last finished one: it was the machine.

        If no job ever did, nothing was seen to break, and a lane of nothing but culprits would never come to an end.
        """
        if not self.has_finished:
            return
        for row in self.doubtful:
            del self.given_up[row]
            self.waiting.append(Segment([[row, row + 1]], suspect=True))
        self.doubtful = []

    def _take(self, size: int) -> list[int]:
        """Take ``size`` rows at most off the first segment."""
        head = self.waiting.pop(0)
        rows = head.rows
        if len(rows) > size:
            self.waiting.insert(0, Segment(to_ranges(rows[size:]), head.failures, head.suspect))
        return rows[:size]

    def _shrink(self, job_rows: int) -> None:
        """Halve what is in memory at once, for the rest of the lane."""
        self.job_size = max(1, min(self.job_size, (job_rows + 1) // 2))
        if self.max_batch_cost is not None:
            self.max_batch_cost /= 2

    def _blame(self, rows: list[int], failures: int, ending: Ending, reason: str) -> None:
        """Put back the rows of a job that finished none of them."""
        if len(rows) == 1:
            if failures < MAX_ATTEMPTS_ALONE:
                self._put_behind_suspects(rows, failures)
            elif ending in (Ending.TIME, Ending.MEMORY):
                self.starved[rows[0]] = ending
            else:
                self.given_up[rows[0]] = reason
                self.doubtful.append(rows[0])
        # a node may have failed; and rows that ran out of time are on their way, and go on from their state
        elif ending in (Ending.BROKEN, Ending.TIME) and failures == 1:
            self.waiting.insert(0, Segment(to_ranges(rows), failures, suspect=True))
        else:
            middle = len(rows) // 2
            for half in (rows[:middle], rows[middle:]):
                self._put_behind_suspects(half, failures=0 if len(half) == 1 else 1)

    def _put_behind_suspects(self, rows: list[int], failures: int) -> None:
        place = next((i for i, segment in enumerate(self.waiting) if not segment.suspect), len(self.waiting))
        self.waiting.insert(place, Segment(to_ranges(rows), failures, suspect=True))


def to_ranges(rows: Sequence[int]) -> list[list[int]]:
    """Return ascending ``rows`` as [first, last + 1] of each run."""
    ranges: list[list[int]] = []
    for row in rows:
        if ranges and ranges[-1][1] == row:
            ranges[-1][1] += 1
        else:
            ranges.append([row, row + 1])
    return ranges
