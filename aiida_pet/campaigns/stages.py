"""How far each stage of a screening is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aiida.common.links import LinkType

from aiida_pet.campaigns.nodes import load
from aiida_pet.campaigns.progress import CampaignProgress, state_of
from aiida_pet.job.stages import in_order
from aiida_pet.workchains.jobs import Calls

_HULL = "HullWorkChain"
_JUDGE = "judge_stage"


@dataclass(frozen=True)
class StageStatus:
    """How far a stage of a screening is.

    :ivar name: name of the stage.
    :ivar pk: pk of its WorkChain; None before it was called, and of a stage without one.
    :ivar state: state of its process, or ``done`` or ``to come`` if it has no process.
    :ivar rows_in: rows that came to it; None while unknown.
    :ivar rows_done: rows with a result; None while unknown.
    :ivar rows_out: rows that went on; None while unknown.
    :ivar keep: the condition to go on; None for every row with an answer.
    """

    name: str
    pk: int | None
    state: str
    rows_in: int | None
    rows_done: int | None
    rows_out: int | None
    keep: str | None


def stages_of(calls: Calls, progress: CampaignProgress) -> list[StageStatus]:
    """Return how far each stage of a screening is, in their order; none for what is no screening."""
    node: Any = calls.node
    if "stages" not in node.inputs:
        return []
    ended = verdicts_of(calls)
    if "summary" in node.outputs:
        ended |= {one["name"]: one for one in node.outputs.summary["stages"]}
    links = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK)
    called = {link.link_label: link.node for link in links}
    asked = node.inputs.stages.get_dict()
    found = []
    for name in in_order(asked):
        child = called.get(name)
        rows_done = _rows_done(child, calls, progress) if child else None
        found.append(_stage(name, asked[name].get("keep"), ended.get(name, {}), child, rows_done))
    return found


def verdicts_of(calls: Calls) -> dict[str, dict[str, Any]]:
    """Return stage -> ``rows_in`` and ``rows_out`` of the stages of a screening that were judged, while it runs."""
    judged = [one for one in calls.by_caller.get(calls.node.pk or 0, []) if one.process_label == _JUDGE]
    told = [found for one in judged if one.is_finished_ok and (found := _verdict(one.pk)) is not None]
    return {name: {"rows_in": rows_in, "rows_out": rows_out} for name, rows_in, rows_out in told}


@lru_cache(maxsize=256)
def _verdict(pk: int) -> tuple[str, int, int] | None:
    """Return the stage that a process judged, its rows and those that go on; what is stored does not change."""
    node: Any = load(pk)
    if "verdict" not in node.outputs:
        return None
    passes = node.outputs.verdict.column("passes")
    return node.inputs.plan["stages"][-1], len(passes), int(passes.sum())


def _stage(
    name: str, keep: str | None, record: dict[str, Any], child: Any, rows_done: int | None
) -> StageStatus:
    """Return how far a stage is.

    :param record: what the screening's summary says of it.
    :param child: its WorkChain, None if there is none (yet).
    :param rows_done: rows that its jobs have done.
    """
    rows_in = record.get("rows_in")
    if rows_in is None and child is not None and child.process_label != _HULL:
        rows_in = len(child.inputs.rows if "rows" in child.inputs else child.inputs.structures)
    if rows_in is not None and rows_done is not None:
        rows_done = min(rows_done, rows_in)  # the table of a hull also has rows that did not come to it
    return StageStatus(
        name=name,
        pk=child.pk if child else None,
        state=state_of(child) if child else "done" if record else "to come",
        rows_in=rows_in,
        rows_done=rows_done if child else record.get("rows_in"),
        rows_out=record.get("rows_out"),
        keep=keep,
    )


def _rows_done(child: Any, calls: Calls, progress: CampaignProgress) -> int | None:
    """Return how many rows of a stage are done: those of its lanes, and those of a launch before."""
    if child.process_label == _HULL:
        return len(child.outputs.results) if "results" in child.outputs else None
    if "summary" in child.outputs:
        return int(child.outputs.summary["rows_done"])
    before = sum(len(table) for table in child.inputs.done.values()) if "done" in child.inputs else 0
    lanes = {lane.pk: lane.rows_done for lane in progress.lanes}
    return before + sum(lanes.get(one.pk, 0) for one in calls.below(child))
