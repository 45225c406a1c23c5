"""One stage of a training as a job: sets with labels in, a model with its learning curve and errors out.

The job folder is :mod:`aiida_pet.training.folder`'s. What the stages are, and which follow each other, says
:mod:`aiida_pet.training.parameters`; the jobs of a training follow each other in
:class:`aiida_pet.workchains.train.TrainWorkChain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec
from aiida.engine.processes.calcjobs.calcjob import validate_calc_job
from aiida.engine.processes.ports import PortNamespace

from aiida_pet.calculations.base import (
    HASH_IGNORED_INPUTS,
    HASH_IGNORED_OPTIONS,
)
from aiida_pet.calculations.engine_settings import (
    complete_settings,
    define_options,
    define_settings,
    run_in_folder,
    thread_environment,
)
from aiida_pet.calculations.train_codes import define_train_codes
from aiida_pet.calculations.validation import check_margin, check_remote_folders
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import LOG_FILE, MODEL_FILE, PROGRESS_FILE, TRAIN_FILE
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training import folder as files
from aiida_pet.training.curve import CURVE_FILE
from aiida_pet.training.folder import TrainingJob
from aiida_pet.training.levels import level_of
from aiida_pet.training.options import OPTIONS_FILE
from aiida_pet.training.parameters import Stage, TrainingError, TrainingParameters, parse_training
from aiida_pet.training.prepare import Prepared, prepare
from aiida_pet.training.scales import check_label_counts

SETS = {"structures": "training", "validation": "validation", "test": "test", "old": "old"}
"""Input of a training -> name of the set in its folder."""


class TrainCalculation(CalcJob):
    """One stage of the training of a PET model by metatrain, through ``pet-engine``."""

    CACHE_VERSION = 1

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define ports, options and exit codes."""
        super().define(spec)
        define_sets(spec)
        spec.input(
            "stage",
            valid_type=orm.Str,
            serializer=orm.to_aiida_type,
            validator=_validate_stage,
            help=f"What this job does: {', '.join(Stage)}.",
        )
        spec.input(
            "model",
            valid_type=PetModelData,
            required=False,
            help="The initial model. If it has an uncertainty (an LLPR wrapper), the uncertainty is removed.",
        )
        spec.input(
            "remote_state",
            valid_type=orm.RemoteData,
            required=False,
            help="Folder on the computer of an earlier, unfinished job of the same stage; this job continues from its "
            "newest checkpoint.",
        )
        define_settings(spec)
        spec.inputs.validator = _validate_job  # type: ignore[assignment]
        define_options(spec, "pet.train", TRAIN_FILE, files.METATRAIN_LOG)
        spec.output("model", valid_type=PetModelData, required=False, help="The model.")
        spec.output(
            "learning_curve",
            valid_type=TableData,
            required=False,
            help="Losses and errors of each epoch on training and validation rows; unfinished jobs have this output "
            "too.",
        )
        spec.output(
            "errors",
            valid_type=TableData,
            required=False,
            help="Errors on rows that were not used for training, by `report_by` and by element; columns with "
            "`before_` hold the errors of the initial model.",
        )
        spec.output(
            "rows",
            valid_type=TableData,
            required=False,
            help="What each row of each set was used for, or why it was not used.",
        )
        spec.output(
            "summary", valid_type=orm.Dict, required=False, help="Epochs, best epoch, rows, times, model."
        )
        spec.default_output_node = "summary"
        define_train_codes(spec)

    def _setup_db_record(self) -> None:
        """Set up the node; leave out of its hash what does not decide the results."""
        super()._setup_db_record()
        node: Any = self.node
        node.base.attributes.set("task", "train")
        node._hash_ignored_attributes = (*node._hash_ignored_attributes, *HASH_IGNORED_OPTIONS)
        caching: Any = node.base.caching
        caching._hash_ignored_inputs = [*caching._hash_ignored_inputs, *HASH_IGNORED_INPUTS]

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the job folder and say what to upload, run and retrieve."""
        path = Path(folder.abspath)
        parameters = parse_training(self.inputs.parameters.get_dict())
        stage = Stage(self.inputs.stage.value)
        model = self.inputs.get("model")
        job = TrainingJob(
            stage=stage,
            parameters=parameters.model_dump(mode="json"),
            name=name_of(parameters, model),
            model_sha256="" if model is None else model.sha256,
            known_level=told_by(model, "level_of_theory"),
            licence=told_by(model, "licence"),
            settings=complete_settings(self.inputs.get("settings", {}), self.inputs.metadata.options),
        )
        (path / TRAIN_FILE).write_text(job.to_json())
        written = []
        for name, table in tables_of(self.inputs, parameters).items():
            table.save(path / files.set_file(name))
            written.append(files.set_file(name))

        calc_info = run_in_folder(self.inputs.code)
        calc_info.local_copy_list = []
        calc_info.remote_symlink_list = []
        calc_info.prepend_text = thread_environment(job.settings.threads, self.inputs.metadata.options)
        calc_info.provenance_exclude_list = written
        if model is not None:
            calc_info.local_copy_list.append((model.uuid, model.filename, MODEL_FILE))
        if "remote_state" in self.inputs:
            remote = self.inputs.remote_state
            calc_info.remote_symlink_list.append(
                (remote.computer.uuid, remote.get_remote_path(), files.BEFORE)
            )
        calc_info.retrieve_list = [PROGRESS_FILE, LOG_FILE, files.METATRAIN_LOG, OPTIONS_FILE]
        calc_info.retrieve_temporary_list = [
            files.TRAINED_FILE,
            files.CARD_FILE,
            files.OUTCOME_FILE,
            files.ROWS_FILE,
            files.ERRORS_FILE,
            CURVE_FILE,
        ]
        return calc_info


def define_sets(spec: Any) -> None:
    """Add to ``spec`` the sets of a training and its options."""
    spec.input(
        "structures",
        valid_type=StructureSetData,
        help="Crystals with labels: columns `input_energy`, `input_stress` and, per atom, `input_forces`, or the "
        "columns that the parameters name.",
    )
    for name, use in (
        (
            "validation",
            "are used to choose the best epoch and to calibrate the uncertainty; if not given, a share of "
            "`structures` is used",
        ),
        ("test", "are used only to measure errors; if not given, a share of `structures` is used"),
        (
            "old",
            "are like the earlier training data of the model; their errors before and after the training show how "
            "much the model forgot",
        ),
    ):
        spec.input(
            name, valid_type=StructureSetData, required=False, help=f"Crystals with labels that {use}."
        )
    spec.input(
        "parameters",
        valid_type=orm.Dict,
        serializer=orm.to_aiida_type,
        default=lambda: orm.Dict({}),
        validator=validate_training,
        help="Options of the training, see `aiida_pet.training.parameters`; unknown keys are refused.",
    )


def tables_of(inputs: Mapping[str, Any], parameters: TrainingParameters) -> dict[str, StructureTable]:
    """Return the sets of ``inputs`` by their names in the folder, with those columns that a training reads."""
    found = {}
    for port, name in SETS.items():
        if inputs.get(port) is not None:
            found[name] = only_read(inputs[port].to_table(), parameters)
    return found


def only_read(table: StructureTable, parameters: TrainingParameters) -> StructureTable:
    """Return ``table`` with no other columns than those that a training reads."""
    asked = (
        parameters.energy,
        parameters.stress,
        parameters.group,
        parameters.report_by,
        parameters.level_column,
    )
    rows = {"energy", "input_energy", "stress", "input_stress", "status", *asked}
    atoms = {"forces", "input_forces", parameters.forces}
    columns = {name: values for name, values in table.columns.items() if name in rows}
    atom_columns = {name: values for name, values in table.atom_columns.items() if name in atoms}
    return replace(table, columns=columns, atom_columns=atom_columns, ragged={}, units={})


def check_sets(
    inputs: Mapping[str, Any], parameters: TrainingParameters, model: PetModelData | None
) -> Prepared:
    """Return what would be trained on.

    :raises TrainingError: if the sets cannot be trained on.
    """
    prepared = prepare(
        tables_of(inputs, parameters),
        parameters,
        elements=None if model is None else model.elements,
        known_level=level_of(told_by(model, "level_of_theory"), parameters.variant),
    )
    check_label_counts(prepared)
    return prepared


def name_of(parameters: TrainingParameters, model: PetModelData | None) -> str:
    """Return what a model that is made will be called, if the parameters do not say it: it is named after the initial
    model.
    """
    if parameters.name is not None:
        return parameters.name
    if model is None:
        return f"pet-{parameters.architecture.value}-trained"
    return model.name if model.name.endswith("-trained") else f"{model.name}-trained"


def told_by(model: PetModelData | None, key: str) -> str:
    """Return an attribute of ``model`` as text, empty without one."""
    return "" if model is None else str(model.base.attributes.get(key, None) or "")


def validate_training(node: orm.Dict | None, _: Any) -> str | None:
    """Return which parameters are unknown or out of bounds."""
    if node is None:
        return None
    try:
        parse_training(node.get_dict())
    except TrainingError as error:
        return str(error)
    return None


def _validate_stage(node: orm.Str | None, _: Any) -> str | None:
    if node is not None and node.value not in list(Stage):
        return f"unknown stage {node.value!r}: expected one of {', '.join(Stage)}"
    return None


def _validate_job(inputs: Any, namespace: PortNamespace) -> str | None:
    return (
        validate_calc_job(inputs, namespace)
        or check_margin(inputs.get("settings"), inputs.get("metadata", {}).get("options"))
        or check_remote_folders(inputs)
        or _needs_model(inputs)
    )


def _needs_model(inputs: Any) -> str | None:
    stage = inputs.get("stage")
    if stage is not None and stage.value == Stage.CALIBRATE.value and "model" not in inputs:
        return "stage calibrate needs a model to calibrate"
    return None
