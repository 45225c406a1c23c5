"""Launches, sets and tables are deleted with what was made of them, by AiiDA's rules of provenance."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiida import orm
from aiida.tools.graph.deletions import delete_nodes

from aiida_pet.campaigns.errors import CampaignError
from aiida_pet.campaigns.nodes import Named, load


class StillRunningError(CampaignError):
    """Raised if a process that would be deleted has not ended."""


class ChangedError(CampaignError):
    """Raised if what would be deleted is no longer what was asked about."""


@dataclass(frozen=True)
class Going:
    """What goes if some nodes are deleted.

    :ivar pks: pks of all nodes.
    :ivar kinds: name of a process or type of node -> how many there are, the most frequent first.
    """

    pks: frozenset[int]
    kinds: dict[str, int]


def going_with(named: Iterable[Named]) -> Going:
    """Return what would be deleted with these nodes: a launch takes its jobs and results along.

    :raises NoSuchNodeError: if one of them is not there.
    :raises StillRunningError: if a process that would be deleted has not ended.
    """
    starting = {load(one).pk for one in named}
    with _quiet():
        pks, _ = delete_nodes(starting, dry_run=True, call_calc_forward=True, call_work_forward=True)
    query = orm.QueryBuilder().append(orm.Node, filters={"id": {"in": list(pks)}}, project="*")
    kinds: Counter[str] = Counter()
    for (node,) in query.iterall():
        if isinstance(node, orm.ProcessNode):
            if not node.is_terminated:
                raise StillRunningError(
                    f"<{node.pk}> {node.process_label} has not ended: `aiida-pet stop {node.pk}` stops it"
                )
            kinds[node.process_label or type(node).__name__] += 1
        else:
            kinds[type(node).__name__] += 1
    return Going(frozenset(pks), dict(kinds.most_common()))


def delete(going: Going) -> None:
    """Delete what :func:`going_with` found, and nothing else.

    :raises ChangedError: if something was made of these nodes in the meantime; nothing is deleted then.
    """
    with _quiet():
        _, deleted = delete_nodes(
            going.pks,
            dry_run=lambda pks: set(pks) != set(going.pks),
            call_calc_forward=True,
            call_work_forward=True,
        )
    if not deleted:
        raise ChangedError(
            "new nodes were made from these nodes in the meantime, so nothing was deleted: try again"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep AiiDA from saying again, in lines of a log, what goes."""
    logger = logging.getLogger("aiida.delete")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
