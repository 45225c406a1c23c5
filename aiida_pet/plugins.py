"""What other packages add to this one: the objects behind their entry points, loaded once per process.

An installed package adds a task with an entry point of the group ``aiida_pet.tasks``, and a stage of the screening with
one of ``aiida_pet.stages``. The engine reads the same entry points as the plugin, so a package that adds a task is
installed in both environments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)

TASKS = "aiida_pet.tasks"
STAGES = "aiida_pet.stages"

_caches: list[Callable[[], None]] = []


def remembered[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a ``function`` whose results depend on installed packages: they are kept until :func:`forget`."""
    kept = cache(function)
    _caches.append(kept.cache_clear)
    return kept  # type: ignore[return-value]


def forget() -> None:
    """Read the entry points anew when they are asked for next, for tests that install a package."""
    for clear in _caches:
        clear()


@remembered
def installed(group: str) -> tuple[Any, ...]:
    """Return the objects behind the entry points of ``group``, by the names of the entry points.

    One that cannot be loaded is left out with a warning, since the work of all others does not depend on it.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415  # `--help` must not wait for it

    found = []
    for point in sorted(entry_points(group=group), key=lambda one: one.name):
        try:
            found.append(point.load())
        except Exception as error:
            package = point.dist.name if point.dist else "an installed package"
            logger.warning(
                "%s cannot be used: its entry point %s = %s of the group %s fails with %s: %s",
                *(package, point.name, point.value, group, type(error).__name__, error),
            )
    return tuple(found)


def load(place: str) -> Any:
    """Return the object at ``place``, which is written ``module:name``.

    :raises ImportError: if there is no such module, or no such name in it.
    """
    from importlib import import_module  # noqa: PLC0415

    module, _, name = place.partition(":")
    try:
        return getattr(import_module(module), name)
    except AttributeError as error:
        raise ImportError(f"{module} has no {name!r}, which {place!r} refers to") from error
