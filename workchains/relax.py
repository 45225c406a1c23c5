"""Relaxation of a set of crystals or a single one."""

from __future__ import annotations

from aiida_pet.job.tasks import Task
from aiida_pet.workchains.crystals import CrystalsWorkChain


class RelaxWorkChain(CrystalsWorkChain):
    """Relax ``structures``, or a single ``structure``."""

    TASK = Task.RELAX
