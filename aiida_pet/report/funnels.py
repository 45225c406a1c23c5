"""The funnel of a campaign, one that goes on included, its reasons, and its warnings."""

from __future__ import annotations

import pandas as pd

from aiida_pet.figures import Funnel, FunnelStage, funnel_of
from aiida_pet.figures.source import framed
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.private import without_places
from aiida_pet.report.source import Source
from aiida_pet.tables import warnings
from aiida_pet.words import plural

WENT_ON, LEFT, TO_COME = "went on", "did not go on", "not judged yet"


def funnel_figures(source: Source) -> list[Figure]:
    """Return the funnel and the reasons why rows did not go on."""
    stages, waiting = _stages(source)
    if not stages:
        return []
    columns: dict[str, object] = {
        "stage": [stage.name for stage in stages],
        WENT_ON: [stage.rows_out for stage in stages],
        LEFT: [sum(stage.reasons.values()) for stage in stages],
    }
    if any(waiting):
        columns[TO_COME] = waiting
    told = ", ".join(f"{stage.name} {stage.rows_in:,} in and {stage.rows_out:,} on" for stage in stages)
    funnel = Figure(
        name="funnel",
        kind=Kind.BARS,
        title="Rows by stage",
        alt=f"Bars of rows by stage: {told}",
        columns=columns_of(framed(columns)),
        options={
            "category": "stage",
            "series": [name for name in columns if name != "stage"],
            "across": True,
            "stacked": True,
            "x_title": "rows",
        },
    )
    reasons = Funnel(tuple(stages)).to_frame()
    reasons = reasons[reasons["outcome"] != "went on"].drop(columns="rows_in")
    if reasons.empty:
        return [funnel]
    reasons["outcome"] = [without_places(text) for text in reasons["outcome"]]
    table = Figure(
        name="reasons",
        kind=Kind.TABLE,
        title="Reasons",
        alt=f"Table of reasons why {plural(int(reasons['rows'].sum()), 'row')} did not go on",
        columns=columns_of(reasons),
    )
    return [funnel, table]


def _stages(source: Source) -> tuple[list[FunnelStage], list[int]]:
    """Return the stages, and rows of each that are not judged yet."""
    planned = source.status.stages
    if planned and "stage" not in source.frame.columns:
        return _so_far(source)
    if source.frame.empty:
        return _of_progress(source)
    found = list(funnel_of(source.frame, source.stages).stages)
    if planned or source.status.progress.finished:
        return found, [0] * len(found)
    missing = max(0, source.status.progress.rows_total - len(source.frame))
    return found, [missing, *[0] * (len(found) - 1)]


def _so_far(source: Source) -> tuple[list[FunnelStage], list[int]]:
    """Return the stages of a screening that has no table of its own yet."""
    stages, waiting, expected = [], [], source.status.progress.rows_total
    for stage in source.status.stages:
        rows_in = stage.rows_in if stage.rows_in is not None else 0
        rows_out = stage.rows_out if stage.rows_out is not None else 0
        judged = stage.rows_out is not None
        reasons = {"left": rows_in - rows_out} if judged and rows_in > rows_out else {}
        stages.append(FunnelStage(stage.name, rows_in, rows_out, reasons))
        waiting.append(0 if judged else rows_in)
    return (stages, waiting) if expected or any(waiting) else ([], [])


def _of_progress(source: Source) -> tuple[list[FunnelStage], list[int]]:
    """Return the one stage of a launch without rows: what heartbeats say."""
    progress = source.status.progress
    good = sum(count for name, count in progress.statuses.items() if name in ("converged", "ok"))
    reasons = {name: count for name, count in progress.statuses.items() if name not in ("converged", "ok")}
    return [FunnelStage(source.task, progress.rows_total, good, reasons)], [progress.rows_left]


def warning_figures(source: Source) -> list[Figure]:
    """Return how many rows carry each warning."""
    counts = source.status.progress.warnings
    if not counts and warnings.COLUMN in source.frame.columns:
        counts = warnings.counted(source.frame[warnings.COLUMN].fillna("").astype(str))
    if not counts:
        return []
    frame = pd.DataFrame(
        {
            "warning": list(counts),
            "rows": list(counts.values()),
            "meaning": [warnings.meaning_of(code) for code in counts],
        }
    )
    return [
        Figure(
            name="warnings",
            kind=Kind.TABLE,
            title="Rows with warnings",
            alt=f"Table of {plural(len(counts), 'kind')} of warnings and the rows that carry each",
            columns=columns_of(frame),
            wide=True,
        )
    ]
