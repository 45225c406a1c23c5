"""How a launch, a set or a table is named: by its pk, its uuid or the beginning of it, its label; or it is at hand.

``last`` is the newest launch. A label that several nodes have stands for the newest of them, which is said.
"""

from __future__ import annotations

import logging
from typing import Any

from aiida import orm
from aiida.common import exceptions
from aiida.manage import get_manager

from aiida_pet.campaigns.errors import NoSuchNodeError, WrongNodeError
from aiida_pet.data.labels import all_labels, labelled
from aiida_pet.data.pks import node_with_pk
from aiida_pet.words import did_you_mean

LOGGER = logging.getLogger(__name__)
LAST = "last"
"""Name of the newest launch."""

type Named = int | str | orm.Node
"""A pk (12 or ``"12"``), a uuid or its beginning, a label, or the node itself."""


def load(named: Named, *classes: type) -> Any:
    """Return the node that ``named`` names.

    A label goes before the beginning of a uuid, which a short word such as ``fe`` may happen to be. If several nodes
    have it, the newest of ``classes`` is taken, and a warning is logged.

    :param classes: classes to one of which the node must belong; any class if none is given.
    :raises NoSuchNodeError: if there is no such node, or several.
    :raises WrongNodeError: if it is of another class.
    """
    node = named if isinstance(named, orm.Node) else _find(str(named), classes)
    if classes and not isinstance(node, classes):
        shown = f"<{node.pk}>" if isinstance(named, orm.Node) else named
        raise WrongNodeError(node, shown, [one.__name__ for one in classes])
    return node


def _find(name: str, classes: tuple[type, ...]) -> Any:
    try:
        if name == LAST:
            return last_launch()
        if name.isdecimal():
            return node_with_pk(name)
        return _labelled(name, classes) or orm.load_node(uuid=name)
    except exceptions.MultipleObjectsError as error:
        raise NoSuchNodeError(f"several nodes have a uuid that begins with {name!r}") from error
    except (exceptions.NotExistent, ValueError) as error:
        profile = get_manager().get_profile()
        where = profile.name if profile else "?"
        hint = "" if name.isdecimal() else did_you_mean(name, all_labels())
        raise NoSuchNodeError(
            f"no node with pk, label or uuid {name!r} in profile {where!r}{hint}"
        ) from error


def _labelled(label: str, classes: tuple[type, ...]) -> orm.Node | None:
    """Return the newest node with this label, of ``classes`` if one is; None if there is none."""
    found = labelled(label)
    if len(found) > 1:
        nodes = [orm.load_node(pk=pk) for pk in found]
        fitting = [node for node in nodes if not classes or isinstance(node, classes)] or nodes
        if len(fitting) > 1:
            others = ", ".join(str(node.pk) for node in fitting[1:])
            LOGGER.warning(
                "%s nodes have the label %r: the newest, <%s>, is taken; the others are %s",
                len(fitting), label, fitting[0].pk, others,
            )  # fmt: skip
        return fitting[0]
    return orm.load_node(pk=found[0]) if found else None


def last_launch() -> orm.ProcessNode:
    """Return the newest launch.

    :raises NoSuchNodeError: if there is none.
    """
    from aiida_pet.campaigns.launches import top_launches  # noqa: PLC0415 - launches load tables

    found = top_launches(1)
    if not found:
        raise NoSuchNodeError("`last` names the newest launch, but nothing was launched yet in this profile")
    return found[0]
