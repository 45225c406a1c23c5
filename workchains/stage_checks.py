"""What is wrong with the options of the stages of a screening, beside conditions and parameters of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_pet.names import RelaxMode


def check_relax(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the options of stage relax, None if nothing is."""
    mode = options.get("mode", RelaxMode.FREE)
    if mode not in list(RelaxMode):
        return f"mode = {mode!r}: expected one of {', '.join(RelaxMode)}"
    for name, unit in (("rattle", "A"), ("min_gain", "eV/atom")):
        value = options.get(name, 0.0)
        if not _is_number(value) or value < 0:
            return f"{name} = {value!r} {unit}: expected a number that is not negative"
    seed = options.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        return f"seed = {seed!r}: expected a whole number that is not negative"
    return None


def check_symmetry(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the options of stage symmetry, None if nothing is."""
    symprec = options.get("symprec", 0.01)
    return None if _is_number(symprec) and 0 < symprec < 10 else f"symprec = {symprec!r} A: expected 0 to 10"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
