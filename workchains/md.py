"""Molecular dynamics of a set of crystals or a single one."""

from __future__ import annotations

from aiida_pet.job.tasks import Task
from aiida_pet.workchains.crystals import CrystalsWorkChain


class DynamicsWorkChain(CrystalsWorkChain):
    """Paths of ``structures``, or of a single ``structure``."""

    TASK = Task.MD
