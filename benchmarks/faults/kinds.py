"""What can go wrong with a campaign over SLURM, each as a function that makes it go wrong once, now.

Each takes the :class:`Site` and returns in words what it hit. What was taken away for a while is back when it returns.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from aiida_pet.job.folder import MODEL_FILE, SHARD_GLOB
from benchmarks.harness import ROOT

sys.path.append(str(ROOT / "tests"))  # the services are the tests' own

from support.services.programs import wait_until

if TYPE_CHECKING:
    from support.services.postgres import Postgres
    from support.services.profile import Profile
    from support.services.slurm import Slurm

WORKERS = 1
AWAY_S = 15.0  # how long a service or the scratch is away
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Site:
    """What runs a campaign and can be broken.

    :ivar work_dir: of the computer: a small file system of its own.
    :ivar postgres: the database of the profile, None for SQLite.
    """

    slurm: Slurm
    profile: Profile
    work_dir: Path
    postgres: Postgres | None
    random: random.Random

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the processes of the profile whose command line has all ``words``, in that order."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                places = [line.find(word) for word in words]
                mine = str(self.profile.folder) in process.environ().get("AIIDA_PATH", "")
                if mine and min(places) >= 0 and places == sorted(places):
                    found.append(process)
        return found

    def engines(self) -> list[psutil.Process]:
        """Return the engines that run."""
        return [process for process in self.processes("python", "pet-engine") if process.is_running()]

    def job_folders(self) -> list[Path]:
        """Return the folders of jobs on the computer, oldest first."""
        return sorted(
            (path.parent for path in self.work_dir.rglob("job.json")), key=lambda path: path.stat().st_ctime
        )

    def folders_in_use(self) -> set[Path]:
        """Return the folders of the engines that run."""
        found = set()
        for process in self.engines():
            with contextlib.suppress(psutil.Error):
                found.add(Path(process.cwd()))
        return found


@dataclass(frozen=True)
class Fault:
    """One of the things that can go wrong.

    :ivar what: in words.
    :ivar inject: makes it happen, and returns what it hit.
    :ivar launch: options of the launch that it needs.
    :ivar minute: whether SLURM is told a walltime of a minute, which the engine is not.
    :ivar production: whether it needs a profile with PostgreSQL and RabbitMQ.
    """

    name: str
    what: str
    inject: Callable[[Site], str]
    launch: tuple[str, ...] = ()
    minute: bool = False
    production: bool = False


def kill_engine(site: Site) -> str:
    """Kill an engine with -9."""
    engine = _one(site, site.engines, "engine")
    engine.kill()
    return f"engine {engine.pid}"


def cancel_job(site: Site) -> str:
    """Cancel a running job."""
    job = _one(site, site.slurm.running, "running job")
    site.slurm.command("scancel", str(job))
    return f"job {job}"


def hang_until_walltime(site: Site) -> str:
    """Freeze an engine, so that SLURM ends its job at the walltime of a minute."""
    engine = _one(site, site.engines, "engine")
    engine.suspend()
    wait_until(lambda: not engine.is_running(), "SLURM lets the job live", 180)
    return f"engine {engine.pid}"


def walltime_told(site: Site) -> str:
    """Do nothing: the walltime is too short for the jobs, and the engine knows it."""
    return "every job"


def node_down(site: Site) -> str:
    """Set the node down for a while."""
    jobs = site.slurm.running()
    site.slurm.set_node("down")
    time.sleep(AWAY_S)
    site.slurm.set_node("resume")
    wait_until(lambda: site.slurm.node_state() != "down", "the node does not come back")
    return f"the node with {len(jobs)} jobs"


def restart_slurmctld(site: Site) -> str:
    """Kill slurmctld with -9 and start it again after a while."""
    site.slurm.controller.kill()
    time.sleep(AWAY_S)
    site.slurm.start_controller()
    return f"slurmctld, away for {AWAY_S:g} s"


def kill_worker(site: Site) -> str:
    """Kill a daemon worker with -9."""
    worker = _one(site, lambda: site.processes("verdi", "daemon worker"), "daemon worker")
    worker.kill()
    return f"worker {worker.pid}"


def restart_daemon(site: Site) -> str:
    """Stop the daemon, and start it again after a while."""
    site.profile.verdi("daemon", "stop")
    time.sleep(AWAY_S)
    site.profile.verdi("daemon", "start", str(WORKERS))
    return f"the daemon, away for {AWAY_S:g} s"


def kill_broker(site: Site) -> str:
    """Kill the ZeroMQ broker with -9."""
    brokers = site.processes("verdi", "daemon broker")
    for broker in brokers:
        broker.kill()
    return f"{len(brokers)} broker process"


def restart_postgres(site: Site) -> str:
    """Stop PostgreSQL, and start it again after a while."""
    if site.postgres is None:
        raise ValueError("this profile has no PostgreSQL")
    site.postgres.stop()
    time.sleep(AWAY_S)
    site.postgres.start()
    return f"PostgreSQL, away for {AWAY_S:g} s"


def purge_scratch(site: Site) -> str:
    """Remove everything on the scratch but the folders of running engines."""
    in_use = site.folders_in_use()
    old = [path for path in _model_folders(site) + site.job_folders() if path not in in_use]
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    return f"{len(old)} folders, the model's among them"


def corrupt_model(site: Site) -> str:
    """Overwrite the middle of the staged model; its size stays the same."""
    copies = [folder / MODEL_FILE for folder in _model_folders(site)]
    for copy in copies:
        with copy.open("r+b") as handle:
            handle.seek(copy.stat().st_size // 2)
            handle.write(b"\0" * 4096)
    return f"{len(copies)} copy of the model"


def truncate_shard(site: Site) -> str:
    """Cut a shard of a running job in half."""

    def shards() -> list[Path]:
        return [path for folder in site.folders_in_use() for path in folder.glob(SHARD_GLOB)]

    shard = _one(site, shards, "shard of a running job")
    os.truncate(shard, shard.stat().st_size // 2)
    return f"{shard.name} of a running job"


def fill_scratch(site: Site) -> str:
    """Fill the scratch to the last byte for a while."""
    ballast = site.work_dir / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as handle:
        while True:
            handle.write(bytes(2**20))
            handle.flush()
    time.sleep(AWAY_S)
    ballast.unlink()
    return f"no space left for {AWAY_S:g} s"


def lock_scratch(site: Site) -> str:
    """Make the scratch read-only for a while, for all who open it anew."""
    path = str(site.work_dir)
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
    time.sleep(AWAY_S)
    # those who stand in it keep it busy; detached, it goes when they leave
    subprocess.run(["umount", "--lazy", path], check=True)
    return f"read-only for {AWAY_S:g} s"


def _one(site: Site, find: Callable[[], list[Any]], what: str) -> Any:
    """Return one of what ``find`` returns, as soon as there is one."""
    wait_until(lambda: bool(find()), f"there is no {what}", PATIENCE_S)
    return site.random.choice(find())


def _model_folders(site: Site) -> list[Path]:
    """Return the folders that hold a model, and not only a link to one."""
    return [path.parent for path in site.work_dir.rglob(MODEL_FILE) if not path.is_symlink()]


SHORT = ("--walltime=20", "--job-size=1000")  # less than a lane of 500 alloys takes

FAULTS = {
    fault.name: fault
    for fault in (
        Fault("engine_killed", "engine killed with -9", kill_engine),
        Fault("job_cancelled", "job cancelled with scancel", cancel_job),
        Fault("walltime", "walltime of 20 s that the engine knows", walltime_told, SHORT),
        Fault("hang", "engine frozen until SLURM's walltime", hang_until_walltime, minute=True),
        Fault("node_down", "node set to SLURM's state DOWN, and resumed", node_down),
        Fault("slurmctld", "slurmctld killed, and started again", restart_slurmctld),
        Fault("worker_killed", "daemon worker killed with -9", kill_worker),
        Fault("daemon_restarted", "daemon stopped, and started again", restart_daemon),
        Fault("broker_killed", "ZeroMQ broker killed with -9", kill_broker),
        Fault("scratch_purged", "scratch purged between jobs", purge_scratch),
        Fault("model_corrupted", "model file on the node corrupted", corrupt_model),
        Fault("shard_truncated", "a shard truncated", truncate_shard),
        Fault("scratch_full", "scratch full for a while", fill_scratch),
        Fault("scratch_read_only", "scratch read-only for a while", lock_scratch),
        Fault("postgres", "PostgreSQL restarted", restart_postgres, production=True),
    )
}
