"""A command in a pseudo-terminal, and what is on its screen, as pyte reads it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pexpect
import pyte


@dataclass
class Screens:
    """What was on a terminal of `columns` by `lines`.

    :ivar frames: what was on the screen each time that the command paused, lines without blanks at their ends.
    :ivar raw: everything that it wrote.
    :ivar status: of its exit.
    """

    columns: int
    lines: int
    frames: list[list[str]] = field(default_factory=list)
    raw: str = ""
    status: int | None = None

    @property
    def last(self) -> list[str]:
        """The last screen."""
        return self.frames[-1]

    def printed(self) -> list[str]:
        """Every line that was written, without control sequences: none may be as wide as the terminal."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)
        return [line for line in re.split(r"[\r\n]+", plain) if line]


def on_terminal(
    command: Sequence[str],
    columns: int,
    lines: int = 30,
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    interrupt_after: float | None = None,
    screens: Screens | None = None,
) -> Screens:
    """Run `command` on a terminal until it ends.

    :param interrupt_after: seconds after which Ctrl-C is typed.
    :param screens: to which everything is added as it comes, for a caller in another thread.
    """
    found = Screens(columns, lines) if screens is None else screens
    screen = pyte.Screen(columns, lines)
    stream = pyte.Stream(screen)
    variables = {
        name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")
    }
    variables |= {"TERM": "xterm-256color", **(environment or {})}
    child = pexpect.spawn(
        command[0],
        list(command[1:]),
        dimensions=(lines, columns),
        env=variables,
        encoding="utf-8",
        timeout=timeout,
    )
    begun = time.monotonic()
    try:
        while True:
            if interrupt_after is not None and time.monotonic() - begun > interrupt_after:
                child.sendintr()
                interrupt_after = None
            if time.monotonic() - begun > timeout:
                raise TimeoutError(f"{command} did not end in {timeout} s:\n" + "\n".join(screen.display))
            try:
                text = child.read_nonblocking(65536, timeout=0.2)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                break
            stream.feed(text)
            found.raw += text
            found.frames.append([line.rstrip() for line in screen.display])
    finally:
        child.close(force=True)
    found.status = child.exitstatus
    return found
