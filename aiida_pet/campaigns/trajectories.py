"""The trajectories of a launch, which its jobs hold one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_pet.campaigns.errors import NoTrajectoriesError
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.data.trajectories import TrajectoriesData, opened
from aiida_pet.job.trajectory_files import Trajectories
from aiida_pet.workchains.taking_up import RESUMES


def trajectories_of(launch: Any) -> list[TrajectoriesData]:
    """Return the trajectories of the jobs of ``launch``, a job or a WorkChain, in the order in which the jobs began.

    Those of a launch that it took up come first: rows that were done there are not done again.
    :func:`aiida_pet.data.trajectories.opened` reads them as one.
    """
    jobs = [node for node in (launch, *launch.called_descendants) if isinstance(node, orm.CalcJobNode)]
    found = _taken_up_by(launch)
    for job in sorted(jobs, key=lambda node: (node.ctime, node.pk)):
        outputs = job.base.links.get_outgoing(link_label_filter="trajectories").all_nodes()
        found += [node for node in outputs if isinstance(node, TrajectoriesData)]
    return found


@contextmanager
def open_trajectories(named: Named) -> Iterator[Trajectories]:
    """Open the trajectories of a launch, of a job, or of a single node.

    :param named: by pk, uuid, label or as a node.
    :raises NoTrajectoriesError: if there are none.
    """
    node = load(named, orm.ProcessNode, TrajectoriesData)
    nodes = [node] if isinstance(node, TrajectoriesData) else trajectories_of(node)
    if not nodes:
        raise NoTrajectoriesError(node.pk)
    with opened(nodes) as trajectories:
        yield trajectories


def _taken_up_by(launch: Any) -> list[TrajectoriesData]:
    uuid = (launch.base.attributes.get("metadata_inputs", None) or {}).get(RESUMES)
    if uuid is None:
        return []
    try:
        return trajectories_of(orm.load_node(uuid=uuid))
    except NotExistent:  # deleted, or left out of an archive
        return []
