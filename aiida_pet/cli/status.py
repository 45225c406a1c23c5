"""``aiida-pet status``: how far a launch is, live, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from aiida_pet.campaigns.lines import told_statuses
from aiida_pet.cli.live import follow_look
from aiida_pet.cli.output import echo_json, echo_table, json_option, say
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.training_status import echo_training
from aiida_pet.tables import warnings
from aiida_pet.words import duration, plural

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

    from aiida_pet.campaigns.progress import JobProgress, LaneProgress
    from aiida_pet.campaigns.report import Status
    from aiida_pet.campaigns.stages import StageStatus
    from aiida_pet.campaigns.training_report import TrainingStatus

WATCH_S = 2.0
SHOWN_JOBS = 20
_ADVICE_OF_OLD = re.compile(r"[.:] `aiida-pet resume \d+` goes on with them")
"""A message advises what was right when its process ended; the report advises what is right now."""
_STOPPED_BEFORE = re.compile(r"^Stage (\S+) left rows .*: Stopped as asked, before it began")
"""The message names the stage that was still to come."""


@click.command()
@click.argument("pk")
@click.option("--watch", is_flag=True, help="Update the progress until the launch ends.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=WATCH_S,
    show_default=True,
    help="With --watch: seconds between two updates.",
)
@click.option("--jobs", "all_jobs", is_flag=True, help="List every job, even if there are many.")
@json_option
@pass_session
def status(session: Session, *, pk: str, watch: bool, interval: float, all_jobs: bool, as_json: bool) -> None:
    """Show the progress of the launch PK: finished rows, speed, time left, statuses, lanes and jobs.

    The progress of running jobs is read from the heartbeat files of their engines.
    """
    from aiida_pet.campaigns import status as status_of

    session.load()
    if watch:
        follow(pk, interval)
    found = status_of(pk)
    if as_json:
        echo_json(found.to_dict())
    else:
        echo_status(found, SHOWN_JOBS if not all_jobs else None)


def follow(launch: str | ProcessNode, interval: float) -> None:
    """Show a launch on standard error until it has ended.

    On a terminal the picture is renewed in place; elsewhere a line is printed when something has changed.
    """
    from aiida.orm import ProcessNode

    from aiida_pet.campaigns.live import live_looks
    from aiida_pet.campaigns.nodes import load
    from aiida_pet.campaigns.training import is_training
    from aiida_pet.campaigns.training_live import training_looks

    node = load(launch, ProcessNode)
    looks = training_looks(node) if is_training(node) else live_looks(node)
    follow_look(looks, interval, node.pk, lambda: bool(node.is_terminated))


def echo_status(status: Status | TrainingStatus, most_jobs: int | None) -> None:
    """Print how far a launch is; at most ``most_jobs`` of the jobs, the last ones."""
    from aiida_pet.campaigns.training_report import TrainingStatus

    if isinstance(status, TrainingStatus):
        echo_training(status, most_jobs)
        return
    progress = status.progress
    say(f"{status.label} <{progress.pk}> {progress.state}")
    if progress.message:
        message = _ADVICE_OF_OLD.sub("", progress.message.splitlines()[0])
        say(f"  {_STOPPED_BEFORE.sub(r'Stopped as asked, before stage \1 began', message)}")
    total, done = progress.rows_total, progress.rows_done
    share = f" ({100 * done / total:.0f} %)" if total else ""
    so_far = " in the stages so far" if status.stages else ""
    say(f"rows      {done:,} of {total:,} done{so_far}{share}, {progress.rows_left:,} left", 10)
    if progress.statuses:
        say(f"statuses  {told_statuses(progress.statuses)}", 10)
    if progress.missing:
        say(f"missing   {_told_missing(progress.missing)}", 10)
    if progress.warnings:
        say(f"warnings  {warnings.told(progress.warnings)}", 10)
    if not progress.finished:
        left = f"about {duration(status.left_s)} left"
        if status.stages:  # each has a speed of its own
            say(f"time      {left}", 10)
        else:
            rate = f"{progress.rate:.3g} rows/s" if progress.rate else "no rate yet"
            say(f"speed     {rate}, {left}", 10)
    cached = f", {progress.n_cached:,} of them from the cache" if progress.n_cached else ""
    say(f"engines   {duration(progress.engine_s)} in {plural(len(progress.jobs), 'job')}{cached}", 10)
    _echo_stages(status.stages)
    _echo_lanes(progress.lanes)
    _echo_jobs(progress.jobs, most_jobs)
    if status.advice:
        click.echo()
    for sentence in status.advice:
        say(f"* {sentence}")


def _told_missing(missing: Mapping[str, int]) -> str:
    """Return how many rows lack a value, and the columns that say why."""
    return ", ".join(f"values in {plural(count, 'row')} ({name} says why)" for name, count in missing.items())


def _echo_stages(stages: Sequence[StageStatus]) -> None:
    if not stages:
        return
    rows = [
        (
            stage.name,
            stage.state,
            *("-" if count is None else count for count in (stage.rows_in, stage.rows_done, stage.rows_out)),
            stage.keep or "every row with an answer",
        )
        for stage in stages
    ]
    click.echo()
    echo_table(rows, ("stage", "state", "rows", "done", "go on", "condition"), once=False)


def _echo_lanes(lanes: Sequence[LaneProgress]) -> None:
    if len(lanes) < 2 and not any(lane.message for lane in lanes):
        return
    rows = [
        (
            lane.pk,
            lane.state,
            lane.rows_done,
            lane.rows_total,
            len(lane.jobs),
            _ADVICE_OF_OLD.sub("", lane.message or ""),
        )
        for lane in lanes
    ]
    click.echo()
    echo_table(rows, ("lane", "state", "rows done", "of", "jobs", "message"), once=False)


def _echo_jobs(jobs: Sequence[JobProgress], most: int | None) -> None:
    if not jobs:
        return
    shown = jobs if most is None else jobs[-most:]
    rows = [
        (
            job.pk,
            job.state,
            job.step or "queued",
            job.rows_done,
            job.rows_total,
            f"{job.rate:.3g}" if job.rate else "-",
            told_statuses(job.statuses),
        )
        for job in shown
    ]
    click.echo()
    echo_table(rows, ("job", "state", "engine", "rows done", "of", "rows/s", "statuses"), once=False)
    if len(shown) < len(jobs):
        click.echo(f"(the last {len(shown)} of {len(jobs)} jobs; --jobs shows all)")
