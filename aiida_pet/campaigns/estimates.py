"""What a launch will take: jobs, time and memory, from what past jobs with the same model took.

Time is taken as proportional to the number of atoms, which holds for a batch of small cells. Where the profile has no
past job, a stated default of one machine stands in: then take the figure as an order of magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from aiida import orm
from aiida.plugins import CalculationFactory
from numpy.typing import NDArray

from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.tasks import Task, entry_of
from aiida_pet.words import plural
from aiida_pet.workchains.batch import MOST_ROWS
from aiida_pet.workchains.sharing import default_job_size, rows_for, share_out

# A model of DEFAULT_PARAMETERS on one CPU core in float64: 64 ordered alloys of 172 atoms in all took 4.4 s to relax
# (17 steps each, fmax 0.02 eV/A), 790 MB, and 8 s of CPU time until the first batch. What a task takes per atom is in
# its entry.
DEFAULT_MEMORY_MB = 800.0
DEFAULT_START_S = 8.0
DEFAULT_PARAMETERS = 357_242
BOOKKEEPING_S = 5.0
"""Of AiiDA per job: upload, submit, poll, retrieve, parse."""
PAST_JOBS = 50


@dataclass(frozen=True)
class Rate:
    """How fast jobs are.

    :ivar s_per_atom: seconds of computing per atom of the crystals.
    :ivar start_s: seconds from the start of the engine to the first batch.
    :ivar memory_mb: peak memory of a job.
    :ivar jobs: number of past jobs from which the figures come; 0 if they are defaults.
    :ivar device: that the last of them ran on: ``cpu``, ``cuda:0``.
    :ivar computer: label of the computer of that job.
    :ivar scale: how many times larger the model is than the model for which the default was measured.
    """

    s_per_atom: float
    start_s: float
    memory_mb: float
    jobs: int = 0
    device: str = ""
    computer: str = ""
    scale: float = 1.0

    @property
    def basis(self) -> str:
        """Where the figures come from, in words."""
        if not self.jobs:
            larger = f", times {self.scale:.3g} since this model is larger" if self.scale > 1 else ""
            return (
                "a rough guess, since the profile has no past job with this model: the time that another model, with "
                f"{DEFAULT_PARAMETERS:,} parameters, takes on one CPU core{larger}"
            )
        return f"{plural(self.jobs, 'past job')} with this model on {self.device or '?'}"

    def elsewhere(self, device: str, computer: str) -> str:
        """Return where the figures were measured if not on such a device, or on another computer; else empty.

        :param device: that the jobs will run on: ``cpu`` or ``cuda``; empty if that is left open.
        :param computer: label of the computer on which jobs will run.
        """
        if not self.jobs:
            return "one CPU core" if _kind_of(device) not in ("", "cpu") else ""
        is_other_device = device and self.device and _kind_of(self.device) != _kind_of(device)
        is_other = is_other_device or (self.computer and computer and self.computer != computer)
        return f"{self.device or '?'} of {self.computer or '?'}" if is_other else ""


@dataclass(frozen=True)
class Estimate:
    """What a launch will take.

    :ivar rows: number of crystals.
    :ivar atoms: in all of them.
    :ivar lanes: number of jobs that run at the same time.
    :ivar job_size: rows of a job at most.
    :ivar jobs: number of jobs of all lanes.
    :ivar wall_s: seconds until the slowest lane is through, if all lanes run side by side.
    :ivar memory_mb: peak memory of a job.
    :ivar rate: past jobs (or defaults) on which the figures are based.
    :ivar pilot_size: largest number of rows in the first job of a lane, which measures how fast the next jobs will be;
        None if no duration of jobs was asked for, so that all jobs are alike.
    :ivar elsewhere: where the time was measured, if not on the device and computer of these jobs; else empty.
    """

    rows: int
    atoms: int
    lanes: int
    job_size: int
    jobs: int
    wall_s: float
    memory_mb: float
    rate: Rate
    pilot_size: int | None = None
    elsewhere: str = ""


def estimate(
    task: Task | str,
    crystals: Named | NDArray[Any],
    model: Named,
    *,
    lanes: int = 1,
    job_size: int | None = None,
    job_duration: int | None = None,
    walltime: float | None = None,
    device: str = "",
    computer: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> Estimate:
    """Return the jobs, time and memory that a launch of ``task`` will need, from the speed of past jobs with ``model``.

    :param crystals: a set of crystals or a single structure, by pk, uuid, label or as a node; or (N,) atoms of each
        crystal.
    :param model: the model, by pk, uuid, label or as a node.
    :param lanes: number of jobs that run at the same time.
    :param job_size: largest number of rows in a job; None means few large jobs.
    :param job_duration: target duration of a job in seconds; None if there is none.
    :param walltime: time limit of a job in seconds; None if there is none.
    :param device: device on which jobs will run, ``cpu`` or ``cuda``; past jobs on such a device are preferred.
    :param computer: label of the computer on which jobs will run.
    :param parameters: parameters of the task; None means the defaults.
    :raises NoSuchNodeError: if there is no such set or model.

    .. code-block:: python

        from aiida_pet.campaigns import estimate

        expected = estimate("relax", "alloys", "pet-oam-xl", lanes=2)
        print(expected.jobs, expected.wall_s)
    """
    rate = past_rate(Task(task), load(model, PetModelData), device, parameters)
    found = estimate_at(
        rate, _sizes(crystals), lanes, job_size=job_size, job_duration=job_duration, walltime=walltime
    )
    return replace(found, elsewhere=rate.elsewhere(device, computer))


def _sizes(crystals: Named | NDArray[Any]) -> NDArray[Any]:
    if isinstance(crystals, np.ndarray):
        return crystals
    node = load(crystals, StructureSetData, orm.StructureData)
    return node.row_sizes() if isinstance(node, StructureSetData) else np.array([len(node.sites)])


def estimate_at(
    rate: Rate,
    sizes: NDArray[Any],
    lanes: int = 1,
    *,
    job_size: int | None = None,
    job_duration: int | None = None,
    walltime: float | None = None,
) -> Estimate:
    """Return what it takes to run crystals of ``sizes`` atoms, shared out and cut into jobs as a launch does.

    Arguments are those of :func:`estimate`.

    :param sizes: (N,) atoms of each crystal.
    """
    shares = share_out(sizes, lanes)
    if job_duration is None:
        size = job_size or default_job_size(len(sizes), lanes)
        jobs = [_equal_jobs(len(share), size) for share in shares]
    else:
        jobs = [_timed_jobs(sizes[share], job_size, rate, job_duration, walltime) for share in shares]
    seconds = [
        len(rows) * (rate.start_s + BOOKKEEPING_S) + float(sizes[share].sum()) * rate.s_per_atom
        for rows, share in zip(jobs, shares, strict=True)
    ]
    return Estimate(
        rows=len(sizes),
        atoms=int(sizes.sum()),
        lanes=len(shares),
        job_size=max(max(rows) for rows in jobs),
        jobs=sum(len(rows) for rows in jobs),
        wall_s=max(seconds),
        memory_mb=rate.memory_mb,
        rate=rate,
        pilot_size=None if job_duration is None else max(rows[0] for rows in jobs),
    )


def _equal_jobs(n_rows: int, size: int) -> list[int]:
    """Return the rows of each job of a lane that has ``n_rows``."""
    return [min(size, n_rows - first) for first in range(0, n_rows, size)]


def _timed_jobs(
    sizes: NDArray[Any], job_size: int | None, rate: Rate, job_duration: int, walltime: float | None
) -> list[int]:
    """Return the rows of each job of a lane whose jobs are to take ``job_duration`` s, if all keep to ``rate``.

    :param sizes: atoms of the lane's rows, in the order of the walk.
    """
    most = job_size or MOST_ROWS
    jobs: list[int] = []
    first = 0
    while first < len(sizes):
        pace = {"s_per_atom": rate.s_per_atom, "start_s": rate.start_s, "rows": jobs[-1]} if jobs else None
        # no more than a job may have: a lane of a million rows is not summed up once for each of its jobs
        waiting = sizes[first : first + most]
        jobs.append(rows_for(job_duration, waiting, pace, walltime))
        first += jobs[-1]
    return jobs


def past_rate(
    task: Task, model: PetModelData, device: str = "", parameters: Mapping[str, Any] | None = None
) -> Rate:
    """Return how fast the last jobs of ``task`` with ``model`` were, or the default if there are none.

    :param device: jobs on such a device are preferred: ``cpu`` or ``cuda``; empty for any.
    :param parameters: of the task, which the rate is for; None takes the usual ones.
    """
    entry = entry_of(task)
    work = entry.work_of(parameters)
    job: Any = CalculationFactory(entry.entry_point)
    query = orm.QueryBuilder()
    query.append(orm.Node, filters={"id": model.pk}, tag="model")
    query.append(job, with_incoming="model", filters={"attributes.exit_status": 0}, tag="job")
    query.append(StructureSetData, with_incoming="job", edge_filters={"label": "results"}, tag="results")
    query.append(orm.Dict, with_incoming="job", edge_filters={"label": "summary"}, tag="summary")
    query.append(orm.Computer, with_node="job", tag="computer")
    query.append(orm.Dict, with_outgoing="job", edge_filters={"label": "parameters"}, tag="parameters")
    query.add_projection("results", ["attributes.n_atoms"])
    query.add_projection("summary", ["attributes"])
    query.add_projection("computer", ["label"])
    query.add_projection("parameters", ["attributes"])
    query.order_by({"job": {"ctime": "desc"}}).limit(PAST_JOBS)
    found = [one for one in query.all() if one[0] and one[1].get("compute_s")]
    if not found:
        return _default_rate(task, model, work)
    found = [one for one in found if device and _kind_of(one[1].get("device")) == _kind_of(device)] or found
    starts = [summary.get("engine_s", 0.0) - summary["compute_s"] for _, summary, _, _ in found]
    atoms = sum(n_atoms * entry.work_of(given) for n_atoms, _, _, given in found)
    return Rate(
        s_per_atom=work * sum(summary["compute_s"] for _, summary, _, _ in found) / atoms,
        start_s=max(0.0, sorted(starts)[len(starts) // 2]),
        memory_mb=max(summary.get("memory_mb") or 0.0 for _, summary, _, _ in found),
        jobs=len(found),
        device=str(found[0][1].get("device") or ""),
        computer=found[0][2],
    )


def _kind_of(device: str | None) -> str:
    """Return ``cpu`` or ``cuda``; empty for what is not known."""
    return (device or "").partition(":")[0]


def _default_rate(task: Task, model: PetModelData, work: float) -> Rate:
    parameters = model.base.attributes.get("n_parameters", None) or DEFAULT_PARAMETERS
    scale = max(1.0, parameters / DEFAULT_PARAMETERS)
    s_per_atom = entry_of(task).seconds_per_atom * scale * work
    return Rate(s_per_atom, DEFAULT_START_S, DEFAULT_MEMORY_MB, scale=scale)
