"""Rows over time per lane, and where the time of a campaign went."""

from __future__ import annotations

from aiida_pet.campaigns.timeline import job_times
from aiida_pet.figures import progress_of
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.source import Source
from aiida_pet.words import duration, plural

_SCALES = (("d", 86400.0, 3.0), ("h", 3600.0, 3.0), ("min", 60.0, 3.0))
"""Unit, its seconds, and how many of it there must be for times to be told in it."""
_MOST_POINTS = 4_000


def scale_of(seconds: float) -> tuple[str, float]:
    """Return the unit in which a time is best shown, and its length in seconds."""
    return next(((unit, size) for unit, size, least in _SCALES if seconds >= least * size), ("s", 1.0))


def time_figures(source: Source) -> list[Figure]:
    """Return rows over time per lane, and the time of jobs by stage and kind.

    :raises NotDrawnError: if no job has begun.
    """
    found = progress_of(job_times(source.node))
    table = found.to_frame()
    unit, size = scale_of(float(table["time"].max()))
    several = table["stage"].nunique() > 1
    if len(table) > _MOST_POINTS:
        table = table.iloc[:: len(table) // _MOST_POINTS + 1]
    table = table.assign(
        lane=[
            f"{stage}, lane {lane}" if several else f"lane {lane}"
            for stage, lane in zip(table["stage"], table["lane"], strict=True)
        ],
        t=table["time"] / size,
    )
    lanes = table.groupby("lane", sort=False)["rows"].max()
    steps = Figure(
        name="rows-over-time",
        kind=Kind.STEPS,
        title="Rows over time",
        alt=f"Rows done over time of {plural(len(lanes), 'lane')}: "
        + ", ".join(f"{lane} {rows:,.0f}" for lane, rows in lanes.head(8).items()),
        columns=columns_of(table[["lane", "t", "rows"]]),
        options={"unit": unit},
        caption="Rows per lane; a lane counts its rows within its stage." if several else "per lane.",
    )
    spent = found.spent_frame().replace({"stage": {"": source.task}})
    total = spent.groupby("what", sort=False)["time"].sum()
    unit, size = scale_of(float(spent.groupby("stage")["time"].sum().max()))
    wide = (spent.pivot_table(index="stage", columns="what", values="time", sort=False) / size).reset_index()
    bars = Figure(
        name="time-spent",
        kind=Kind.BARS,
        title="Where the time went",
        alt="Bars of the time of jobs by stage: "
        + ", ".join(f"{what} {duration(seconds)}" for what, seconds in total.items()),
        columns=columns_of(wide, 4),
        options={
            "category": "stage",
            "series": [str(name) for name in wide.columns if name != "stage"],
            "across": True,
            "stacked": True,
            "x_title": "time of jobs, summed",
            "unit": unit,
        },
        caption="; ".join(f"{what} {duration(seconds)}" for what, seconds in total.items()) + ".",
    )
    return [steps, bars] if len(spent) else [steps]
