"""What a launch cost, in hours of cores and of GPUs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiida import orm

from aiida_pet.computers.resources import cores_of
from aiida_pet.workchains.jobs import Calls, summaries_of


@dataclass(frozen=True)
class Cost:
    """What jobs cost, as far as they have ended.

    :ivar jobs: how many there are.
    :ivar cached: how many of them are from the cache, and cost nothing.
    :ivar core_hours: cores times the time of the engine; None if nothing ended.
    :ivar gpu_hours: of jobs on a GPU, one each.
    :ivar compute_hours: of these, the time in the model.
    """

    jobs: int
    cached: int
    core_hours: float | None
    gpu_hours: float
    compute_hours: float

    def told(self) -> str:
        """Return it in words."""
        if self.core_hours is None:
            return "not known yet: no job has ended"
        parts = [f"{hours(self.core_hours)} core-hours"]
        if self.gpu_hours:
            parts.append(f"{hours(self.gpu_hours)} GPU-hours")
        text = f"{' and '.join(parts)} of engines, {hours(self.compute_hours)} h of it in the model"
        return text + (f"; {self.cached} of {self.jobs} jobs from the cache" if self.cached else "")


def hours(value: float) -> str:
    """Return hours with three significant digits, and no more than the eye can use."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost_of(calls: Calls, engine_s: Mapping[int, float] | None = None) -> Cost:
    """Return what the jobs among ``calls`` cost.

    :param engine_s: pk -> seconds so far of jobs that run.
    """
    jobs = calls.jobs()
    summaries, running = summaries_of(jobs), dict(engine_s or {})
    cached = {job.pk for job in jobs if job.base.caching.is_created_from_cache}
    cores, gpus, compute, ended = 0.0, 0.0, 0.0, False
    asked = _resources_of([job.pk for job in jobs])
    for job in jobs:
        summary = summaries.get(job.pk, {})
        seconds = summary.get("engine_s") or running.get(job.pk)
        if seconds is None or job.pk in cached:
            continue
        ended = True
        cores += seconds * (cores_of(asked.get(job.pk, {})) or 1)
        gpus += seconds if not str(summary.get("device", "cpu")).startswith("cpu") else 0.0
        compute += summary.get("compute_s") or 0.0
    total = cores / 3600 if ended or cached else None
    return Cost(len(jobs), len(cached), total, gpus / 3600, compute / 3600)


def _resources_of(pks: Collection[int]) -> dict[int, dict[str, Any]]:
    query = orm.QueryBuilder()
    query.append(
        orm.CalcJobNode, filters={"id": {"in": list(pks) or [0]}}, project=["id", "attributes.resources"]
    )
    return {pk: resources or {} for pk, resources in query.all()}
