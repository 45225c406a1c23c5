"""The AiiDA profile that a command works in, and how nodes are named on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


def load_any(identifier: str) -> Any:
    """Return the node named by a pk, a label, or a uuid (or its beginning).

    A label goes before the beginning of a uuid, which a short word such as ``fe`` may happen to be.

    :raises click.ClickException: if there is none, or several.
    """
    from aiida import orm
    from aiida.common import exceptions
    from aiida.manage import get_manager

    try:
        if identifier.isdecimal():
            return orm.load_node(pk=int(identifier))
        return _labelled(identifier) or orm.load_node(uuid=identifier)
    except exceptions.MultipleObjectsError as error:
        raise click.ClickException(f"several nodes have a uuid that begins with {identifier!r}") from error
    except (exceptions.NotExistent, ValueError) as error:
        profile = get_manager().get_profile()
        name = profile.name if profile else "?"
        raise click.ClickException(
            f"no node with pk, label or uuid {identifier!r} in profile {name!r}"
        ) from error


def _labelled(label: str) -> Any:
    """Return the node with this label, None if there is none.

    :raises click.ClickException: if there are several.
    """
    from aiida import orm

    query = orm.QueryBuilder().append(orm.Node, filters={"label": label}, project="*", tag="node")
    found = query.order_by({"node": {"id": "desc"}}).limit(6).all(flat=True)
    if len(found) > 1:
        pks = ", ".join(str(node.pk) for node in found)
        raise click.ClickException(f"several nodes have the label {label!r}: name one by its pk ({pks})")
    return found[0] if found else None


def load_as(identifier: str, *classes: type, hint: str = "") -> Any:
    """Return the node named ``identifier`` if it is of one of ``classes``.

    :param hint: where to find the right one, for the error.
    :raises click.ClickException: if it is not there or of another class.
    """
    node = load_any(identifier)
    if not isinstance(node, classes):
        expected = " or ".join(cls.__name__ for cls in classes)
        raise click.ClickException(
            f"node {identifier} is a {type(node).__name__}, expected a {expected}"
            + (f": {hint}" if hint else "")
        )
    return node
