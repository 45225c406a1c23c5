"""Molecular dynamics of a batch of crystals."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class DynamicsCalculation(PetCalculation):
    """Paths of a batch of crystals in one job."""

    TASK = Task.MD
