"""Energy, forces, stress and space groups of a batch of crystals as they are."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class StaticCalculation(PetCalculation):
    """Energies, forces and stresses of a batch of crystals in one job."""

    TASK = Task.STATIC
