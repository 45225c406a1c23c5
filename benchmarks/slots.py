"""A queue for a computer that has none: as many jobs as there are slots run, the others sleep in their scripts.

`core.direct` starts whatever is submitted at once. A pipe holds one byte per slot; a job's script reads one before its
program starts, and sleeps until there is one, and puts it back when it ends. So jobs can be submitted all together, as
to a cluster: what AiiDA does for one goes on beside the programs of others, and no slot stays empty while one waits.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Self


class Slots:
    """Slots for jobs, which are there inside the ``with`` block.

    :param path: of the pipe; must not exist. Whoever removes the folder removes the pipe.
    :param count: of slots.
    """

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        self._pipe = -1

    def __enter__(self) -> Self:
        os.mkfifo(self.path)
        self._pipe = os.open(self.path, os.O_RDWR)  # held open, or the bytes would go with the last job
        os.write(self._pipe, b"x" * self.count)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._pipe)

    @property
    def prepend_text(self) -> str:
        """Lines of bash that wait for a slot and give it back at the end of the script; one killed with -9 keeps it."""
        return f"exec 9<> {shlex.quote(str(self.path))}\nread -r -n 1 -u 9\ntrap 'printf x >&9' EXIT"
