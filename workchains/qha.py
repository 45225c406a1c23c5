"""Quasi-harmonic properties of a set of crystals or a single one, relaxation included."""

from __future__ import annotations

from aiida_pet.job.tasks import Task
from aiida_pet.workchains.crystals import CrystalsWorkChain


class QhaWorkChain(CrystalsWorkChain):
    """Quasi-harmonic properties of ``structures``, or of a single ``structure``."""

    TASK = Task.QHA
