"""A job that stops in the middle, for tests of what is taken up.

As a program it stands in for ``pet-engine`` with a walltime that lasts for some steps: ``interrupted.py STEPS JOBDIR``.
With ``interrupted.py STEPS MARK JOBDIR`` it is killed by signal 9 at that step, unless the file MARK is there, which it
makes.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from aiida_pet.engine.run import Job
from aiida_pet.job.folder import JobFolder


class Interrupted(Job):
    """A job that is told to stop before step ``steps``."""

    def __init__(self, folder: JobFolder, steps: int) -> None:
        super().__init__(folder)
        self._left = steps

    def _proceed(self) -> bool:
        if self._left == 0:
            self.stop("enough")
        self._left -= 1
        return super()._proceed()


class Killed(Interrupted):
    """A job that is killed at that step."""

    def stop(self, reason: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def main(steps: str, *rest: str) -> int:
    folder = JobFolder(Path(rest[-1]))
    if len(rest) == 1:
        return int(Interrupted(folder, int(steps)).run())
    mark = Path(rest[0])
    if mark.exists():
        return int(Job(folder).run())
    mark.touch()
    return int(Killed(folder, int(steps)).run())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
