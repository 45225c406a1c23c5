"""Takes out of texts what tells of a machine or its users: paths of files, names of hosts and of accounts."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_POSIX = re.compile(
    r"(?<![\w/.])(?:~/|/)(?:[\w.+@%~-]+/)+[\w.+@%~-]*|(?<![\w/.~])/(?:home|root|tmp|scratch|work|users|usr|opt|var)\b[\w./+@%~-]*",
    re.I,
)
_WINDOWS = re.compile(r"\b[A-Za-z]:\\[\w\\.+@ ~-]+")
_ADDRESS = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\b")
PLACE, SOMEBODY = "(a path)", "(a name)"


def without_places(text: str, names: Iterable[str] = ()) -> str:
    """Return ``text`` without paths, addresses, and the names of this host, of its user, and of ``names``.

    :param names: names of computers and users that the profile knows.
    """
    text = _WINDOWS.sub(PLACE, _POSIX.sub(PLACE, text))
    text = _ADDRESS.sub(SOMEBODY, text)
    for name in sorted({*own_names(), *names}, key=len, reverse=True):
        if name:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", SOMEBODY, text)
    return text


@cache
def own_names() -> frozenset[str]:
    """Return the names of this host and of the user, but for such that are also words."""
    found = {socket.gethostname(), socket.gethostname().partition(".")[0], Path.home().name}
    try:
        found.add(getpass.getuser())
    except (OSError, KeyError):  # an account without a name
        found.discard("")
    return frozenset(
        name for name in found if len(name) > 3 and name not in ("localhost", "root", "user", "home")
    )
