"""Elastic constants of a set of crystals or a single one, relaxation included."""

from __future__ import annotations

from aiida_pet.job.tasks import Task
from aiida_pet.workchains.crystals import CrystalsWorkChain


class ElasticWorkChain(CrystalsWorkChain):
    """Elastic tensors and moduli of ``structures``, or of a single ``structure``."""

    TASK = Task.ELASTIC
