"""The AiiDA profile that a command works in, and how nodes are named on the command line."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aiida.engine.daemon.client import DaemonClient

SETUP_HINT = "run `aiida-pet setup` first (or name a profile with `aiida-pet -p NAME ...`)"


@dataclass
class Session:
    """What the options of ``aiida-pet`` itself say.

    :ivar profile: name of the AiiDA profile; None for the default one.
    :ivar verbosity: number of ``-v``.
    """

    profile: str | None = None
    verbosity: int = 0

    def load(self) -> None:
        """Load the profile; one that is loaded already is kept if no other was asked for.

        :raises click.ClickException: if there is no such profile, or none at all.
        """
        prepare_environment()
        from aiida.common import exceptions
        from aiida.manage import get_manager
        from aiida.manage.configuration import load_profile

        if self.profile is None and get_manager().get_profile() is not None:
            return
        try:
            load_profile(self.profile, allow_switch=True)
        except exceptions.ProfileConfigurationError as error:
            raise click.ClickException(f"{error}: {SETUP_HINT}") from error
        except exceptions.ConfigurationError as error:
            raise click.ClickException(f"no AiiDA profile: {SETUP_HINT}") from error


pass_session = click.make_pass_decorator(Session, ensure=True)


def scripts_folder() -> Path:
    """Return the folder of the running interpreter, where its console scripts are."""
    return Path(sys.executable).parent


def prepare_environment() -> None:
    """Put the interpreter's own folder on the PATH, where AiiDA looks for ``verdi``; silence set-up chatter.

    Must run before AiiDA is imported: it looks once, at import.
    """
    warnings.filterwarnings("ignore", message="Creating AiiDA configuration folder")
    folder = str(scripts_folder())
    if shutil.which("verdi") is None and Path(folder, "verdi").exists():
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])


def daemon_client() -> DaemonClient | None:
    """Return the client of the loaded profile's daemon, None for a profile without a broker."""
    from aiida.common.exceptions import ConfigurationError
    from aiida.engine.daemon.client import get_daemon_client
    from aiida.manage import get_manager

    profile = get_manager().get_profile()
    if profile is None or not profile.process_control_backend:
        return None
    try:
        return get_daemon_client(profile.name)
    except ConfigurationError:
        return None


def daemon_runs(client: DaemonClient) -> bool:
    """Return whether the daemon lives. AiiDA's PID file alone does not tell: it outlives a daemon that was killed."""
    import psutil

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
    from aiida_pet.cli.services import REPAIR, broker_problem

    client = daemon_client()
    if client is None:
        return (
            "the profile has no message broker, so nothing can be submitted: "
            "`verdi profile configure-broker core.zeromq` gives it one"
        )
    problem = broker_problem(client.profile)
    if problem:
        return problem
    if not daemon_runs(client):
        was_killed = client.get_daemon_pid() is not None
        if was_killed and client.profile.process_control_backend == "core.zeromq":
            # its broker died with it, and what was on its way to the workers is in no queue
            return (
                f"the daemon was killed, so nothing moves: {REPAIR} clears up after it, finds what was lost, and "
                "starts it again"
            )
        return "the daemon is not running, so nothing moves: start it with `verdi daemon start`"
    return None
