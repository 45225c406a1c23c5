"""What is known of a launch in a line: how far it is, how its rows ended, what its jobs are and ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiida_pet.words import cell, duration, plural

if TYPE_CHECKING:
    from aiida_pet.campaigns.estimates import Estimate
    from aiida_pet.campaigns.training import TrainingProgress


def told_statuses(statuses: dict[str, int]) -> str:
    """Return how many rows ended how, the most frequent first."""
    return ", ".join(
        f"{name} {count:,}" for name, count in sorted(statuses.items(), key=lambda item: -item[1])
    )


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


def told_options(options: dict[str, Any]) -> str:
    """Return the options of a job in a line, for a dry run."""
    asked = options.get("resources", {})
    told = {"cores": asked.get("num_cores_per_mpiproc") or asked.get("tot_num_mpiprocs")}
    told |= {name: value for name, value in options.items() if name != "resources"}
    return (
        ", ".join(f"{name}={cell(value)}" for name, value in told.items() if value) or "nothing in particular"
    )


def told_jobs(expected: Estimate) -> str:
    """Return how many jobs there are and how large they are, in words."""
    if expected.pilot_size is None or expected.jobs == expected.lanes:
        return f"{expected.jobs} of at most {plural(expected.job_size, 'row')}"
    first = f"the first of each lane of at most {plural(expected.pilot_size, 'row')}"
    return f"{expected.jobs}: {first}, the next of at most {expected.job_size:,}"
