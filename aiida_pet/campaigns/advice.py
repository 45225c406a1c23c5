"""What can be done now with a launch: what keeps it from going on, and what its rows can be asked, as commands."""

from __future__ import annotations

import time

from aiida.orm import ProcessNode

from aiida_pet.campaigns.progress import CampaignProgress, JobProgress
from aiida_pet.campaigns.resumption import is_campaign
from aiida_pet.campaigns.stages import stages_of
from aiida_pet.computers import daemon
from aiida_pet.computers.services import REPAIR
from aiida_pet.words import duration, plural
from aiida_pet.workchains.jobs import Calls
from aiida_pet.workchains.stopping import is_stop_requested
from aiida_pet.workchains.taking_up import latest_of

SILENT_S = 300.0
"""A heartbeat older than this is worth a remark: the engine writes one with each shard and each few steps."""
UNCLAIMED_S = 120.0
"""A process that no worker has taken up for so long may be lost: a broker that is killed loses what is just sent."""

ROWS_LEFT = (302, 400)
"""Exit statuses of a lane, and of a batch or a screening, that left rows, such as when they were stopped."""


def advice(calls: Calls, progress: CampaignProgress) -> list[str]:
    """Return what can be done now, each as a sentence with a command."""
    node, pk = calls.node, calls.node.pk
    if not progress.finished:
        so_far = f"`aiida-pet results {pk}` shows the rows of the jobs that have ended"
        return obstacles(calls, progress) + ([so_far] if _some_job_ended(progress) else [])
    return _of_its_end(calls, progress) + _of_its_rows(progress) + _of_what_is_left(node, progress)


def _of_its_end(calls: Calls, progress: CampaignProgress) -> list[str]:
    node = calls.node
    if node.is_excepted:
        return [f"it broke down: `verdi process report {node.pk}` shows where"]
    if node.exit_status in ROWS_LEFT and is_stop_requested(node):
        left = f", with {plural(progress.rows_left, 'row')} left" if progress.rows_left else ""
        return [f"it was stopped as asked{_stage_at_the_stop(calls, progress)}{left}"]
    if not node.is_finished_ok:
        return [f"it did not end well: `verdi process report {node.pk}` shows what happened"]
    return []


def _stage_at_the_stop(calls: Calls, progress: CampaignProgress) -> str:
    """Return in which stage a screening was stopped, or before which; empty for what is no screening."""
    for stage in stages_of(calls, progress):
        if stage.state == "to come":
            return f" before stage {stage.name} began"
        if stage.state not in ("done", "finished [0]"):
            return f" in stage {stage.name}"
    return ""


def _of_its_rows(progress: CampaignProgress) -> list[str]:
    results = f"`aiida-pet results {progress.pk}"
    sentences = [f"{results}` shows the rows"] if progress.rows_done else []
    for code in list(progress.warnings)[:1]:
        sentences.append(f"{results} --where '{code} in warnings'` shows the rows with a warning")
    for column in list(progress.missing)[:1]:
        condition = f"\"{column} != ''\""
        sentences.append(f"{results} --where {condition}` shows the rows without a value, and why")
    failed = sum(progress.statuses.values()) - progress.statuses.get("converged", 0)
    if failed > 0:
        sentences.append(
            f"{results} --where 'status != converged'` shows the {plural(failed, 'row')} that failed"
        )
    return sentences


def _of_what_is_left(node: ProcessNode, progress: CampaignProgress) -> list[str]:
    if node.is_finished_ok:
        return []
    by = latest_of(node)
    if by is not None:
        return [
            f"launch <{by.pk}> resumed it and has its rows: `aiida-pet status {by.pk}` shows its progress"
        ]
    goes_on = progress.rows_left or "stages" in node.inputs or "results" not in node.outputs
    if not goes_on or not is_campaign(node):
        return []
    rest = f"the {plural(progress.rows_left, 'row')} left" if progress.rows_left else "what is left"
    return [f"`aiida-pet resume {node.pk}` goes on with {rest}; you may give other --lanes or another --code"]


def _some_job_ended(progress: CampaignProgress) -> bool:
    # an engine that is done is not enough: its rows are no node before its process has ended
    return any(job.rows_done and (job.step == "cached" or job.has_ended) for job in progress.jobs)


def obstacles(calls: Calls, progress: CampaignProgress) -> list[str]:
    """Return what keeps a launch that has not ended from going on, each with its remedy."""
    problem = daemon.daemon_problem()
    running = [job for job in calls.jobs() if not job.is_terminated]
    found = [problem] if problem else []
    found += daemon.service_problems(running, daemon_lives=not problem)
    processes = [calls.node, *calls.below()]
    found += [_paused(process) for process in processes if process.paused and not process.is_terminated]
    unclaimed = [called.pk for called in processes if _is_unclaimed(called)]
    unnoticed = [job.pk for job in progress.jobs if _is_unnoticed(job)]
    if not problem and (unclaimed or unnoticed):
        pks = " ".join(f"<{pk}>" for pk in (unclaimed + unnoticed)[:5])
        found.append(
            f"no worker of the daemon seems to handle process {pks}: it was not started, or its engine ended minutes "
            f"ago. If the workers are not simply busy, run {REPAIR}, which restores lost processes (it stops the "
            "daemon and starts it again)"
        )
    silent = [job for job in progress.jobs if _is_silent(job)]
    if silent:
        pks = " ".join(str(job.pk) for job in silent[:5])
        found.append(
            f"no sign of life for {duration(SILENT_S)} or more from job {pks}: `verdi calcjob gotocomputer "
            f"{silent[0].pk}` goes to its folder, where engine.log says what the job does"
        )
    return found


def _paused(process: ProcessNode) -> str:
    why = f" ({process.process_status})" if process.process_status else ""
    return f"process <{process.pk}> is paused{why}: `verdi process play {process.pk}` lets it go on"


def _is_unclaimed(process: ProcessNode) -> bool:
    state = process.process_state
    age_s = time.time() - process.ctime.timestamp()
    return state is not None and state.value == "created" and not process.paused and age_s > UNCLAIMED_S


def _is_unnoticed(job: JobProgress) -> bool:
    ended = job.step in ("done", "stopped", "failed") and not job.has_ended
    return ended and job.updated is not None and time.time() - job.updated > SILENT_S


def _is_silent(job: JobProgress) -> bool:
    return job.updated is not None and job.step == "running" and time.time() - job.updated > SILENT_S
