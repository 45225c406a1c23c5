"""Molecular dynamics of a batch of crystals."""

from __future__ import annotations

from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_pet.calculations.base import PetCalculation
from aiida_pet.data.trajectories import TrajectoriesData
from aiida_pet.job.tasks import Task
from aiida_pet.job.trajectory_files import TRAJECTORY_GLOB


class DynamicsCalculation(PetCalculation):
    """Paths of a batch of crystals in one job."""

    TASK = Task.MD

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define the trajectories beside what all jobs have."""
        super().define(spec)
        spec.inputs["metadata"]["options"]["parser_name"].default = "pet.md"  # type: ignore[index]
        spec.output(
            "trajectories",
            valid_type=TrajectoriesData,
            required=False,
            help="The frames that this job wrote. If a row was continued from an earlier job, its frames here begin "
            "where that job ended.",
        )

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Fetch the trajectories too."""
        calc_info = super().prepare_for_submission(folder)
        fetched = calc_info.retrieve_temporary_list or []
        calc_info.retrieve_temporary_list = [*fetched, TRAJECTORY_GLOB]
        return calc_info
