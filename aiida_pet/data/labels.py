"""Labels of nodes: the label that AiiDA keeps, and further labels that a set got when it was imported again."""

from __future__ import annotations

from aiida import orm

FURTHER = "further_labels"
"""Extra of a node: the labels beside its own, oldest first."""


def labels_of(node: orm.Node) -> list[str]:
    """Return all labels of ``node``, its own first."""
    further: list[str] = node.base.extras.get(FURTHER, None) or []
    return [*([node.label] if node.label else []), *further]


def add_label(node: orm.Node, label: str) -> None:
    """Give a stored node ``label``: as its own if it has none, else as a further one."""
    if not label or label in labels_of(node):
        return
    if not node.label:
        node.label = label
    else:
        node.base.extras.set(FURTHER, [*labels_of(node)[1:], label])


def set_label(node: orm.Node, label: str) -> None:
    """Give a stored node ``label`` in place of the labels that it has."""
    node.label = label
    if node.base.extras.get(FURTHER, None):
        node.base.extras.delete(FURTHER)


def all_labels(most: int = 5000) -> list[str]:
    """Return the labels of data and of launches, for a hint at the one that was meant.

    :param most: number of nodes that are looked at, the newest ones.
    """
    query = orm.QueryBuilder()
    query.append((orm.Data, orm.WorkChainNode), filters={"label": {"!==": ""}}, project=["label"], tag="node")
    query.order_by({"node": {"id": "desc"}}).limit(most)
    return [label for label in dict.fromkeys(query.all(flat=True)) if not label.startswith("lane ")]


def labelled(label: str) -> list[int]:
    """Return the pks of the nodes with ``label``, the newest first."""
    query = orm.QueryBuilder().append(orm.Node, filters={"label": label}, project="id")
    found = set(query.all(flat=True))
    query = orm.QueryBuilder()
    query.append(orm.Node, filters={"extras": {"has_key": FURTHER}}, project=["id", f"extras.{FURTHER}"])
    found |= {pk for pk, further in query.all() if label in (further or ())}
    return sorted(found, reverse=True)
