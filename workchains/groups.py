"""A group per campaign: the launch, those that took it up, and their results, under one name.

``verdi group show "aiida-pet/NAME"`` lists them, ``verdi archive create --groups "aiida-pet/NAME"`` takes them
elsewhere, and a query is narrowed to one campaign by its group. A launch opens its group in its first step, whoever
submitted it, and puts its results there when it ends. What another process calls has no group of its own.
"""

from __future__ import annotations

import logging
from typing import Any

from aiida import orm
from aiida.common.exceptions import IntegrityError

from aiida_pet.workchains.taking_up import RESUMES

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


def join_campaign(process: Any) -> None:
    """Put ``process``, as it begins, into the group of its campaign; what is called by another has none.

    It never raises: a name is not worth a campaign.
    """
    node = process.node
    try:
        if node.caller is None:
            open_group(node, _launch(process.inputs.get(RESUMES)))
    except Exception:
        logger.warning("<%s> could not be put into the group of its campaign", node.pk, exc_info=True)


def open_group(node: orm.ProcessNode, resumed: orm.ProcessNode | None = None) -> orm.Group:
    """Put a launch into the group of its campaign, which is made unless there is one.

    The group has the label of the launch, with its pk where that label is taken; of a launch without a label it has
    the name of the WorkChain and the pk.

    :param resumed: the launch that it takes up, whose group it joins.
    """
    group = group_of(node) or (None if resumed is None else group_of(resumed)) or _new_group(resumed or node)
    for one in (resumed, node):
        if one is not None:
            group.add_nodes([one, *_results_of(one)])
    return group


def _new_group(first: orm.ProcessNode) -> orm.Group:
    """Return a group that is called after the launch ``first``."""
    task = str(first.process_label or "launch").removesuffix("WorkChain").lower()
    label = f"{PREFIX}{first.label or task}"[:_LONGEST]
    if first.label and not orm.QueryBuilder().append(orm.Group, filters={"label": label}).count():
        try:
            return orm.Group(label=label, description=first.description).store()
        except IntegrityError:  # another worker was faster
            pass
    return orm.Group(label=f"{label} {first.pk}", description=first.description).store()


def _launch(uuid: str | None) -> orm.ProcessNode | None:
    """Return the launch ``uuid``, None if it is not in this profile."""
    if uuid is None:
        return None
    found: orm.ProcessNode | None = (
        orm.QueryBuilder().append(orm.ProcessNode, filters={"uuid": uuid}, project="*").first(flat=True)
    )
    return found


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
