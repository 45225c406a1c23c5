"""The engine as a code: which one a label names, whether its jobs can be sent, and its share of the cores here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from aiida.orm import AbstractCode

CODE = "pet-engine@localhost"


def load_code(identifier: str) -> AbstractCode:
    """Return the code named by a pk or label.

    :raises click.ClickException: if there is none, or several.
    """
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import load_code

    try:
        code: AbstractCode = load_code(int(identifier) if identifier.isdecimal() else identifier)
    except NotExistent as error:
        made = (
            "`aiida-pet setup` makes it" if identifier == CODE else "`verdi code list` shows those there are"
        )
        raise click.ClickException(f"there is no code {identifier!r}: {made}") from error
    except MultipleObjectsError as error:
        raise click.ClickException(f"several codes are called {identifier!r}: name one by its pk") from error
    return code


def check_configured(code: AbstractCode) -> None:
    """Check that jobs of ``code`` can be sent: a computer that came with an archive is not set up in this profile.

    :raises click.ClickException: if they cannot, with the remedy.
    """
    computer = code.computer
    if computer is None or computer.is_configured:
        return
    raise click.ClickException(
        f"computer {computer.label!r} <{computer.pk}> of code <{code.pk}> is not set up in this profile, as after the "
        "import of an archive: take a code of this profile with --code (`verdi code list` shows those there are), such "
        f"as --code {CODE}, or set it up with `verdi computer configure {computer.transport_type} {computer.pk}`; "
        "nothing was started"
    )


def share_of_cores(code: AbstractCode, lanes: int, options: dict[str, Any]) -> dict[str, int]:
    """Return the threads of each job on this machine, where no scheduler keeps jobs off each other's cores.

    :param options: of each job; nothing is set if they ask for cores.
    """
    from aiida_pet.calculations.base import cores_of

    computer = code.computer
    if (
        computer is None
        or computer.transport_type != "core.local"
        or computer.scheduler_type != "core.direct"
        or cores_of(options.get("resources") or {}) is not None
    ):
        return {}
    return {"threads": max(1, len(os.sched_getaffinity(0)) // lanes)}
