"""Relaxation of a batch of crystals, cells included."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class RelaxCalculation(PetCalculation):
    """Relaxation of a batch of crystals in one job."""

    TASK = Task.RELAX
