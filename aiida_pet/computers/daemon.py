"""The daemon of the loaded profile: whether it lives, whether its broker answers, and why nothing would run."""

from __future__ import annotations

import time
from collections.abc import Iterable

import psutil
from aiida.common.exceptions import ConfigurationError
from aiida.engine.daemon.client import DaemonClient, get_daemon_client
from aiida.manage import get_manager
from aiida.orm import ProcessNode

from aiida_pet.computers.services import REPAIR, broker_problem, disk_problems, worker_problem


def daemon_client() -> DaemonClient | None:
    """Return the client of the loaded profile's daemon, None for a profile without a broker."""
    profile = get_manager().get_profile()
    if profile is None or not profile.process_control_backend:
        return None
    try:
        return get_daemon_client(profile.name)
    except ConfigurationError:
        return None


def daemon_runs(client: DaemonClient) -> bool:
    """Return whether the daemon lives. AiiDA's PID file alone does not tell: it outlives a daemon that was killed."""
    pid = client.get_daemon_pid()
    if pid is None:
        return False
    try:
        words = psutil.Process(pid).cmdline()  # nothing for one that is dead and not yet waited for
    except psutil.Error:
        return False
    return any(name in words for name in ("start-circus", "circusd"))  # as AiiDA takes it: a PID comes again


def daemon_problem() -> str | None:
    """Return why nothing would run if it were submitted now, with the remedy; None if all is well."""
    client = daemon_client()
    if client is None:
        return (
            "the profile has no message broker, so nothing can be submitted: "
            "`verdi profile configure-broker core.zeromq` adds a broker"
        )
    problem = broker_problem(client.profile)
    if problem:
        return problem
    if not daemon_runs(client):
        was_killed = client.get_daemon_pid() is not None
        if was_killed and client.profile.process_control_backend == "core.zeromq":
            # its broker died with it, and what was on its way to the workers is in no queue
            return f"the daemon was killed: {REPAIR} restores lost processes and starts the daemon again"
        return "the daemon is not running, so nothing moves: start it with `verdi daemon start`"
    return None


def broker_answers(timeout_s: float) -> bool:
    """Return whether the broker answers within ``timeout_s``: on a busy machine the daemon is there before it."""
    broker = get_manager().get_broker()
    deadline = time.monotonic() + timeout_s
    while broker is not None and not broker.check_service_reachable():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def disk_problem() -> str | None:
    """Return that the disk of the profile's files is full, with the remedy; None if it is not."""
    profile = get_manager().get_profile()
    return None if profile is None else next(iter(disk_problems(profile)), None)


def service_problems(jobs: Iterable[ProcessNode], *, daemon_lives: bool) -> list[str]:
    """Return what is wrong with disks and workers, for a launch that has not ended.

    :param jobs: jobs of the launch, those that have not ended.
    :param daemon_lives: whether there are workers to ask after.
    """
    profile = get_manager().get_profile()
    found = disk_problems(profile, jobs) if profile is not None else []
    client = daemon_client() if daemon_lives and not found else None
    worker = None if client is None else worker_problem(client)
    return found + ([worker] if worker else [])
