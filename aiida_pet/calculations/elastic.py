"""Elastic constants of a batch of crystals from stresses of strained cells, relaxation included."""

from __future__ import annotations

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.job.tasks import Task


class ElasticCalculation(PetCalculation):
    """Elastic tensors and moduli of a batch of crystals in one job."""

    TASK = Task.ELASTIC
    CACHE_VERSION = PetCalculation.CACHE_VERSION + 1  # the residual is that of the odd part of the stress
