"""The trajectories of a launch, which its jobs hold one after another."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_pet.data.trajectories import TrajectoriesData


def trajectories_of(launch: Any) -> list[TrajectoriesData]:
    """Return the trajectories of the jobs of ``launch``, a job or a WorkChain, in the order in which the jobs began.

    :func:`aiida_pet.data.trajectories.opened` reads them as one.
    """
    jobs = [node for node in (launch, *launch.called_descendants) if isinstance(node, orm.CalcJobNode)]
    found = []
    for job in sorted(jobs, key=lambda node: (node.ctime, node.pk)):
        outputs = job.base.links.get_outgoing(link_label_filter="trajectories").all_nodes()
        found += [node for node in outputs if isinstance(node, TrajectoriesData)]
    return found
