"""The engine as a code: which one a label names, whether its jobs can be sent, and its share of the cores here."""

from __future__ import annotations

import os
from typing import Any

from aiida.common.exceptions import MultipleObjectsError, NotExistent
from aiida.orm import AbstractCode, InstalledCode, PortableCode, QueryBuilder, load_code

from aiida_pet.computers.kinds import ENGINE_HERE
from aiida_pet.computers.resources import cores_of
from aiida_pet.data.pks import checked_pk
from aiida_pet.words import did_you_mean


class CodeError(LookupError):
    """Raised for a code that is not there, is one of several, or whose jobs cannot be sent; names the remedy."""


def find_code(identifier: str) -> AbstractCode:
    """Return the code named by a pk or label.

    :raises CodeError: if there is none, or several.
    """
    try:
        code: AbstractCode = load_code(checked_pk(identifier) if identifier.isdecimal() else identifier)
    except NotExistent as error:
        made = (
            "`aiida-pet setup` makes it" if identifier == ENGINE_HERE else "`verdi code list` shows the codes"
        )
        codes = QueryBuilder().append((InstalledCode, PortableCode)).all(flat=True)
        hint = did_you_mean(identifier, [code.full_label for code in codes])
        raise CodeError(f"there is no code {identifier!r}{hint}: {made}") from error
    except MultipleObjectsError as error:
        raise CodeError(f"several codes are called {identifier!r}: name one by its pk") from error
    return code


def check_configured(code: AbstractCode) -> None:
    """Check that jobs of ``code`` can be sent: a computer that came with an archive is not set up in this profile.

    :raises CodeError: if they cannot, with the remedy.
    """
    computer = code.computer
    if computer is None or computer.is_configured:
        return
    raise CodeError(
        f"computer {computer.label!r} <{computer.pk}> of code <{code.pk}> is not set up in this profile, as after the "
        f"import of an archive: set it up with `verdi computer configure {computer.transport_type} {computer.pk}`, or "
        f"take another code, such as {ENGINE_HERE} (`verdi code list` shows the codes)"
    )


def share_of_cores(code: AbstractCode, lanes: int, options: dict[str, Any]) -> dict[str, int]:
    """Return the threads of each job on this machine, where no scheduler keeps jobs off each other's cores.

    :param options: options of each job; nothing is set if they ask for cores.
    """
    computer = code.computer
    if (
        computer is None
        or computer.transport_type != "core.local"
        or computer.scheduler_type != "core.direct"
        or cores_of(options.get("resources") or {}) is not None
    ):
        return {}
    return {"threads": max(1, len(os.sched_getaffinity(0)) // lanes)}
