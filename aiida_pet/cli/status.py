"""``aiida-pet status``: how far a launch is, live, and what to do next."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_json, json_option, table_text
from aiida_pet.cli.session import Session, load_as, pass_session
from aiida_pet.cli.training_status import KIND, echo_training, follow_training, training_report
from aiida_pet.tables import warnings
from aiida_pet.words import duration, plural

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

    from aiida_pet.campaigns.progress import CampaignProgress, JobProgress
    from aiida_pet.workchains.jobs import Calls

# Written out rather than imported, so that `--help` waits for nothing; tests compare them.
STAGES = ("relax", "symmetry", "hull", "phonons", "elastic")
WATCH_S = 5.0
SHOWN_JOBS = 20
SILENT_S = 300.0
"""A heartbeat older than this is worth a remark: the engine writes one with each shard and each few steps."""
ENDED_STATES = ("finished", "excepted", "killed")
_ADVICE_OF_OLD = re.compile(r": `aiida-pet resume \d+` goes on with them")
"""A message advises what was right when its process ended; the report advises what is right now."""
UNCLAIMED_S = 120.0
"""A process that no worker has taken up for so long may be lost: a broker that is killed loses what is just sent."""


@click.command()
@click.argument("pk")
@click.option("--watch", is_flag=True, help="Look again and again until it ends.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=WATCH_S,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@click.option("--jobs", "all_jobs", is_flag=True, help="List every job, however many there are.")
@json_option
@pass_session
def status(session: Session, *, pk: str, watch: bool, interval: float, all_jobs: bool, as_json: bool) -> None:
    """Show how far the launch PK is: rows, rate, time left, how rows ended, lanes and jobs.

    Figures of running jobs come from the heartbeats of their engines.
    """
    from aiida.orm import ProcessNode

    session.load()
    node = load_as(pk, ProcessNode, hint="`aiida-pet launch` prints the pk of what it starts")
    if watch:
        follow(node, interval)
    document = report(node)
    if as_json:
        echo_json(document)
    else:
        echo_report(document, SHOWN_JOBS if not all_jobs else None)


def report(node: ProcessNode) -> dict[str, Any]:
    """Return how far ``node`` is, as a JSON document: totals, stages of a screening, lanes, jobs, advice."""
    from aiida_pet.campaigns.progress import campaign_progress
    from aiida_pet.campaigns.training import is_training
    from aiida_pet.workchains.groups import group_of
    from aiida_pet.workchains.jobs import calls_of

    if is_training(node):
        return training_report(node)
    calls = calls_of(node)
    progress = campaign_progress(node, calls)
    group = group_of(node)
    return asdict(progress) | {
        "label": node.process_label,
        "group": None if group is None else group.label,
        "rows_left": progress.rows_left,
        "jobs_cached": progress.n_cached,
        "stages": _stages(calls, progress),
        "advice": advice(calls, progress),
    }


def _stages(calls: Calls, progress: CampaignProgress) -> list[dict[str, Any]]:
    """Return of each stage of a screening its state, its rows and how many went on; empty for what is none."""
    node: Any = calls.node
    if "stages" not in node.inputs:
        return []
    from aiida.common.links import LinkType

    from aiida_pet.campaigns.progress import state_of

    done = {one["name"]: one for one in node.outputs.summary["stages"]} if "summary" in node.outputs else {}
    called = {
        link.link_label: link.node for link in node.base.links.get_outgoing(link_type=LinkType.CALL_WORK)
    }
    stages = []
    for name in [name for name in STAGES if name in node.inputs.stages.get_dict()]:
        child: Any = called.get(name)
        record = done.get(name, {})
        rows = record.get("rows_in")
        if rows is None and child is not None and child.process_label != "HullWorkChain":
            rows = len(child.inputs.rows if "rows" in child.inputs else child.inputs.structures)
        stages.append(
            {
                "name": name,
                "pk": child.pk if child else None,
                "state": state_of(child) if child else "done" if record else "to come",
                "rows_in": rows,
                "rows_done": _rows_done(child, calls, progress) if child else record.get("rows_in"),
                "rows_out": record.get("rows_out"),
                "keep": node.inputs.stages[name].get("keep"),
            }
        )
    return stages


def _rows_done(child: Any, calls: Calls, progress: CampaignProgress) -> int | None:
    """Return how many rows of a stage are done: those of its lanes, and those of a launch before."""
    if child.process_label == "HullWorkChain":
        return len(child.outputs.results) if "results" in child.outputs else None
    if "summary" in child.outputs:
        return int(child.outputs.summary["rows_done"])
    before = sum(len(table) for table in child.inputs.done.values()) if "done" in child.inputs else 0
    lanes = {lane.pk: lane.rows_done for lane in progress.lanes}
    return before + sum(lanes.get(one.pk, 0) for one in calls.below(child))


def advice(calls: Calls, progress: CampaignProgress) -> list[str]:
    """Return what can be done now, each as a sentence with a command."""
    from aiida_pet.campaigns.resume import is_campaign
    from aiida_pet.workchains.taking_up import latest_of

    node, pk = calls.node, calls.node.pk
    if not progress.finished:
        so_far = f"`aiida-pet results {pk}` shows the rows of the jobs that ended"
        return obstacles(calls, progress) + ([so_far] if _some_job_ended(progress) else [])
    told = []
    if node.is_excepted:
        told.append(f"it broke down: `verdi process report {pk}` shows where")
    elif not node.is_finished_ok:
        told.append(f"it did not end well: `verdi process report {pk}` shows what happened")
    if progress.rows_done:
        told.append(f"`aiida-pet results {pk}` shows the rows")
    for code in list(progress.warnings)[:1]:
        told.append(
            f"`aiida-pet results {pk} --where '{code} in warnings'` shows the rows that carry a warning"
        )
    failed = sum(progress.statuses.values()) - progress.statuses.get("converged", 0)
    if failed > 0:
        told.append(
            f"`aiida-pet results {pk} --where 'status != converged'` shows the {plural(failed, 'row')} that failed"
        )
    goes_on = progress.rows_left or "stages" in node.inputs or "results" not in node.outputs
    by = latest_of(node) if not node.is_finished_ok else None
    if by is not None:
        told.append(
            f"it was taken up by <{by.pk}>, which has its rows: `aiida-pet status {by.pk}` shows how far that is"
        )
    elif not node.is_finished_ok and goes_on and is_campaign(node):
        rest = f"the {plural(progress.rows_left, 'row')} left" if progress.rows_left else "what is left"
        told.append(
            f"`aiida-pet resume {pk}` goes on with {rest}, with more or fewer --lanes, or another --code"
        )
    return told


def _some_job_ended(progress: CampaignProgress) -> bool:
    # an engine that is done is not enough: its rows are no node before its process has ended
    return any(
        job.rows_done and (job.step == "cached" or job.state.startswith(ENDED_STATES))
        for job in progress.jobs
    )


def obstacles(calls: Calls, progress: CampaignProgress) -> list[str]:
    """Return what keeps a launch that has not ended from going on, each with its remedy."""
    from aiida_pet.computers.daemon import daemon_problem, service_problems
    from aiida_pet.computers.services import REPAIR

    told = []
    problem = daemon_problem()
    if problem:
        told.append(problem)
    running = [job for job in calls.jobs() if not job.is_terminated]
    told += service_problems(running, daemon_lives=not problem)
    processes = [calls.node, *calls.below()]
    for process in processes:
        if process.paused and not process.is_terminated:
            why = f" ({process.process_status})" if process.process_status else ""
            told.append(
                f"process <{process.pk}> is paused{why}: `verdi process play {process.pk}` lets it go on"
            )
    unclaimed = [called.pk for called in processes if _is_unclaimed(called)]
    unnoticed = [job.pk for job in progress.jobs if _is_unnoticed(job)]
    if not problem and (unclaimed or unnoticed):
        pks = " ".join(f"<{pk}>" for pk in (unclaimed + unnoticed)[:5])
        told.append(
            f"no worker seems to look after process {pks}, which has not been taken up or whose engine ended minutes "
            f"ago: unless all workers are busy, {REPAIR} finds what was lost (it stops the daemon and starts it again)"
        )
    silent = [job for job in progress.jobs if _is_silent(job)]
    if silent:
        pks = " ".join(str(job.pk) for job in silent[:5])
        told.append(
            f"no sign of life for {duration(SILENT_S)} or more from job {pks}: `verdi calcjob gotocomputer "
            f"{silent[0].pk}` goes to its folder, where engine.log says what it does"
        )
    return told


def _is_unclaimed(process: ProcessNode) -> bool:
    state = process.process_state
    age_s = time.time() - process.ctime.timestamp()
    return state is not None and state.value == "created" and not process.paused and age_s > UNCLAIMED_S


def _is_unnoticed(job: JobProgress) -> bool:
    ended = job.step in ("done", "stopped", "failed") and not job.state.startswith(ENDED_STATES)
    return ended and job.updated is not None and time.time() - job.updated > SILENT_S


def _is_silent(job: JobProgress) -> bool:
    return job.updated is not None and job.step == "running" and time.time() - job.updated > SILENT_S


def line(progress: CampaignProgress) -> str:
    """Return the progress in one line."""
    done = f"{progress.rows_done:,}/{progress.rows_total:,} rows"
    parts = [f"<{progress.pk}> {progress.state}", done]
    if not progress.finished:
        parts.append(_running_steps(progress) or ("no job running" if progress.jobs else "no job yet"))
        if progress.rate:
            parts.append(f"{progress.rate:.3g} rows/s, {duration(progress.eta_s)} left")
    statuses = _statuses(progress.statuses)
    if progress.n_cached:
        parts.append(f"{plural(progress.n_cached, 'job')} from the cache")
    return ", ".join(parts) + (f" ({statuses})" if statuses else "")


def _running_steps(progress: CampaignProgress) -> str:
    active = [job for job in progress.jobs if not job.state.startswith(ENDED_STATES)]
    steps = sorted({"from the cache" if job.step == "cached" else job.step or "queued" for job in active})
    return f"{plural(len(active), 'job')} {'/'.join(steps)}" if active else ""


def _statuses(statuses: dict[str, int]) -> str:
    return ", ".join(
        f"{name} {count:,}" for name, count in sorted(statuses.items(), key=lambda item: -item[1])
    )


def follow(node: ProcessNode, interval: float) -> dict[str, Any]:
    """Print a live line on standard error until ``node`` has ended, and return the last report.

    On a terminal the line is renewed in place; elsewhere a line is printed when something has changed.
    """
    from aiida_pet.campaigns.progress import Heartbeats, campaign_progress
    from aiida_pet.campaigns.training import is_training
    from aiida_pet.workchains.jobs import calls_of

    if is_training(node):
        return follow_training(node, interval)
    terminal = click.get_text_stream("stderr").isatty()
    last, told, heartbeats = "", set[str](), Heartbeats()
    while True:
        calls = calls_of(node)
        progress = campaign_progress(node, calls, heartbeats)
        for obstacle in [] if progress.finished else obstacles(calls, progress):
            if obstacle not in told:
                told.add(obstacle)
                click.echo(f"\r{obstacle:<{len(last)}}" if terminal else obstacle, err=True)
        text = line(progress)
        if terminal:
            click.echo(f"\r{text:<{len(last)}}", err=True, nl=False)
        elif text != last:
            click.echo(text, err=True)
        last = text
        if progress.finished:
            break
        time.sleep(interval)
    if terminal:
        click.echo(err=True)
    return report(node)


def echo_report(document: dict[str, Any], most_jobs: int | None) -> None:
    """Print what :func:`report` returns; at most ``most_jobs`` of the jobs, the last ones."""
    if document.get("kind") == KIND:
        echo_training(document, most_jobs)
        return
    click.echo(f"{document['label']} <{document['pk']}> {document['state']}")
    if document["message"]:
        click.echo(f"  {_ADVICE_OF_OLD.sub('', document['message'].splitlines()[0])}")
    total, done = document["rows_total"], document["rows_done"]
    share = f" ({100 * done / total:.0f} %)" if total else ""
    click.echo(f"rows      {done:,} of {total:,} done{share}, {document['rows_left']:,} left")
    if document["statuses"]:
        click.echo(f"statuses  {_statuses(document['statuses'])}")
    if document["warnings"]:
        click.echo(f"warnings  {warnings.told(document['warnings'])}")
    if not document["finished"]:
        rate = f"{document['rate']:.3g} rows/s" if document["rate"] else "no rate yet"
        click.echo(f"speed     {rate}, {duration(document['eta_s'])} left")
    cached = f", {document['jobs_cached']:,} of them from the cache" if document["jobs_cached"] else ""
    click.echo(
        f"engines   {duration(document['engine_s'])} in {plural(len(document['jobs']), 'job')}{cached}"
    )
    _echo_stages(document["stages"])
    _echo_lanes(document["lanes"])
    _echo_jobs(document["jobs"], most_jobs)
    if document["advice"]:
        click.echo()
    for sentence in document["advice"]:
        click.echo(f"* {sentence}")


def _echo_stages(stages: list[dict[str, Any]]) -> None:
    if not stages:
        return
    rows = [
        (
            stage["name"],
            stage["state"],
            *("-" if stage[key] is None else stage[key] for key in ("rows_in", "rows_done", "rows_out")),
            stage["keep"] or "every row with an answer",
        )
        for stage in stages
    ]
    click.echo("\n" + table_text(rows, ("stage", "state", "rows", "done", "go on", "condition")))


def _echo_lanes(lanes: list[dict[str, Any]]) -> None:
    if len(lanes) < 2 and not any(lane["message"] for lane in lanes):
        return
    rows = [
        (
            *(lane[key] for key in ("pk", "state", "rows_done", "rows_total")),
            len(lane["jobs"]),
            _ADVICE_OF_OLD.sub("", lane["message"] or ""),
        )
        for lane in lanes
    ]
    click.echo("\n" + table_text(rows, ("lane", "state", "rows done", "of", "jobs", "message")))


def _echo_jobs(jobs: list[dict[str, Any]], most: int | None) -> None:
    if not jobs:
        return
    shown = jobs if most is None else jobs[-most:]
    rows = [
        (
            job["pk"],
            job["state"],
            job["step"] or "queued",
            job["rows_done"],
            job["rows_total"],
            f"{job['rate']:.3g}" if job["rate"] else "-",
            _statuses(job["statuses"]),
        )
        for job in shown
    ]
    click.echo("\n" + table_text(rows, ("job", "state", "engine", "rows done", "of", "rows/s", "statuses")))
    if len(shown) < len(jobs):
        click.echo(f"(the last {len(shown)} of {len(jobs)} jobs; --jobs shows all)")
