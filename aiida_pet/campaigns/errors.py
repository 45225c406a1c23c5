"""What may be wrong with a question about campaigns. Each error says in a sentence what is, and what would be right.

They speak of Python's arguments, or of no argument at all; the command line adds which of its commands helps
(:mod:`aiida_pet.cli.errors`). What is needed for that is an attribute of the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiida_pet.words import plural, shortened, with_article


class CampaignError(Exception):
    """Base of the errors of :mod:`aiida_pet.campaigns`."""


class NoSuchNodeError(CampaignError, LookupError):
    """Raised if nothing, or more than one node, has the pk, uuid or label that was given."""


class WrongNodeError(CampaignError, TypeError):
    """Raised if a node does not have a type that the call accepts.

    :ivar pk: pk of the node.
    :ivar expected: names of the types that are accepted.
    """

    def __init__(self, node: Any, named: object, expected: Sequence[str]) -> None:
        self.pk = node.pk
        self.expected = tuple(expected)
        super().__init__(
            f"node {named} is {with_article(type(node).__name__)}, expected a {' or '.join(expected)}"
        )


class NoRowsError(CampaignError, LookupError):
    """Raised for a process without any result yet.

    :ivar pk: pk of the process.
    """

    def __init__(self, pk: int | None, state: str, reason: str | None = None) -> None:
        self.pk = pk
        because = f": {reason}" if reason else ""
        super().__init__(f"process <{pk}> is {state} and has no results yet{because}")


class NoTrajectoriesError(CampaignError, LookupError):
    """Raised for a process whose jobs left no trajectories.

    :ivar pk: pk of the process.
    """

    def __init__(self, pk: int | None) -> None:
        self.pk = pk
        super().__init__(
            f"<{pk}> has no trajectories: a launch of md writes trajectories unless frames_every is 0, and they can "
            "be read once its first job has ended"
        )


class NoSuchRowError(CampaignError, KeyError):
    """Raised if no row has an id; the message names the closest ids.

    :ivar pk: pk of the table, None if it is not stored.
    """

    def __init__(self, message: str, pk: int | None = None) -> None:
        self.pk = pk
        super().__init__(message)

    def __str__(self) -> str:
        """Return the message, around which a ``KeyError`` would put quotes."""
        return str(self.args[0])


class NoRowsChosenError(CampaignError, ValueError):
    """Raised if a condition leaves nothing to do."""


class NoSuchColumnError(CampaignError, LookupError):
    """Raised if there is no column of a name; the message names those that there are.

    :ivar argument: the argument that named the column, such as ``columns``.
    """

    def __init__(self, message: str, argument: str = "columns") -> None:
        self.argument = argument
        super().__init__(message)


class NoCrystalsError(CampaignError, LookupError):
    """Raised if the crystals behind a table are not known."""


class QueryError(CampaignError, ValueError):
    """Raised for a question that cannot be answered: a formula that is none, a process that is no launch."""


class ComparisonError(CampaignError, ValueError):
    """Raised when two things cannot be compared; the message says what they lack."""


class UnusableReferenceError(CampaignError, ValueError):
    """Raised for references that cannot be read, or that fit no row."""


class NoReferencesError(UnusableReferenceError):
    """Raised if references are neither in a file nor in the profile.

    :ivar reason: what was looked for.
    """

    def __init__(self, named: object, reason: str) -> None:
        self.reason = f"{named}: {reason}"
        super().__init__(f"references {self.reason}")


class NoIdsError(UnusableReferenceError):
    """Raised if a file of references has no column of ids; another one may be named."""


class NothingToCompareError(CampaignError, ValueError):
    """Raised if results and references have no column in common that is known to the metrics.

    :ivar whose: side to which the columns belong: ``results`` or ``references``.
    :ivar columns: columns that may be compared, as one line of text.
    """

    def __init__(self, whose: str, columns: Sequence[str]) -> None:
        self.whose, self.columns = whose, shortened(columns, 60)
        super().__init__(
            "nothing to compare: name a column of the results and a column of the references; columns of the "
            f"{whose} are {self.columns}"
        )


class NotResumableError(CampaignError, ValueError):
    """Raised for a process that cannot be taken up, and for one with nothing left to do."""


class TakenUpError(NotResumableError):
    """Raised for a campaign that another launch has taken up, or is taking up now.

    :ivar pk: pk of the campaign.
    :ivar by: pk of the launch that took it up last.
    :ivar is_running: whether that launch is at work.
    :ivar is_finished_ok: whether it ended well.
    """

    def __init__(self, pk: int | None, by: int | None, *, is_running: bool, is_finished_ok: bool) -> None:
        self.pk, self.by = pk, by
        self.is_running, self.is_finished_ok = is_running, is_finished_ok
        if is_running:
            what = f"is already being resumed by launch <{by}>, which is running"
        elif is_finished_ok:
            what = f"was resumed by launch <{by}>, which ended well and has the whole table"
        else:
            what = (
                f"was resumed by launch <{by}>, which did not end well: resume <{by}>, which has the rows of both "
                "launches"
            )
        super().__init__(f"<{pk}> {what}")


class NotEndedError(NotResumableError):
    """Raised for a launch that has not ended.

    :ivar pk: pk of the launch.
    :ivar state: state of its process, in words.
    """

    def __init__(self, pk: int | None, state: str) -> None:
        self.pk, self.state = pk, state
        super().__init__(f"<{pk}> has not ended ({state}): wait for its end, or stop it")


class NothingLeftError(NotResumableError):
    """Raised for a launch that has ended well.

    :ivar given_up: number of rows that were given up since their jobs broke down twice; they can be tried again.
    """

    def __init__(self, pk: int | None, given_up: int) -> None:
        self.pk, self.given_up = pk, given_up
        self.reason = f"<{pk}> has ended well: nothing is left to do"
        if given_up:
            given = "was" if given_up == 1 else "were"
            self.reason += f", except {plural(given_up, 'row')} that {given} given up"
        super().__init__(self.reason + (", which retry_given_up=True tries again" if given_up else ""))


class SetByHandError(CampaignError, ValueError):
    """Raised for resources that are changed, if the options of the jobs were set by hand and not made from resources.

    :ivar names: names of the resources.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.reason = (
            "options of the jobs were set by hand, or the defaults of the computer have changed since the launch; "
            "give the new values"
        )
        super().__init__(f"{', '.join(names)}: {self.reason} as options")


class HasEndedError(CampaignError, ValueError):
    """Raised for a launch that cannot be stopped since it has ended."""

    def __init__(self, pk: int | None, state: str) -> None:
        super().__init__(f"<{pk}> has ended already: {state}")


class NotStoppedError(CampaignError, RuntimeError):
    """Raised for a launch that was asked to stop and has not stopped yet.

    :ivar pk: pk of the launch.
    """

    def __init__(self, pk: int | None, message: str) -> None:
        self.pk = pk
        super().__init__(message)
