"""Finds nodes by a pk that somebody typed, which may be too large for the database."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common.exceptions import NotExistent

LARGEST_PK = 2**31 - 1
"""PostgreSQL and SQLite answer a larger one with an error of their own."""


def checked_pk(pk: int | str) -> int:
    """Return a pk as a whole number that the database can look for.

    :raises NotExistent: if no node can have it.
    """
    if not 0 < int(pk) <= LARGEST_PK:
        raise NotExistent(f"no node has the pk {pk}")
    return int(pk)


def node_with_pk(pk: int | str) -> Any:
    """Return the node with this pk.

    :raises NotExistent: if there is none.
    """
    return orm.load_node(pk=checked_pk(pk))
