"""The files of a job of molecular dynamics: results as of any job, and its trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida.engine import ExitCode

from aiida_pet.data.trajectories import TrajectoriesData
from aiida_pet.job.trajectory_files import TrajectoryError, segments_of
from aiida_pet.parsers.batch import BatchParser


class DynamicsParser(BatchParser):
    """Parser of jobs of molecular dynamics."""

    def parse(self, **kwargs: Any) -> ExitCode:
        """Attach ``trajectories`` too; return how the job ended, which these do not change.

        A job that went on from another is no source for the cache: its trajectories have no beginning.
        """
        if "remote_state" in self.node.inputs:
            self.node.base.caching.is_valid_cache = False
        folder = kwargs.get("retrieved_temporary_folder")
        segments = [] if folder is None else segments_of(Path(folder))
        if segments:
            try:
                self.out("trajectories", TrajectoriesData.from_segments(segments))
            except TrajectoryError as error:
                self.logger.warning(f"no trajectories: {error}")
        return super().parse(**kwargs)
