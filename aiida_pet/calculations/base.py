"""What all jobs of the engine share: the job folder that is written, and what counts for the hash.

A subclass names its :class:`~aiida_pet.job.folder.Task`; ports, job folder, options and exit codes stand here. The job
folder is :mod:`aiida_pet.job.folder`'s; its shards are read by :mod:`aiida_pet.parsers.batch`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec

from aiida_pet.calculations.engine_settings import (
    complete_settings,
    define_options,
    define_settings,
    run_in_folder,
    thread_environment,
)
from aiida_pet.calculations.exit_codes import define_exit_codes
from aiida_pet.calculations.validation import (
    make_parameters_validator,
    validate_batch_inputs,
)
from aiida_pet.computers.resources import GPU_VARIABLE
from aiida_pet.data.model import PetModelData
from aiida_pet.data.partial import part_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import (
    JOB_FILE,
    LOG_FILE,
    MODEL_FILE,
    PROGRESS_FILE,
    SHARD_GLOB,
    STATE_FILE,
    STRUCTURES_FILE,
    THREAD_VARIABLES,
    JobFolder,
    JobSpec,
)
from aiida_pet.job.input_columns import read_by
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable

# Where a job runs and with how many cores does not decide what it computes, but AiiDA hashes these options.
# `environment_variables` comes back as ENVIRONMENT, without those of SITE_VARIABLES.
HASH_IGNORED_OPTIONS = (
    "resources",
    "custom_scheduler_commands",
    "environment_variables",
    "mpirun_extra_params",
    "import_sys_environment",
    "rerunnable",
)
# A link to the copy of `model` on the computer: `model` is hashed, and the engine checks that they are the same. The
# state of rows only saves steps that the job would take as well, and the engine checks that it is of the same path.
HASH_IGNORED_INPUTS = ("remote_model", "remote_state")

# Which GPU and how many threads: of the site, as `settings` are.
SITE_VARIABLES = (
    *THREAD_VARIABLES,
    "OMP_WAIT_POLICY",
    GPU_VARIABLE,
    "CUDA_DEVICE_ORDER",
    "PYTORCH_CUDA_ALLOC_CONF",
)
ENVIRONMENT = "environment"


def leave_out_site(node: Any) -> None:
    """Let the hash of ``node``, a job of the engine, say nothing of where and how fast it runs.

    This holds for this object, not for another one of the same node that is loaded from the database.
    """
    node._hash_ignored_attributes = (*node._hash_ignored_attributes, *HASH_IGNORED_OPTIONS)
    caching: Any = node.base.caching
    caching._hash_ignored_inputs = [*caching._hash_ignored_inputs, *HASH_IGNORED_INPUTS]


class PetCalculation(CalcJob):
    """A batch of crystals through ``pet-engine`` in one job."""

    TASK: ClassVar[Task]
    # Raise it when the same inputs give other results: a default of the parameters changed, or the engine was wrong.
    CACHE_VERSION = 5

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define ports, options and exit codes."""
        super().define(spec)
        spec.input(
            "model",
            valid_type=PetModelData,
            help="The PET model; the engine refuses a file with another SHA-256.",
        )
        spec.input("structures", valid_type=StructureSetData, help="The crystals.")
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
            help=f"Parameters of the task {cls.TASK.value}, see `aiida_pet.job.parameters`. Unknown keys are refused.",
        )
        spec.input(
            "remote_model",
            valid_type=orm.RemoteData,
            required=False,
            help=f"Folder on the computer that contains the model as {MODEL_FILE}. Jobs link to this file, and "
            "nothing is uploaded.",
        )
        spec.input(
            "remote_state",
            valid_type=orm.RemoteData,
            required=False,
            help=f"Folder on the computer of an earlier job that did not finish its rows. If its {STATE_FILE} is "
            "still there, these rows continue from their last saved step.",
        )
        define_settings(spec)
        spec.inputs.validator = validate_batch_inputs  # type: ignore[assignment]
        define_options(spec, "pet.batch", JOB_FILE, LOG_FILE)
        spec.output(
            "results",
            valid_type=StructureSetData,
            required=False,
            help="The finished rows in the order of the job, with columns and final geometry.",
        )
        spec.output(
            "summary",
            valid_type=orm.Dict,
            required=False,
            help="Number of rows of each status, finished and unfinished rows, times in seconds, evaluations, memory, "
            "device, model.",
        )
        spec.default_output_node = "summary"
        define_exit_codes(spec)

    def _setup_db_record(self) -> None:
        """Set up the node; put into its hash what decides the results, and leave out what does not.

        AiiDA's own hash does not know the class of a process: jobs of two tasks with the same inputs would be one.
        """
        super()._setup_db_record()
        node: Any = self.node
        node.base.attributes.set("task", self.TASK.value)
        given = node.get_option("environment_variables") or {}
        environment = {name: value for name, value in given.items() if name not in SITE_VARIABLES}
        if environment:
            node.base.attributes.set(ENVIRONMENT, environment)
        leave_out_site(node)

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the job folder and say what to upload, run and retrieve."""
        model = self.inputs.model
        spec = JobSpec(
            task=self.TASK,
            parameters=parse_parameters(self.TASK, self.inputs.parameters.get_dict()).model_dump(mode="json"),
            model_sha256=model.sha256,
            settings=complete_settings(self.inputs.get("settings", {}), self.inputs.metadata.options),
        )
        JobFolder(Path(folder.abspath)).write_inputs(spec, self.select_structures())

        calc_info = run_in_folder(self.inputs.code)
        calc_info.local_copy_list = []
        calc_info.remote_symlink_list = []
        calc_info.prepend_text = thread_environment(spec.settings.threads, self.inputs.metadata.options)
        calc_info.provenance_exclude_list = [STRUCTURES_FILE]
        if "remote_model" in self.inputs:
            remote = self.inputs.remote_model
            source = f"{remote.get_remote_path()}/{MODEL_FILE}"
            calc_info.remote_symlink_list.append((remote.computer.uuid, source, MODEL_FILE))
        else:
            calc_info.local_copy_list.append((model.uuid, model.filename, MODEL_FILE))
        if "remote_state" in self.inputs:
            # a link and not a copy, since a link to a file that is not there fails nothing
            remote = self.inputs.remote_state
            source = f"{remote.get_remote_path()}/{STATE_FILE}"
            calc_info.remote_symlink_list.append((remote.computer.uuid, source, STATE_FILE))
        calc_info.retrieve_list = [PROGRESS_FILE, LOG_FILE]
        calc_info.retrieve_temporary_list = [SHARD_GLOB]
        return calc_info

    def select_structures(self) -> StructureTable:
        """Return the geometry of the job's rows, with those columns of the input set that the engine reads."""
        read = read_by(self.TASK)
        geometry = replace(part_of(self.inputs.structures, read.rows, read.atoms, read.ragged), units={})
        return geometry.select(self.inputs.rows.ids) if "rows" in self.inputs else geometry
