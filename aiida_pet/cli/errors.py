"""Turns what a user can put right into one clear line; what they cannot stays a traceback."""

from __future__ import annotations

import errno
import logging
import re
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.groups import SuggestingGroup, suggestion
from aiida_pet.cli.output import terminal_width, within_terminal
from aiida_pet.words import without_codes

if TYPE_CHECKING:
    from aiida_pet.campaigns.errors import TakenUpError

LOGGER = logging.getLogger("aiida_pet.cli")

_EXPLAINING_MODULES = ("aiida_pet.", "aiida.common.exceptions", "aiida.engine.daemon.")


def explanation(error: Exception) -> str | None:
    """Return the line for the user, None if ``error`` is a fault of the program.

    Exceptions that aiida-pet defines, those of AiiDA's own catalogue and those of the file system name the
    thing at fault; any other exception was not foreseen.
    """
    module = f"{type(error).__module__}."
    told = _of_services(error, module)
    if told is not None:
        return told
    if isinstance(error, OSError) or module.startswith(_EXPLAINING_MODULES):
        return message_of(error) or f"{type(error).__name__} without a message; -vv shows where it came from"
    return None


def _of_services(error: Exception, module: str) -> str | None:
    """Return what a full disk, or a broker or database that is gone or busy, comes to; None for other errors."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" with {error.filename}" if error.filename else ""
        return (
            f"the disk{where} is full: free space there, then try again (`aiida-pet doctor` looks at the disk of the "
            "profile)"
        )
    refused = isinstance(error, OSError) and error.errno == errno.ECONNREFUSED
    if refused or (isinstance(error, ConnectionError) and "onnect call failed" in str(error)):
        told = without_codes(error)
        return f"a service does not answer ({told}): `aiida-pet doctor` says whether it is the broker or the database"
    if not module.startswith("sqlalchemy.exc."):
        return None
    from aiida_pet.computers.services import LOCKED, is_locked

    if is_locked(error):
        return LOCKED
    if type(error).__name__ == "OperationalError":
        line = next(iter(str(error).strip().splitlines()), "no reason given")
        return f"the database of the profile does not answer: {line}: `aiida-pet doctor` says what to start"
    return None


def message_of(error: BaseException) -> str:
    """Return the message of ``error``; for a ``KeyError``, without the quotes that ``str`` puts around it."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error)


# Python arguments of readers, as their remedies name them, and the options of `data import` that set them.
_OPTIONS = {
    "skip_invalid=True": "--skip-invalid",
    "skip_invalid": "--skip-invalid",
    "id_key=": "--id-key ",
    "structure_key=": "--structure-key ",
    "file_format=": "--format ",
    "file_format": "--format",
    "virial_sign='(\\w+)'": r"--virial-sign \1",
    "virial_sign": "--virial-sign",
    "stress_sign='(\\w+)'": r"--stress-sign \1",
    "stress_sign": "--stress-sign",
    "stress_unit='(\\w+)'": r"--stress-unit \1",
    "stress_unit": "--stress-unit",
    "column_map={'([^']*)': '([^']*)'}": r"--column-map \1=\2",
    "column_map": "--column-map",
}


def in_options(remedy: str) -> str:
    """Return ``remedy`` of a reader with options of the command line in place of Python arguments."""
    for argument, option in _OPTIONS.items():
        remedy = re.sub(rf"(?<![\w-]){argument}", option, remedy)
    return remedy


HINTS = {
    "StructureSetData": "`aiida-pet data import` makes a set of crystals",
    "TableData": "`aiida-pet results`, `data show` and `data export` take the pk of a set or of a launch",
    "ProcessNode": "`aiida-pet launch` prints the pk of the launch",
    "WorkChainNode": "`aiida-pet launch` prints the pk of the launch",
}
"""What has a node of a type, by the type that was expected."""


def in_commands(error: Exception) -> click.ClickException:
    """Return an error of :mod:`aiida_pet.campaigns` as the command line words it: with the command that helps."""
    from aiida_pet.campaigns import errors

    sentence = str(error)
    if isinstance(error, errors.NoSuchColumnError):
        return click.BadParameter(sentence, param_hint=_OPTION_OF.get(error.argument, f"--{error.argument}"))
    if isinstance(error, errors.NothingToCompareError):
        return click.UsageError(
            "nothing to compare: name a column of the results and a column of the references with --column "
            f"NAME=REFERENCE; the columns of the {error.whose} are {error.columns}"
        )
    if isinstance(error, errors.SetByHandError):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in error.names)
        return click.UsageError(f"{flags}: {error.reason} as --option NAME=VALUE")
    if isinstance(error, errors.NotEndedError):
        return click.ClickException(
            f"<{error.pk}> has not ended ({error.state}): `aiida-pet stop {error.pk}` stops it"
        )
    if isinstance(error, errors.NothingLeftError):
        retry = ", which --retry-given-up tries again" if error.given_up else ""
        return click.ClickException(f"{error.reason}{retry}")
    if isinstance(error, errors.NoRowsError):
        sentence += f"; see `aiida-pet status {error.pk}`"
    elif isinstance(error, errors.NoSuchRowError) and error.pk is not None:
        sentence += f": `aiida-pet results {error.pk} --columns id --limit 0` lists all ids"
    elif isinstance(error, errors.WrongNodeError):
        hints = [hint for name, hint in HINTS.items() if name in error.expected]
        sentence += f": {hints[0]}" if hints else ""
    elif isinstance(error, errors.TakenUpError):
        sentence += f": {_after_taking_up(error)}"
    elif isinstance(error, errors.NoReferencesError):
        sentence = f"--reference {error.reason}"
    elif isinstance(error, errors.NoIdsError):
        sentence += " (--id-column names another)"
    return click.ClickException(sentence)


# Argument of the library -> option, where they are not called alike.
_OPTION_OF = {"pairs": "--column", "unique_prototype": "--unique-prototype", "n_atoms": "--n-atoms"}


def _after_taking_up(error: TakenUpError) -> str:
    by = error.by
    if error.is_running:
        return f"`aiida-pet status {by}` shows its progress, `aiida-pet stop {by}` stops it"
    if error.is_finished_ok:
        return f"`aiida-pet results {by}` shows its rows"
    return f"`aiida-pet resume {by}` goes on"


def _fit(error: click.ClickException) -> click.ClickException:
    """Let the message of ``error`` go on below itself where it is longer than the terminal."""
    if terminal_width("stderr") is None:
        return error
    told = error.format_message()
    # in place of a method of click's, since each kind of error has its own way to word a message
    error.format_message = lambda: within_terminal(told, len("Error: "))  # type: ignore[method-assign]
    return error


class ExplainingGroup(SuggestingGroup):
    """A group whose commands end with ``Error: <one line>`` for what the user can put right."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if isinstance(error, click.UsageError):
                error.message += suggestion(error)
            _fit(error)
            raise
        except (click.Abort, click.exceptions.Exit):
            raise
        except BrokenPipeError:  # the reader, such as `head`, has seen enough: click leaves quietly
            raise
        except Exception as error:
            LOGGER.debug("the command failed", exc_info=error)
            if type(error).__module__ == "aiida_pet.campaigns.errors":
                raise _fit(in_commands(error)) from error
            line = explanation(error)
            if line is None:
                raise
            raise _fit(click.ClickException(line)) from error
