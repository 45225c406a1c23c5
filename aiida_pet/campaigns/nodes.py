"""How a launch, a set or a table is named: by its pk, its uuid or the beginning of it, its label; or it is at hand."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import exceptions
from aiida.manage import get_manager

from aiida_pet.campaigns.errors import NoSuchNodeError, WrongNodeError

type Named = int | str | orm.Node
"""A pk (12 or ``"12"``), a uuid or its beginning, a label, or the node itself."""


def load(named: Named, *classes: type) -> Any:
    """Return the node that ``named`` names.

    A label goes before the beginning of a uuid, which a short word such as ``fe`` may happen to be.

    :param classes: the node must be of one of these; of any class if none is given.
    :raises NoSuchNodeError: if there is no such node, or several.
    :raises WrongNodeError: if it is of another class.
    """
    node = named if isinstance(named, orm.Node) else _find(str(named))
    if classes and not isinstance(node, classes):
        shown = f"<{node.pk}>" if isinstance(named, orm.Node) else named
        raise WrongNodeError(node, shown, [one.__name__ for one in classes])
    return node


def _find(name: str) -> Any:
    try:
        if name.isdecimal():
            return orm.load_node(pk=int(name))
        return _labelled(name) or orm.load_node(uuid=name)
    except exceptions.MultipleObjectsError as error:
        raise NoSuchNodeError(f"several nodes have a uuid that begins with {name!r}") from error
    except (exceptions.NotExistent, ValueError) as error:
        profile = get_manager().get_profile()
        where = profile.name if profile else "?"
        raise NoSuchNodeError(f"no node with pk, label or uuid {name!r} in profile {where!r}") from error


def _labelled(label: str) -> orm.Node | None:
    """Return the node with this label, None if there is none.

    :raises NoSuchNodeError: if there are several.
    """
    query = orm.QueryBuilder().append(orm.Node, filters={"label": label}, project="*", tag="node")
    found = query.order_by({"node": {"id": "desc"}}).limit(6).all(flat=True)
    if len(found) > 1:
        pks = ", ".join(str(node.pk) for node in found)
        raise NoSuchNodeError(f"several nodes have the label {label!r}: name one by its pk ({pks})")
    return found[0] if found else None
