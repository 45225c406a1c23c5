"""What there is in a profile: launches and sets of crystals, each in a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiida import orm

from aiida_pet.campaigns.launches import models_of, top_launches
from aiida_pet.campaigns.progress import campaign_progress, state_of
from aiida_pet.campaigns.stages import stages_of
from aiida_pet.campaigns.training import is_training
from aiida_pet.data.imports import files_of
from aiida_pet.data.labels import labels_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.jobs import calls_of, summaries_of

LEFT = "left"


@dataclass(frozen=True)
class LaunchLine:
    """A launch in a line.

    :ivar what: was launched, in a word: ``relax``.
    :ivar crystals: label of the set, else its pk in brackets; empty if it was given none.
    :ivar rows_done: rows with an answer or a reason; None for a training. Of a screening without a table yet these are
        rows of its present stage.
    :ivar rows: all of them.
    :ivar stage: present stage of a screening without a table yet, such as ``stage 2 of 5 (phonons)``; else empty.
    :ivar age_s: seconds since it was launched.
    :ivar engine_s: time of all engines, in seconds: what it cost.
    """

    pk: int
    label: str
    what: str
    crystals: str
    model: str
    rows_done: int | None
    rows: int | None
    state: str
    age_s: float
    engine_s: float
    stage: str = ""


@dataclass(frozen=True)
class SetLine:
    """A set of crystals in a line.

    :ivar label: with further labels behind it.
    :ivar crystals: number of them.
    :ivar source: file that it was imported from, else the process that made it.
    :ivar age_s: seconds since it was stored.
    """

    pk: int
    label: str
    crystals: int
    atoms: int
    elements: str
    columns: int
    source: str
    age_s: float


def launches(most: int | None = None, *, running: bool = False) -> list[LaunchLine]:
    """Return the launches of the profile, the newest first.

    :param most: so many; all if None.
    :param running: only those that have not ended.
    """
    nodes = top_launches(None if running else most)
    if running:
        nodes = [node for node in nodes if not node.is_terminated][:most]
    models = models_of([node.pk for node in nodes])
    return [_line_of(node, ", ".join(model.name for model in models.get(node.pk, []))) for node in nodes]


def _line_of(node: Any, model: str) -> LaunchLine:
    crystals = node.base.links.get_incoming(link_label_filter="structures").all()
    given: Any = crystals[0].node if crystals else None
    done, rows, stage = _rows_of(node, given)
    return LaunchLine(
        node.pk,
        node.label,
        (node.process_type or "").rpartition(".")[2],
        "" if given is None else given.label or f"<{given.pk}>",
        model,
        done,
        rows,
        state_of(node),
        _age_of(node),
        sum(float(one.get("engine_s") or 0) for one in summaries_of(calls_of(node).jobs()).values()),
        stage,
    )


def _rows_of(node: Any, given: Any) -> tuple[int | None, int | None, str]:
    """Return how many rows of a launch are done, how many there are (None for what has none), and the present stage."""
    found = node.base.links.get_outgoing(link_label_filter="results").all()
    if found:
        attributes: Mapping[str, Any] = found[0].node.base.attributes.all
        total = int(attributes.get("n_rows", 0))
        counts = attributes.get("counts") or {}
        return total - int((counts.get("status") or {}).get(LEFT, 0)), total, ""
    if given is None or is_training(node):  # a training counts epochs
        return None, None, ""
    asked = node.base.links.get_incoming(link_label_filter="rows").all()
    total = int((asked[0].node if asked else given).base.attributes.get("n_rows", 0))
    calls = calls_of(node)
    progress = campaign_progress(node, calls)
    stages = stages_of(calls, progress)
    if not stages:
        return min(progress.rows_done, total), total, ""
    # a stage that ended is judged before the next one begins
    place = next((i for i, stage in enumerate(stages) if stage.rows_out is None), len(stages) - 1)
    present = stages[place]
    rows = total if present.rows_in is None else present.rows_in
    if present.rows_in is None and place:
        rows = stages[place - 1].rows_out or 0
    done = min(present.rows_done or 0, rows)
    return done, rows, f"stage {place + 1} of {len(stages)} ({present.name})"


def sets(most: int | None = None, *, made: bool = False) -> list[SetLine]:
    """Return the sets of crystals of the profile, the newest first.

    :param most: so many; all if None.
    :param made: those too that a process made; otherwise only what people put in.
    """
    query = (
        orm.QueryBuilder().append(StructureSetData, project="*", tag="set").order_by({"set": {"id": "desc"}})
    )
    found: list[SetLine] = []
    for (node,) in query.iterall(batch_size=100):
        creator = node.creator
        if creator is not None and not made:
            continue
        files = [file["path"].rpartition("/")[2] for file in files_of(node)]
        by = "" if creator is None else f"{creator.process_label} <{creator.pk}>"
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        found.append(
            SetLine(
                node.pk,
                ", ".join(labels_of(node)),
                len(node),
                int(node.base.attributes.get("n_atoms")),
                " ".join(node.elements),
                len(node.base.attributes.get("columns")),
                by or (f"{files[0]}{more}" if files else ""),
                _age_of(node),
            )
        )
        if most is not None and len(found) >= most:
            break
    return found


def _age_of(node: orm.Node) -> float:
    return (datetime.now(UTC) - node.ctime).total_seconds()
