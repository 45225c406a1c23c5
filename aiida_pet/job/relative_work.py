"""How much more or less a task computes with some parameters than with its usual ones, for estimates of time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_pet.job.choices import Ions, Optimizer
from aiida_pet.job.dynamics_parameters import DynamicsParameters
from aiida_pet.job.phonon_parameters import PhononParameters

FIRE = 3.0  # time of elastic constants with FIRE over that with L-BFGS (docs/performance.md, Optimisers)
CLAMPED = 0.2  # the same with clamped ions, over relaxed ones


def of_strained_crystals(parameters: Mapping[str, Any]) -> float:
    """Return the work of elastic constants: most of it is the relaxation of ions in strained crystals, by L-BFGS."""
    if parameters.get("ions") == Ions.CLAMPED:
        return CLAMPED
    return 1.0 if parameters.get("optimizer") == Optimizer.LBFGS else FIRE


def of_supercells(parameters: Mapping[str, Any]) -> float:
    """Return the work of phonons: the atoms of a supercell go with the cube of ``min_image``; a given one is usual."""
    if parameters.get("supercell") is not None:
        return 1.0
    usual = float(PhononParameters.model_fields["min_image"].default)
    return float((parameters.get("min_image", usual) / usual) ** 3)


def of_steps(parameters: Mapping[str, Any]) -> float:
    """Return the work of dynamics, which goes with their steps."""
    usual = DynamicsParameters()
    names = ("heating_steps", "equilibration_steps", "steps")
    steps = sum(int(parameters.get(name, getattr(usual, name))) for name in names)
    return steps / sum(int(getattr(usual, name)) for name in names)
