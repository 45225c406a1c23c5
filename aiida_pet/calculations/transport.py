"""From forces to thermal conductivities: a job on cores, one process each, without torch and without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.engine.processes.calcjobs.calcjob import validate_calc_job

from aiida_pet.calculations.base import leave_out_site
from aiida_pet.calculations.engine_settings import (
    complete_settings,
    define_options,
    define_settings,
    run_in_folder,
)
from aiida_pet.calculations.exit_codes import define_exit_codes
from aiida_pet.calculations.validation import check_margin, check_rows, make_parameters_validator
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import (
    JOB_FILE,
    LOG_FILE,
    PROGRESS_FILE,
    SHARD_GLOB,
    STRUCTURES_FILE,
    TRANSPORT_FILE,
    JobFolder,
    JobSpec,
)
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task


class TransportCalculation(CalcJob):
    """Conductivities of a batch of crystals whose forces are known."""

    TASK: ClassVar[Task] = Task.CONDUCTIVITY
    # Raise it when the same inputs give other results.
    CACHE_VERSION = 1

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define ports, options and exit codes."""
        super().define(spec)
        spec.input("structures", valid_type=StructureSetData, help="Results of the task `conductivity`.")
        spec.input(
            "rows",
            valid_type=TableData,
            required=False,
            help="Ids of the crystals to compute, in this order; if not given, all crystals are computed.",
        )
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            default=lambda: orm.Dict({}),
            validator=make_parameters_validator(cls.TASK),
            help="Parameters of the task `conductivity`, the same as for the forces. Only parameters of the transport "
            "(mesh, temperatures, isotopes, masses, ...) may differ.",
        )
        define_settings(spec)
        spec.inputs.validator = _validate  # type: ignore[assignment]
        define_options(spec, "pet.transport", JOB_FILE, LOG_FILE)
        spec.output(
            "results",
            valid_type=StructureSetData,
            required=False,
            help="The finished rows with their conductivities, without the forces.",
        )
        spec.output(
            "summary",
            valid_type=orm.Dict,
            required=False,
            help="Number of rows of each status, times in seconds, memory.",
        )
        spec.default_output_node = "summary"
        define_exit_codes(spec)

    def _setup_db_record(self) -> None:
        """Set up the node; where it runs and with how many cores is left out of its hash."""
        super()._setup_db_record()
        self.node.base.attributes.set("task", "transport")
        leave_out_site(self.node)

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the job folder and say what to upload, run and retrieve."""
        table = self.inputs.structures.to_table()
        if "rows" in self.inputs:
            table = table.select(self.inputs.rows.ids)
        spec = JobSpec(
            task=self.TASK,
            parameters=parse_parameters(self.TASK, self.inputs.parameters.get_dict()).model_dump(mode="json"),
            model_sha256="",
            settings=complete_settings(self.inputs.get("settings", {}), self.inputs.metadata.options),
        )
        path = Path(folder.abspath)
        JobFolder(path).write_inputs(spec, table)
        (path / TRANSPORT_FILE).write_text("{}\n")

        calc_info = run_in_folder(self.inputs.code)
        calc_info.local_copy_list = []
        calc_info.remote_symlink_list = []
        calc_info.provenance_exclude_list = [STRUCTURES_FILE]
        calc_info.retrieve_list = [PROGRESS_FILE, LOG_FILE]
        calc_info.retrieve_temporary_list = [SHARD_GLOB]
        return calc_info


def _validate(inputs: Any, namespace: Any) -> str | None:
    """Return what is wrong with the inputs taken together."""
    structures = inputs.get("structures")
    if structures is not None and "fc3_forces" not in structures.ragged_names:
        return f"structures <{structures.pk}> are not results of the task conductivity: they have no column fc3_forces"
    return (
        validate_calc_job(inputs, namespace)
        or check_rows(inputs)
        or check_margin(inputs.get("settings"), inputs.get("metadata", {}).get("options"))
    )
