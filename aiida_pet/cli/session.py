"""The AiiDA profile that a command works in, and how nodes are named on the command line."""

from __future__ import annotations

from dataclasses import dataclass

import click

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
