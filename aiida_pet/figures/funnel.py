"""The funnel: how many rows came to each stage, how many went on, and why the others did not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from aiida_pet.analysis.funnel import DONE, OK_STATUSES
from aiida_pet.figures.source import NotDrawnError, Source, as_frame, framed
from aiida_pet.job.stages import in_order

WENT_ON = "went on"
# the values behind a condition that fails, ` (e_above_hull = 0.13)`
_VALUES = re.compile(r" \(\w+ = [^()]*\)")


@dataclass(frozen=True)
class FunnelStage:
    """A stage.

    :ivar name: name of the stage.
    :ivar rows_in: rows that came to it.
    :ivar rows_out: rows that went on.
    :ivar reasons: why the others did not -> rows, the most frequent first.
    """

    name: str
    rows_in: int
    rows_out: int
    reasons: dict[str, int]


@dataclass(frozen=True)
class Funnel:
    """Stages in their order."""

    stages: tuple[FunnelStage, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per stage and outcome: ``stage``, ``rows_in``, ``outcome``, ``rows``."""
        records = [
            (stage.name, stage.rows_in, outcome, rows)
            for stage in self.stages
            for outcome, rows in [(WENT_ON, stage.rows_out), *stage.reasons.items()]
        ]
        return framed(
            {
                name: [record[place] for record in records]
                for place, name in enumerate(("stage", "rows_in", "outcome", "rows"))
            }
        )


def kind_of_reason(reason: str) -> str:
    """Return what a row's reason shares with those of others: its status, or the condition without the value."""
    reason = str(reason)
    if reason.startswith("not "):
        return _VALUES.sub("", reason)
    return reason.partition(":")[0]


def funnel_of(source: Source, stages: Sequence[str] | None = None) -> Funnel:
    """Return the funnel of a screening's final table, or of the results of a single task.

    :param source: with ``stage`` and ``reason`` of a screening, else with ``status``.
    :param stages: names of the planned stages, in order; for a single task, its name. If not given, only stages at
        which a row left are known.
    :raises NotDrawnError: if there is neither a stage nor a status.

    >>> frame = pd.DataFrame({"stage": ["relax", "done"], "reason": ["diverged: atoms collide", ""]})
    >>> funnel_of(frame, ["relax", "hull"]).to_frame()
       stage  rows_in   outcome  rows
    0  relax        2   went on     1
    1  relax        2  diverged     1
    2   hull        1   went on     1
    """
    frame = as_frame(source)
    if "stage" not in frame.columns:
        return _of_one_task(frame, stages[0] if stages else "task")
    left = frame["stage"].astype(str)
    names = list(stages) if stages else in_order(name for name in left.unique() if name != DONE)
    found, rows_in = [], len(frame)
    for name in names:
        there = left == name
        reasons = Counter(map(kind_of_reason, frame.loc[there, "reason"]))
        rows_out = rows_in - int(there.sum())
        found.append(FunnelStage(name, rows_in, rows_out, dict(reasons.most_common())))
        rows_in = rows_out
    return Funnel(tuple(found))


def _of_one_task(frame: pd.DataFrame, name: str) -> Funnel:
    column = next((one for one in ("status", "hull_status") if one in frame.columns), None)
    if column is None:
        raise NotDrawnError(
            "a funnel needs the column stage (from a screening) or the column status (from a task)"
        )
    counts = Counter(frame[column].astype(str))
    rows_out = sum(count for status, count in counts.items() if status in OK_STATUSES)
    reasons = {status: count for status, count in counts.most_common() if status not in OK_STATUSES}
    return Funnel((FunnelStage(name, len(frame), rows_out, reasons),))
