"""How much more or less a task computes with some parameters than with its usual ones, for estimates of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_pet.job.dynamics_parameters import DynamicsParameters
from aiida_pet.job.parameters import PhononParameters, StaticParameters


def of_supercells(parameters: Mapping[str, Any]) -> float:
    """Return it for phonons: supercells have atoms as the cube of ``min_image``; one that is given counts as usual."""
    if parameters.get("supercell") is not None:
        return 1.0
    return float(_of("min_image", parameters, PhononParameters) ** 3)


def of_steps(parameters: Mapping[str, Any]) -> float:
    """Return it for dynamics: their work goes with their steps."""
    usual, asked = DynamicsParameters(), dict(parameters)
    names = ("heating_steps", "equilibration_steps", "steps")
    steps = sum(int(asked.get(name, getattr(usual, name))) for name in names)
    return steps / sum(int(getattr(usual, name)) for name in names)


def _of(name: str, parameters: Mapping[str, Any], schema: type[StaticParameters]) -> float:
    """Return a parameter over its default."""
    default = schema.model_fields[name].default
    return float(parameters.get(name, default)) / float(default)
