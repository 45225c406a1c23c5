"""A group per campaign: the launch, those that took it up, and their results, under one name.

``verdi group show "aiida-pet/NAME"`` lists them, ``verdi archive create --groups "aiida-pet/NAME"`` takes them
elsewhere, and a query is narrowed to one campaign by its group. The command line opens a group with each launch; the
launch puts its results there when it ends.
"""

from __future__ import annotations

import logging
from typing import Any

from aiida import orm

logger = logging.getLogger(__name__)

PREFIX = "aiida-pet/"
_LONGEST = 200  # of a label; the database has room for 255 characters
_RESULTS = ("results", "structure", "followed_structures")


def group_of(node: orm.ProcessNode) -> orm.Group | None:
    """Return the group of the campaign that ``node`` is of, None if it has none."""
    query = orm.QueryBuilder()
    query.append(orm.ProcessNode, filters={"id": node.pk}, tag="launch")
    query.append(orm.Group, with_node="launch", filters={"label": {"like": f"{PREFIX}%"}}, project="*")
    query.order_by({orm.Group: {"id": "asc"}})
    found: orm.Group | None = query.first(flat=True)
    return found


def open_group(node: orm.ProcessNode, what: str, resumed: orm.ProcessNode | None = None) -> orm.Group:
    """Put a launch into the group of its campaign, which is made unless it takes up one that has a group.

    :param what: was launched, in a word; the group of a launch without a label is called after it and the pk.
    :param resumed: the launch that it takes up.
    """
    group = group_of(resumed) if resumed is not None else None
    if group is None:
        first = resumed or node
        label = f"{PREFIX}{node.label or what}"[:_LONGEST]
        if not node.label or orm.QueryBuilder().append(orm.Group, filters={"label": label}).count():
            label = f"{label} {first.pk}"
        group, _ = orm.Group.collection.get_or_create(label=label, description=node.description)
    for one in (resumed, node):
        if one is not None:
            group.add_nodes([one, *_results_of(one)])
    return group


def put_results_into_group(node: Any) -> None:
    """Put what a launch made into the group of its campaign, if it has one; what is called by another has none.

    It never raises: a name is not worth a campaign.
    """
    try:
        if node.caller is None and (group := group_of(node)) is not None:
            group.add_nodes(_results_of(node))
    except Exception:
        logger.warning("the results of <%s> could not be put into its group", node.pk, exc_info=True)


def _results_of(node: orm.ProcessNode) -> list[orm.Node]:
    return [node.outputs[name] for name in _RESULTS if name in node.outputs]
