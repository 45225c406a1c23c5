"""Forces of displaced supercells for thermal conductivities of a batch of crystals, relaxation included."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class ConductivityCalculation(PetCalculation):
    """Forces of second and third order for a batch of crystals in one job; `pet.transport` makes conductivities."""

    TASK = Task.CONDUCTIVITY
