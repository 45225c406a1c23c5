"""Quasi-harmonic properties of a batch of crystals, relaxation included."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class QhaCalculation(PetCalculation):
    """Quasi-harmonic properties of a batch of crystals in one job."""

    TASK = Task.QHA
