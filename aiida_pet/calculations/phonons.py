"""Phonons of a batch of crystals from finite displacements, relaxation included."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class PhononCalculation(PetCalculation):
    """Force constants and what follows from them for a batch of crystals in one job."""

    TASK = Task.PHONONS
