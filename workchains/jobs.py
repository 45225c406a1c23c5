"""The jobs below a WorkChain, and what each cost."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_pet.calculations.base import PetCalculation

_KEYS = ("rows_total", "rows_done", "engine_s", "compute_s", "evaluations", "memory_mb", "device")


def jobs_of(node: orm.ProcessNode) -> list[Any]:
    """Return the jobs of the engine (CalcJobNodes) that ``node`` called, itself or through others, oldest first."""
    if is_job(node):
        return [node]
    jobs: list[Any] = [called for called in node.called_descendants if is_job(called)]
    return sorted(jobs, key=lambda job: job.pk)


def is_job(node: orm.Node) -> bool:
    """Return whether ``node`` is a job of the engine."""
    if not isinstance(node, orm.CalcJobNode):
        return False
    try:
        return issubclass(node.process_class, PetCalculation)
    except ValueError:
        return False


def job_record(job: Any) -> dict[str, Any]:
    """Return what ``job`` did and cost: rows, times in seconds, evaluations, memory in MB.

    ``wall_s`` is from creation to the end of parsing, the queue and AiiDA included.
    """
    summary = job.outputs.summary.get_dict() if "summary" in job.outputs else {}
    return {
        "uuid": job.uuid,
        "pk": job.pk,
        "exit_status": job.exit_status,
        "cached": job.base.caching.is_created_from_cache,
        "wall_s": (job.mtime - job.ctime).total_seconds(),
        **{key: summary.get(key) for key in _KEYS},
    }
