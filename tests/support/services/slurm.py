"""A SLURM cluster of one node whose two GPUs are played by device files: scheduled and counted as real ones."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from support.services.programs import (
    Program,
    find_program,
    free_ports,
    require_root,
    service_folder,
    wait_until,
)

N_GPUS = 2
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")

_CONFIGURATION = """\
ClusterName=pet
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
ReturnToService=1
KillWait=5
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
AccountingStorageType=accounting_storage/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={gpus} RealMemory=2000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
_GPUS = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


@dataclass(frozen=True)
class FinishedJob:
    """What SLURM itself wrote down of a job that ended.

    :ivar job_id: SLURM's.
    :ivar state: COMPLETED, CANCELLED, TIMEOUT, NODE_FAIL, ...
    :ivar start: when it began.
    :ivar end: when it ended.
    """

    job_id: int
    state: str
    start: datetime
    end: datetime


class Slurm:
    """The daemons of a cluster of one node in ``folder``; :func:`slurm_cluster` starts and stops one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        programs = {name: find_program(name) for name in _PROGRAMS}
        self._write_configuration()
        everything = os.environ | self.environment
        self._munge = Program(
            [
                programs["munged"],
                "--foreground",
                "--force",
                f"--key-file={folder / 'munge.key'}",
                f"--socket={folder / 'munge.socket'}",
                f"--pid-file={folder / 'munged.pid'}",
                f"--seed-file={folder / 'munge.seed'}",
                f"--log-file={folder / 'munged.log'}",
            ],
            folder / "munged.out",
        )
        self.controller = Program([programs["slurmctld"], "-D"], folder / "slurmctld.out", everything)
        self.node = Program([programs["slurmd"], "-D", "-N", self.host], folder / "slurmd.out", everything)

    def _write_configuration(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        controller_port, node_port = free_ports(2)
        text = _CONFIGURATION.format(
            host=self.host,
            folder=self.folder,
            controller_port=controller_port,
            node_port=node_port,
            gpus=N_GPUS,
        )
        (self.folder / "slurm.conf").write_text(text)
        (self.folder / "gres.conf").write_text(_GPUS)

    def start(self) -> None:
        """Start all daemons and return when the node takes jobs."""
        self._munge.start((self.folder / "munge.socket").exists)
        self.start_controller()
        self.node.start(lambda: self.node_state() == "idle")

    def start_controller(self) -> None:
        """Start ``slurmctld``, which takes up the state that it left."""
        self.controller.start(lambda: self._succeeds("scontrol", "ping"))

    def stop(self) -> None:
        """Cancel all jobs and stop all daemons."""
        if self._succeeds("scontrol", "ping"):
            self.cancel_all()
        for program in (self.node, self.controller, self._munge):
            program.stop()

    def cancel_all(self) -> None:
        """Cancel all jobs and return when none is left."""
        self.command("scancel", "--user=root")
        wait_until(lambda: not self.queued(), "jobs do not end", 30)

    def node_state(self) -> str:
        """Return the state of the node, as ``sinfo`` has it: idle, mixed, allocated, down, ..."""
        state = self.command("sinfo", "--noheader", "--format=%T", check=False).strip()
        return state.rstrip("*")

    def set_node(self, state: str, reason: str = "test") -> None:
        """Set the node down, or let it resume."""
        self.command("scontrol", "update", f"nodename={self.host}", f"state={state}", f"reason={reason}")

    def queued(self) -> list[int]:
        """Return the ids of the jobs that run or wait."""
        return [int(job) for job in self.command("squeue", "--noheader", "--format=%A").split()]

    def running(self) -> list[int]:
        """Return the ids of the jobs that run."""
        return [int(job) for job in self.command("squeue", "--noheader", "--states=R", "--format=%A").split()]

    def finished(self) -> list[FinishedJob]:
        """Return what SLURM wrote down of the jobs that ended, in order of their end."""
        log = self.folder / "jobs.txt"
        jobs = []
        for line in log.read_text().splitlines() if log.exists() else []:
            fields = dict(pair.split("=", 1) for pair in line.split() if "=" in pair)
            start, end = (datetime.fromisoformat(fields[name]) for name in ("StartTime", "EndTime"))
            jobs.append(FinishedJob(int(fields["JobId"]), fields["JobState"], start, end))
        return jobs

    def command(self, *words: str, check: bool = True) -> str:
        """Run one of SLURM's commands and return what it prints."""
        done = subprocess.run(
            words,
            env=os.environ | self.environment,
            check=check,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def _succeeds(self, *words: str) -> bool:
        done = subprocess.run(words, env=os.environ | self.environment, check=False, capture_output=True)
        return done.returncode == 0


@contextmanager
def slurm_cluster() -> Iterator[Slurm]:
    """Give a cluster that takes jobs, and stop it.

    :raises ServiceMissingError: if SLURM is not installed, or this is not root.
    """
    require_root()
    with service_folder("slurm") as folder:
        cluster = Slurm(folder)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
