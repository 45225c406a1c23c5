"""Somebody who looks at `aiida-pet status` now and then and types what it says, and nothing else."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

# What `aiida-pet status` tells to type, as it stands in its advice.
ADVISED = re.compile(r"`(aiida-pet (?:resume \d+|repair)|verdi process play \d+|verdi daemon start)`")
CONCERN_S = 20.0  # advice that stands so long is followed
AGAIN_S = 180.0  # and what was typed is given so long to take effect
STALL_S = 1200.0  # without a row or a command; advice on lost jobs comes after five minutes


class Patience:
    """When advice is followed: once it has stood for a while, and not at once again."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        self._typed: dict[str, float] = {}

    def due(self, told: list[str], now: float, at_once: bool) -> list[str]:
        """Return the commands to type now, in the order told.

        :param told: what the advice says at ``now``, s.
        :param at_once: whether nothing can be waited for.
        """
        self._told = {command: self._told.get(command, now) for command in told}
        due = [
            command
            for command in told
            if at_once
            or (
                now >= self._told[command] + CONCERN_S
                and now >= self._typed.get(command, float("-inf")) + AGAIN_S
            )
        ]
        self._typed |= dict.fromkeys(due, now)
        return due


def follow(
    pk: int,
    look: Callable[[int], dict[str, Any]],
    type_in: Callable[[str, dict[str, Any]], int],
    interval_s: float,
) -> dict[str, Any]:
    """Do what ``aiida-pet status`` says until the campaign has ended well, or it says nothing that helps.

    :param look: returns what `aiida-pet status PK --json` prints.
    :param type_in: runs a command for the launch of which it is told the status, and returns the pk of the launch to
        follow from now on.
    :param interval_s: seconds between two looks.
    :return: the last status, of the last launch.
    :raises RuntimeError: if neither a row nor advice comes for a long time.
    """
    patience = Patience()
    done, moved = -1, time.monotonic()
    while True:
        status = look(pk)
        told = ADVISED.findall(" ".join(status["advice"]))
        if status["finished"] and (status["exit_status"] == 0 or not told):
            return status
        now = time.monotonic()
        due = patience.due(told, now, at_once=status["finished"])
        for command in due:
            pk = type_in(command, status)
        if due or status["rows_done"] > done:
            done, moved = status["rows_done"], now
        elif now > moved + STALL_S:
            raise RuntimeError(
                f"{status['state']}, {done} rows done and nothing has moved for {STALL_S:g} s; advice: "
                f"{status['advice']}"
            )
        time.sleep(interval_s)


def without_numbers(command: str) -> str:
    """Return ``command`` with ``PK`` in place of numbers, for a table."""
    return re.sub(r"\d+", "PK", command)
