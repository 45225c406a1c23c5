"""Outputs of a model that a task needs: energy, direct heads, and their variants such as ``energy/r2scan``.

Free of torch, so that a launch can tell beforehand.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from aiida_pet.job.choices import Derivation

ENERGY = "energy"
DIRECT_FORCES = (
    "non_conservative_force",
    "non_conservative_forces",
)  # today's name, and that of older models
DIRECT_STRESS = ("non_conservative_stress",)


def why_no_answer(parameters: Mapping[str, Any], outputs: Collection[str]) -> str | None:
    """Return which output the parameters of a task need that a model lacks, with the remedy; None if none.

    :param outputs: names of the outputs of the model.

    >>> why_no_answer({"variant": None}, ["energy/r2"])
    "the model has no output 'energy', but energy/r2: set variant=r2"
    """
    variant = parameters.get("variant")
    needed: list[tuple[str, ...]] = [(ENERGY,)]
    for name, bases in (("forces", DIRECT_FORCES), ("stress", DIRECT_STRESS)):
        if parameters.get(name) == Derivation.DIRECT:
            needed.append(bases)
    for alternatives in needed:
        wanted = [base if variant is None else f"{base}/{variant}" for base in alternatives]
        if not any(name in outputs for name in wanted):
            return lacks(wanted[0], outputs)
    return None


def lacks(wanted: str, outputs: Collection[str]) -> str:
    """Return that a model with ``outputs`` lacks the output ``wanted``, and what to set instead."""
    base = wanted.partition("/")[0]
    energies = sorted(name for name in outputs if name.partition("/")[0] == ENERGY)
    told = f"the model has no output {wanted!r}, but {', '.join(sorted(outputs))}"
    if base == ENERGY:
        found = [name.partition("/")[2] for name in energies]
        remedies = [f"variant={name}" if name else "variant=null" for name in found]
        return f"{told}: " + (f"set {' or '.join(remedies)}" if remedies else "use another model")
    option = "stress" if base in DIRECT_STRESS else "forces"
    others = [name.partition("/")[2] or "null" for name in sorted(outputs) if name.partition("/")[0] == base]
    remedy = f" (or variant={' or variant='.join(others)})" if others else ""
    return f"{told}: set {option}=conservative{remedy}, or use another model"
