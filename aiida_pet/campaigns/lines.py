"""What is known of a launch in a line: how far it is, how its rows ended, what its jobs are and ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiida_pet.words import cell, plural

if TYPE_CHECKING:
    from aiida_pet.campaigns.estimates import Estimate


def told_statuses(statuses: dict[str, int]) -> str:
    """Return how many rows ended how, the most frequent first."""
    return ", ".join(
        f"{name} {count:,}" for name, count in sorted(statuses.items(), key=lambda item: -item[1])
    )


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
    first = f"the first job of each lane has at most {plural(expected.pilot_size, 'row')}"
    return f"{expected.jobs}; {first}, later jobs have at most {expected.job_size:,}"
