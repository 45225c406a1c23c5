"""Equations of state of a set of crystals or a single one, relaxation included."""

from __future__ import annotations

from aiida_pet.job.tasks import Task
from aiida_pet.workchains.crystals import CrystalsWorkChain


class EosWorkChain(CrystalsWorkChain):
    """Equations of state of ``structures``, or of a single ``structure``."""

    TASK = Task.EOS
