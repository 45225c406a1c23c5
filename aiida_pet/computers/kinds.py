"""Names that the plugin and the command line share: schedulers, transports, and what the set-up calls what it makes.

Imports nothing heavy, so that `--help` can list them at once.
"""

from __future__ import annotations

from enum import StrEnum

PROFILE = "pet"
COMPUTER = "localhost"
CODE = "pet-engine"
ENGINE_HERE = f"{CODE}@{COMPUTER}"
"""The code of this machine."""


class SchedulerName(StrEnum):
    """What people call the schedulers."""

    SLURM = "slurm"
    PBSPRO = "pbspro"
    LSF = "lsf"
    SGE = "sge"
    DIRECT = "direct"


class TransportName(StrEnum):
    """What people call the ways to a computer."""

    LOCAL = "local"
    SSH_ASYNC = "ssh_async"


class GpuSyntax(StrEnum):
    """How a SLURM cluster wants its GPUs asked for; other schedulers have one way only."""

    GRES = "gres"  # --gres=gpu:a100:1
    GPUS_PER_NODE = "gpus-per-node"  # --gpus-per-node=a100:1
    GPUS = "gpus"  # --gpus=a100:1
