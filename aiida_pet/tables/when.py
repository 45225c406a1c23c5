"""When a column exists: conditions on the parameters of a task, an object with one attribute per parameter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def averaged(parameters: Any) -> bool:
    """Return whether the model is averaged over rotations."""
    return getattr(parameters, "averaging", "none") != "none"


def direct_forces(parameters: Any) -> bool:
    """Return whether forces come from the direct head."""
    return getattr(parameters, "forces", "") == "direct"


def pressed(parameters: Any) -> bool:
    """Return whether the row is relaxed under pressure."""
    return bool(getattr(parameters, "pressure", 0.0)) and relaxes(parameters)


def relaxes(parameters: Any) -> bool:
    """Return whether the row is relaxed (first)."""
    return bool(getattr(parameters, "relax_first", True))


def has_groups(parameters: Any) -> bool:
    """Return whether space groups are reported."""
    return bool(getattr(parameters, "symprecs", ()))


def groups_of_a_relaxation(parameters: Any) -> bool:
    """Return whether space groups before and after are reported."""
    return has_groups(parameters) and relaxes(parameters)


def output(name: str) -> Callable[[Any], bool]:
    """Return the condition that the further output ``name`` is asked for."""
    return lambda parameters: name in getattr(parameters, "outputs", ())


def checked(parameters: Any) -> bool:
    """Return whether a second supercell is computed."""
    return getattr(parameters, "supercell_check", None) is not None


def stores_modes(parameters: Any) -> bool:
    """Return whether what is known of each mode is stored."""
    return bool(getattr(parameters, "modes", False))
