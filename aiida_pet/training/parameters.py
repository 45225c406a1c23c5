"""What a training is: its modes and stages, and a typed schema of its options.

A training is one or several stages, each a job of its own: ``direct`` (energies and the direct heads, no derivative of
the energy in the loss), ``conservative`` (forces and stress by derivative, with a small weight on the direct heads so
that they are kept) and ``calibrate`` (LLPR around the model, which is not changed). Direct first, then conservative:
F. Bigi, M. F. Langer, M. Ceriotti, arXiv:2412.11569, and F. Bigi et al., arXiv:2601.16195 (Section 4.1).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_pet.schemas import read_as
from aiida_pet.training.presets import Architecture, check_hypers, merged_hypers


class Mode(StrEnum):
    """What a training is for."""

    SCRATCH = "scratch"  # a new model: direct heads first, then conservative
    FINETUNE = "finetune"  # goes on from a model, with new data
    DISTILL = "distill"  # a large model labels the set, a small one learns from it
    CALIBRATE = "calibrate"  # only the uncertainty of a model


class Stage(StrEnum):
    """What one job of a training does."""

    DIRECT = "direct"
    CONSERVATIVE = "conservative"
    CALIBRATE = "calibrate"


class Method(StrEnum):
    """Which weights a fine-tuning changes."""

    FULL = "full"
    LORA = "lora"
    HEADS = "heads"


class Criterion(StrEnum):
    """By which figure of the validation set the best epoch is chosen, metatrain's ``best_model_metric``."""

    MAE = "mae_prod"  # the product of all mean absolute errors
    RMSE = "rmse_prod"
    LOSS = "loss"


class Calibration(StrEnum):
    """How LLPR's factor is found, metatrain's ``calibration_method``."""

    ABSOLUTE = "absolute_residuals"
    SQUARED = "squared_residuals"
    CRPS = "crps"


AUTO = "auto"
"""As a column: the first that there is of ``input_energy`` and ``energy``, and so on."""


class TrainingError(ValueError):
    """Raised for options or data that cannot be trained on; the message names value, expectation and remedy."""


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


class TrainingParameters(BaseModel):
    """All options of a training; each mode and stage reads those that concern it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # -- the model -------------------------------------------------------------------------------------------
    architecture: Architecture = Field(Architecture.XXS, description="size of a new model")
    cutoff: float = Field(
        6.0, gt=1, le=15, description="cutoff radius of a new model", json_schema_extra=_unit("A")
    )
    cutoff_width: float = Field(
        1.0,
        gt=0,
        le=5,
        description="width over which neighbours fade out at the cutoff",
        json_schema_extra=_unit("A"),
    )
    neighbors: int | None = Field(
        20,
        ge=4,
        description="target number of neighbours for the adaptive cutoff of a new model; with null all neighbours "
        "within the cutoff count",
    )
    hypers: dict[str, Any] = Field(
        default_factory=dict,
        description="hyperparameters of metatrain's PET that replace those of the chosen architecture, such as "
        "{d_pet: 96}",
    )
    dtype: str = Field("float32", pattern="^float(32|64)$", description="precision of the training")

    # -- labels ----------------------------------------------------------------------------------------------
    energy: str = Field(AUTO, description="column with energies of the cell", json_schema_extra=_unit("eV"))
    forces: str | None = Field(
        AUTO,
        description="column with forces; with null the model is trained without forces",
        json_schema_extra=_unit("eV/A"),
    )
    stress: str | None = Field(
        AUTO,
        description="column with stresses, positive under tension; with null the model is trained without stresses",
        json_schema_extra=_unit("eV/A^3"),
    )
    level_column: str | None = Field(
        "level_of_theory",
        description="column that says the level of theory of each row, if the set has such a column",
    )
    max_energy: float = Field(
        20.0,
        gt=0,
        description="largest difference between the energy of a row and the energy expected for its composition; a "
        "row with a larger difference is refused",
        json_schema_extra=_unit("eV/atom"),
    )
    max_force: float = Field(
        100.0,
        gt=0,
        description="largest force; a row with a larger force is refused",
        json_schema_extra=_unit("eV/A"),
    )
    max_stress: float = Field(
        5.0,
        gt=0,
        description="largest stress; a row with a larger stress is refused",
        json_schema_extra=_unit("eV/A^3"),
    )
    min_distance: float = Field(
        0.5,
        ge=0,
        description="smallest allowed distance between two atoms; a row with a shorter distance is refused",
        json_schema_extra=_unit("A"),
    )
    min_rows: int = Field(
        8, ge=4, description="smallest number of rows in a training set; a smaller set is refused"
    )

    # -- the split -------------------------------------------------------------------------------------------
    group: str | None = Field(
        None,
        description="column that names the crystal from which a row comes; all rows of a crystal are in the same part "
        "of the split (training, validation or test)",
    )
    report_by: str | None = Field(
        None,
        description="column by which errors are grouped, such as kind; errors are always grouped by element too",
    )
    validation_fraction: float = Field(
        0.1,
        ge=0,
        lt=0.9,
        description="share of the set (in whole groups) that is used for validation if there is no validation set",
    )
    test_fraction: float = Field(
        0.1,
        ge=0,
        lt=0.9,
        description="share of the set (in whole groups) that is used to measure errors if there is no test set",
    )
    seed: int = Field(
        0, ge=0, description="random seed for the split, for the initial weights and for the order of batches"
    )

    # -- how it is trained -----------------------------------------------------------------------------------
    epochs: int = Field(50, ge=1, description="number of epochs of the conservative stage")
    epochs_direct: int = Field(
        50,
        ge=0,
        description="number of epochs of the direct stage of a new model; with 0 there is no such stage",
    )
    learning_rate: float = Field(
        5e-4, gt=0, le=0.1, description="largest learning rate of the conservative stage"
    )
    learning_rate_direct: float = Field(
        1e-3, gt=0, le=0.1, description="largest learning rate of the direct stage"
    )
    warmup_fraction: float = Field(
        0.05, ge=0, lt=1, description="share of the steps during which the learning rate rises"
    )
    weight_decay: float | None = Field(
        None, gt=0, description="weight decay of AdamW; with null Adam is used"
    )
    batch_atoms: int = Field(192, ge=1, description="largest number of atoms of a batch")
    energy_weight: float = Field(1.0, gt=0, description="weight of energies in the loss")
    force_weight: float = Field(1.0, ge=0, description="weight of forces in the loss")
    stress_weight: float = Field(1.0, ge=0, description="weight of stresses in the loss")
    direct_weight: float = Field(
        0.01,
        ge=0,
        description="weight of the direct heads in the loss of the conservative stage (it is 1 in the direct stage); "
        "with 0 a new model has no direct heads",
    )
    energy_delta: float = Field(
        0.05,
        gt=0,
        description="error of energies above which the loss is linear instead of quadratic",
        json_schema_extra=_unit("eV/atom"),
    )
    force_delta: float = Field(
        0.1,
        gt=0,
        description="error of forces above which the loss is linear instead of quadratic",
        json_schema_extra=_unit("eV/A"),
    )
    virial_delta: float = Field(
        0.1,
        gt=0,
        description="error of virials per atom above which the loss is linear instead of quadratic",
        json_schema_extra=_unit("eV/atom"),
    )
    direct_stress_delta: float = Field(
        0.01,
        gt=0,
        description="error of direct stresses above which the loss is linear instead of quadratic",
        json_schema_extra=_unit("eV/A^3"),
    )
    criterion: Criterion = Field(
        Criterion.MAE, description="error on the validation set by which the best epoch is chosen"
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="the training stops if the criterion has not improved for this number of epochs",
    )

    # -- fine-tuning and calibration -------------------------------------------------------------------------
    method: Method = Field(Method.FULL, description="which weights a fine-tuning changes")
    lora_rank: int = Field(4, ge=1, description="rank of the matrices of method=lora")
    lora_alpha: float = Field(
        8.0,
        gt=0,
        description="with method=lora the added matrices are scaled by lora_alpha / lora_rank",
    )
    variant: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="name of additional outputs for another level of theory: with r2scan the output energy/r2scan is "
        "trained",
    )
    inherit_heads: bool = Field(
        True, description="start the heads of a new variant as copies of the model's heads"
    )
    calibrate: bool | None = Field(
        None,
        description="whether the training ends with a calibration; null means only if the initial model was calibrated",
    )
    whole_training_set: bool = Field(
        False,
        description="true if the set contains all training data of the initial model. This is useful for a model that "
        "does not state its training data: rows with other pairs of elements then get the warning extrapolated",
    )
    ensemble: int = Field(
        0,
        ge=0,
        le=1024,
        description="number of members of the ensemble of energies that a calibration makes; with 0 there is no "
        "ensemble",
    )
    calibration: Calibration = Field(
        Calibration.ABSOLUTE,
        description="error measure with which LLPR computes the scale of its uncertainty",
    )

    # -- what it is called -----------------------------------------------------------------------------------
    name: str | None = Field(None, min_length=1, max_length=100, description="name of the new model")
    version: str = Field("", max_length=40, description="version of the new model")
    level_of_theory: str | None = Field(
        None,
        description="level of theory of the labels; null means the level of the set, or of the initial model",
    )
    licence: str | None = Field(
        None, description="licence of the new model; null means the licence of the initial model"
    )

    @model_validator(mode="after")
    def _known_hypers(self) -> Self:
        check_hypers(self.hypers, self.all_hypers())
        return self

    @model_validator(mode="after")
    def _something_to_train_on(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"validation_fraction {self.validation_fraction} and test_fraction {self.test_fraction} leave nothing "
                "to train on"
            )
        if self.forces is None and self.epochs_direct and not self.stress:
            raise ValueError(
                "without forces and stress there are no direct heads to train: set epochs_direct=0"
            )
        return self

    def all_hypers(self) -> dict[str, Any]:
        """Return the hyperparameters of a new model, as metatrain names them."""
        return merged_hypers(self.architecture, self.cutoff, self.cutoff_width, self.neighbors, self.hypers)

    def epochs_of(self, stage: Stage) -> int:
        """Return the number of epochs of ``stage``; a calibration counts as one epoch."""
        return {
            Stage.DIRECT: self.epochs_direct,
            Stage.CONSERVATIVE: self.epochs,
            Stage.CALIBRATE: 1,
        }[stage]

    def stages(self, mode: Mode, *, calibrated: bool = False) -> list[Stage]:
        """Return the stages of ``mode``, in order.

        :param calibrated: whether the model that is begun from (or the teacher) has a calibration.
        """
        if mode is Mode.CALIBRATE:
            return [Stage.CALIBRATE]
        found = [Stage.CONSERVATIVE]
        if mode is not Mode.FINETUNE and self.epochs_direct:
            found.insert(0, Stage.DIRECT)
        if self.calibrate or (self.calibrate is None and calibrated):
            found.append(Stage.CALIBRATE)
        return found


def parse_training(parameters: dict[str, Any]) -> TrainingParameters:
    """Return ``parameters`` as the schema, defaults filled in.

    :raises TrainingError: naming each unknown key, or value that is out of bounds.
    """
    return read_as(TrainingParameters, parameters, "parameters of a training", TrainingError)


def describe_training() -> list[tuple[str, str, str, str]]:
    """Return (name, default, unit, description) of each option, for help texts."""
    rows = []
    for name, info in TrainingParameters.model_fields.items():
        extra = info.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        default = info.get_default(call_default_factory=True)
        rows.append((name, str(getattr(default, "value", default)), unit, info.description or ""))
    return rows
