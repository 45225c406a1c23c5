"""How far a training is, on the command line: stages, epochs, errors of the last one and the time left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aiida_pet.cli.output import echo_table, say
from aiida_pet.words import duration

if TYPE_CHECKING:
    from aiida_pet.campaigns.training_report import TrainingStatus


def echo_training(status: TrainingStatus, most_jobs: int | None) -> None:
    """Print how far a training is; at most ``most_jobs`` of the jobs, the last ones."""
    document = status.to_dict()
    mode = f", {document['mode']}" if document["mode"] else ""
    say(f"{document['label']} <{document['pk']}>{mode} {document['state']}")
    if document["message"]:
        say(f"  {document['message'].splitlines()[0]}")
    if document["labelling"] is not None:
        click.echo(f"labels    by launch <{document['labelling']}>")
    if document["model"] is not None:
        click.echo(f"model     <{document['model']}>")
    stages = [
        (stage["name"], stage["state"], stage["epochs_done"], stage["epochs"]) for stage in document["stages"]
    ]
    click.echo()
    echo_table(stages, ("stage", "state", "epochs done", "of"), once=False)
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
                job["message"],
            )
            for job in jobs
        ]
        headers = ("job", "stage", "state", "step", "epochs", "each", "left", "last epoch")
        click.echo()
        echo_table(rows, headers, once=False)
    if document["advice"]:
        click.echo()
    for sentence in document["advice"]:
        say(f"* {sentence}")
