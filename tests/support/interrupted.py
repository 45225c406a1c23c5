"""A job that stops in the middle, for tests of what is taken up."""

from __future__ import annotations

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
