"""The steps of a set-up: what was looked after, and whether it was there."""

from __future__ import annotations

from dataclasses import dataclass

CREATED = "created"
PRESENT = "present"
SKIPPED = "skipped"
CHANGED = "changed"


@dataclass(frozen=True)
class Step:
    """One thing that the set-up looked after.

    :ivar what: profile, computer, code, model or daemon.
    :ivar state: ``created``, ``changed``, ``present`` or ``skipped``.
    :ivar name: name of the thing.
    :ivar detail: where it is or what it is.
    :ivar pk: pk of the node or computer, None for a thing that has none.
    :ivar problem: what is wrong with it and the remedy, empty if nothing is.
    """

    what: str
    state: str
    name: str
    detail: str = ""
    pk: int | None = None
    problem: str = ""
