"""How far a training is, on the command line: stages, epochs, errors of the last one and the time left."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import table_text
from aiida_pet.words import duration

if TYPE_CHECKING:
    from aiida.orm import ProcessNode

    from aiida_pet.campaigns.training import TrainingProgress

KIND = "training"
_LONGEST = 110  # of a message in the table of jobs


def training_report(node: ProcessNode) -> dict[str, Any]:
    """Return how far the training ``node`` is, as a JSON document."""
    from aiida_pet.campaigns.training import training_progress
    from aiida_pet.workchains.groups import group_of

    progress = training_progress(node)
    group = group_of(node)
    return (
        {"kind": KIND}
        | asdict(progress)
        | {
            "group": None if group is None else group.label,
            "advice": _advice(node, progress),
        }
    )


def _advice(node: ProcessNode, progress: TrainingProgress) -> list[str]:
    from aiida_pet.campaigns.progress import campaign_progress
    from aiida_pet.cli.status import obstacles
    from aiida_pet.workchains.jobs import calls_of
    from aiida_pet.workchains.taking_up import latest_of

    pk = progress.pk
    if not progress.finished:
        calls = calls_of(node)
        return obstacles(calls, campaign_progress(node, calls))
    if progress.model is not None:
        return [
            f"`aiida-pet model show {progress.model}` shows the model, `aiida-pet launch relax SET --model "
            f"{progress.model}` uses it, `aiida-pet model export {progress.model} -o model.ckpt` writes it to a file",
            f"`aiida-pet results {pk}` shows its errors and its learning curve",
        ]
    by = latest_of(node)
    if by is not None:
        return [f"it was taken up by <{by.pk}>: `aiida-pet status {by.pk}` shows how far that is"]
    told = [f"`verdi process report {pk}` shows what happened"]
    if progress.label == "TrainWorkChain":
        told.append(f"`aiida-pet resume {pk}` goes on from the newest checkpoint")
    return told


def training_line(progress: TrainingProgress) -> str:
    """Return the progress in one line."""
    parts = [f"<{progress.pk}> {progress.state}"]
    parts += [
        f"{stage['name']} {stage['epochs_done']}/{stage['epochs']} epochs"
        for stage in progress.stages
        if stage["state"] != "to come"
    ]
    job = progress.running
    if job is not None and not progress.finished:
        parts.append(job.step or "queued")
        if job.eta_s:
            parts.append(f"{duration(job.eta_s)} left in this stage")
        if job.message:
            parts.append(job.message)
    elif progress.labelling is not None and not progress.jobs:
        parts.append(f"the teacher labels: `aiida-pet status {progress.labelling}`")
    return ", ".join(parts)


def follow_training(node: ProcessNode, interval: float) -> dict[str, Any]:
    """Print a live line on standard error until ``node`` has ended, and return the last report."""
    from aiida_pet.campaigns.progress import Heartbeats
    from aiida_pet.campaigns.training import training_progress

    terminal = click.get_text_stream("stderr").isatty()
    last, heartbeats = "", Heartbeats()
    while True:
        progress = training_progress(node, heartbeats)
        text = training_line(progress)
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
    return training_report(node)


def echo_training(document: dict[str, Any], most_jobs: int | None) -> None:
    """Print what :func:`training_report` returns; at most ``most_jobs`` of the jobs, the last ones."""
    mode = f", {document['mode']}" if document["mode"] else ""
    click.echo(f"{document['label']} <{document['pk']}>{mode} {document['state']}")
    if document["message"]:
        click.echo(f"  {document['message'].splitlines()[0]}")
    if document["labelling"] is not None:
        click.echo(f"labels    by launch <{document['labelling']}>")
    if document["model"] is not None:
        click.echo(f"model     <{document['model']}>")
    stages = [
        (stage["name"], stage["state"], stage["epochs_done"], stage["epochs"]) for stage in document["stages"]
    ]
    click.echo("\n" + table_text(stages, ("stage", "state", "epochs done", "of")))
    jobs = document["jobs"] if most_jobs is None else document["jobs"][-most_jobs:] if most_jobs else []
    if jobs:
        rows = [
            (
                job["pk"],
                job["stage"],
                job["state"],
                job["step"] or "queued",
                f"{job['epochs_done']}/{job['epochs']}",
                duration(job["epoch_s"]) if job["epoch_s"] else "-",
                duration(job["eta_s"]) if job["eta_s"] else "-",
                job["message"][:_LONGEST],
            )
            for job in jobs
        ]
        headers = ("job", "stage", "state", "step", "epochs", "each", "left", "last epoch")
        click.echo("\n" + table_text(rows, headers))
    if document["advice"]:
        click.echo()
    for sentence in document["advice"]:
        click.echo(f"* {sentence}")
