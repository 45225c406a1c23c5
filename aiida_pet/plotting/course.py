"""How a launch went: the funnel, rows over time per lane, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from aiida import orm
from matplotlib.lines import Line2D

from aiida_pet.campaigns.nodes import load
from aiida_pet.campaigns.timeline import job_times
from aiida_pet.figures.funnel import Funnel, funnel_of
from aiida_pet.figures.progress import SPENT, Progress, progress_of
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.job.stages import in_order
from aiida_pet.plotting.sources import many, numbers_of
from aiida_pet.plotting.style import GREY, PALETTE, Axes, Drawing, colours, label_of, new_axes, new_row
from aiida_pet.tables.table import Table
from aiida_pet.words import duration, plural

MOST_REASONS = 3
COLUMNS = ("stage", "reason", "status", "hull_status")
_STYLES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))


def plot_funnel(what: Any, *, stages: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """Return axes with the number of rows that reached each stage and that went on, and why the others did not.

    :param what: a screening or the results of a single task.
    :param stages: names of the stages, in order; None for the stages of the launch.
    :raises NotDrawnError: if there is neither a stage nor a status.

    .. code-block:: python

        from aiida_pet import plotting

        axes = plotting.plot_funnel("four metals")
    """
    found: Axes = draw_funnel(what, stages=stages, ax=ax).axes
    return found


def draw_funnel(what: Any, *, stages: Sequence[str] | None = None, ax: Axes | None = None) -> Drawing:
    """Draw what :func:`plot_funnel` says."""
    if len(many(what)) > 1:
        raise NotDrawnError("a funnel shows one launch: draw a picture for each launch")
    thing = many(what)[0]
    funnel = funnel_of(numbers_of(thing, COLUMNS), stages or _stages_of(thing))
    ax = new_axes(ax, 7.5, 0.8 + 0.85 * len(funnel.stages))
    _draw_stages(ax, funnel)
    rows = funnel.stages[0].rows_in if funnel.stages else 0
    return Drawing(ax, f"Funnel of {plural(rows, 'row')}", {"funnel": funnel.to_frame()})


def _stages_of(thing: Any) -> list[str] | None:
    if isinstance(thing, pd.DataFrame | Table):
        return None
    node = getattr(thing, "source", thing)
    found: Any = node if isinstance(node, orm.Node) else load(node)
    if not isinstance(found, orm.ProcessNode):
        return None
    given: Any = found.inputs
    if "stages" in given:
        return in_order(given.stages.get_dict())
    return [
        given.task.value if "task" in given else str(found.process_label).removesuffix("WorkChain").lower()
    ]


def _draw_stages(ax: Axes, funnel: Funnel) -> None:
    for place, stage in enumerate(funnel.stages):
        ax.barh(place, stage.rows_in, 0.5, color="#DDDDDD", label="came" if place == 0 else None)
        ax.barh(place, stage.rows_out, 0.5, color=PALETTE[0], label="went on" if place == 0 else None)
        ax.annotate(
            f"{stage.rows_out:,} of {stage.rows_in:,}",
            (stage.rows_in, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
        if stage.reasons:
            told = [f"{rows:,} {reason}" for reason, rows in list(stage.reasons.items())[:MOST_REASONS]]
            more = sum(list(stage.reasons.values())[MOST_REASONS:])
            told += [f"{more:,} for other reasons"] if more else []
            ax.annotate(
                _cut("; ".join(told)),
                (0, place + 0.27),
                xytext=(2, -2),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color=GREY,
            )
    ax.set_yticks(range(len(funnel.stages)), [stage.name for stage in funnel.stages])
    ax.set_ylim(len(funnel.stages) - 0.3, -0.4)
    ax.margins(x=0.15)
    ax.set_xlabel("Rows")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _cut(text: str, most: int = 95) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def plot_progress(what: Any) -> list[Axes]:
    """Return two axes: the number of finished rows over time for each lane, and how the jobs spent their time.

    :param what: a launch, running or not, or a data frame as :func:`aiida_pet.campaigns.timeline.job_times` makes it.
    :raises NotDrawnError: if no job has begun.

    .. code-block:: python

        from aiida_pet import plotting

        curves, times = plotting.plot_progress("four metals")
    """
    found: list[Axes] = draw_progress(what).axes
    return found


def draw_progress(what: Any) -> Drawing:
    """Draw what :func:`plot_progress` says."""
    if len(many(what)) > 1:
        raise NotDrawnError("progress shows one launch: draw a picture for each launch")
    thing = many(what)[0]
    progress = progress_of(thing if isinstance(thing, pd.DataFrame) else job_times(thing))
    axes = new_row(2, 9.5, 3.6, width_ratios=(1.5, 1))
    _draw_curves(axes[0], progress)
    _draw_spent(axes[1], progress.spent)
    return Drawing(
        axes,
        "Rows over time per lane, and where the time went",
        {"rows": progress.to_frame(), "time": progress.spent_frame()},
    )


def _draw_curves(ax: Axes, progress: Progress) -> None:
    stages = list(dict.fromkeys(lane.stage for lane in progress.lanes))
    lanes = list(dict.fromkeys(lane.lane for lane in progress.lanes))
    colour_of = dict(zip(stages, colours(len(stages)), strict=True))
    last = max(float(lane.times[-1]) for lane in progress.lanes)
    size, unit = _unit_of(last)
    for lane in progress.lanes:
        style = _STYLES[lanes.index(lane.lane) % len(_STYLES)]
        ax.plot(lane.times / size, lane.rows, color=colour_of[lane.stage], linestyle=style, linewidth=1.5)
    ax.set(
        xlabel=label_of("Time since the first job", unit), ylabel="Rows done", xlim=(0, None), ylim=(0, None)
    )
    keys = [Line2D([], [], color=colour_of[stage], label=stage) for stage in stages if stage]
    if 1 < len(lanes) <= len(_STYLES):
        keys += [
            Line2D([], [], color=GREY, linestyle=_STYLES[i], label=f"lane {lane}")
            for i, lane in enumerate(lanes)
        ]
    if keys:
        place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": len(keys)}
        ax.legend(handles=keys, frameon=False, fontsize=8, handlelength=1.6, columnspacing=0.8, **place)


def _unit_of(seconds: float) -> tuple[float, str]:
    """Return the unit in which a time of this size is drawn, in seconds, and its name."""
    return next(
        (one for one in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")) if seconds > 2 * one[0]), (1.0, "s")
    )


def _draw_spent(ax: Axes, spent: dict[str, dict[str, float]]) -> None:
    size, unit = _unit_of(max((sum(kinds.values()) for kinds in spent.values()), default=0.0))
    for place, kinds in enumerate(spent.values()):
        left = 0.0
        for (what, seconds), colour in zip(kinds.items(), (PALETTE[0], PALETTE[5], "#BBBBBB"), strict=True):
            ax.barh(
                place, seconds / size, 0.6, left=left / size, color=colour, label=what if place == 0 else None
            )
            left += seconds
        ax.annotate(
            duration(left),
            (left / size, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    ax.set_yticks(range(len(spent)), [stage or "all jobs" for stage in spent])
    ax.set_ylim(len(spent) - 0.4, -0.6)
    ax.margins(x=0.3)
    ax.set_xlabel(label_of("Time, summed over jobs", unit))
    if spent:
        place_of = {"loc": "lower left", "bbox_to_anchor": (-0.2, 1.0), "ncols": len(SPENT)}
        ax.legend(frameon=False, fontsize=8, columnspacing=0.8, handlelength=1, **place_of)
