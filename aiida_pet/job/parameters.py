"""The parameters of each task: names, units, defaults and bounds in one place, unknown keys refused.

What stands here is science and decides a result; where and how fast it runs is
:class:`aiida_pet.job.folder.EngineSettings`. Free of torch and of AiiDA.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from aiida_pet.job.choices import (
    LEBEDEV_MAX,
    Averaging,
    CellFilter,
    Derivation,
    Dtype,
    ForceConstants,
    Ions,
    Optimizer,
    Output,
    Strains,
    Symmetry,
    lebedev_degree,
)
from aiida_pet.job.tasks import Task, schema_of
from aiida_pet.schemas import read_as, told, unit_of

__all__ = [
    "LEBEDEV_MAX",
    "Averaging",
    "CellFilter",
    "Derivation",
    "Dtype",
    "ForceConstants",
    "Ions",
    "Optimizer",
    "Output",
    "ParameterError",
    "RelaxParameters",
    "StaticParameters",
    "Strains",
    "Symmetry",
    "TightRelaxParameters",
    "describe_parameters",
    "heads_in_words",
    "lebedev_degree",
    "parse_parameters",
]


class ParameterError(ValueError):
    """Raised for parameters that a task does not understand; each line names key, value and what was expected."""


class StaticParameters(BaseModel):
    """Energy, forces and stress of each crystal as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    forces: Derivation = Field(
        Derivation.CONSERVATIVE,
        description="how the model gives forces: conservative (derivative of the energy) or direct (its direct heads)",
    )
    stress: Derivation = Field(
        Derivation.CONSERVATIVE,
        description="how the model gives the stress: conservative (derivative of the energy) or direct (its direct "
        "heads)",
    )
    dtype: Dtype = Field(Dtype.FLOAT64, description="precision of the model")
    variant: str | None = Field(
        None,
        min_length=1,
        description="variant of the model's outputs, such as pbe for energy/pbe; null for outputs without a variant",
    )
    outputs: tuple[Output, ...] = Field(
        (), description=f"further columns of the results: any of {', '.join(Output)}"
    )
    symprecs: Annotated[tuple[float, ...], Field(json_schema_extra=told(unit="A"))] = Field(
        (0.001, 0.01, 0.1),
        description="tolerances at which space groups are reported; with an empty list none are reported",
    )
    symprec: float = Field(
        0.01,
        gt=0,
        lt=10,
        description="tolerance for finding the symmetry group that is held or used for averaging. This is the space "
        "group of a crystal, the layer group of a slab, or the group of a wire or molecule in a box with vacuum",
        json_schema_extra=told(unit="A"),
    )
    averaging: str = Field(
        Averaging.NONE,
        description="rotations over which energy, forces and stress are averaged: "
        f"{', '.join(Averaging)}, lebedev-N such as lebedev-3, or lebedev-N-proper without the inversion",
    )
    min_distance: float = Field(
        0.5,
        ge=0,
        description="smallest allowed distance between two atoms; a row with a shorter distance ends as "
        "invalid_geometry",
        json_schema_extra=told(unit="A"),
    )
    seed: int = Field(0, ge=0, description="seed of all random numbers")

    @field_validator("*", mode="before")
    @classmethod
    def _no_flags_for_numbers(cls, given: Any, info: ValidationInfo) -> Any:
        """Make true and false words where numbers are expected, which refuse words: they would be read as 1 and 0."""
        takes = cls.model_fields[str(info.field_name)].annotation
        return given if takes in (bool, str, str | None) else _flags_as_words(given)

    @model_validator(mode="after")
    def _positive_symprecs(self) -> Self:
        if any(not 0 < symprec < 10 for symprec in self.symprecs):
            raise ValueError(f"symprecs must be between 0 and 10 A, got {list(self.symprecs)}")
        if len(set(self.symprecs)) != len(self.symprecs):
            raise ValueError(f"symprecs must differ from each other, got {list(self.symprecs)}")
        return self

    @model_validator(mode="after")
    def _known_averaging(self) -> Self:
        degree = lebedev_degree(self.averaging)
        if self.averaging not in list(Averaging) and not (degree and degree <= LEBEDEV_MAX):
            raise ValueError(
                f"averaging = {self.averaging!r}: expected one of {', '.join(Averaging)}, or lebedev-N with N from 1 "
                f"to {LEBEDEV_MAX}, such as lebedev-3, or lebedev-3-proper"
            )
        return self

    @model_validator(mode="after")
    def _distinct_outputs(self) -> Self:
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError(
                f"outputs must differ from each other, got {[str(name) for name in self.outputs]}"
            )
        return self


class RelaxParameters(StaticParameters):
    """Minimise energy (or enthalpy) over positions and cell."""

    fmax: float = Field(
        0.02,
        gt=0,
        description="largest force norm at convergence; components of held atoms (columns fixed_cartesian and "
        "fixed_scaled) do not count",
        json_schema_extra=told(unit="eV/A"),
    )
    stress_max: float = Field(
        0.1,
        gt=0,
        description="largest component of the free stress (stress plus pressure) at convergence. With cell=plane only "
        "the stress in the plane of the slab counts; it refers to the volume of the cell including the vacuum",
        json_schema_extra=told(unit="GPa"),
    )
    max_steps: int = Field(
        500,
        ge=0,
        description="largest number of steps of the optimiser; a row that needs more ends as max_steps",
    )
    optimizer: Optimizer = Field(Optimizer.FIRE, description="minimisation algorithm")
    cell: CellFilter = Field(
        CellFilter.FULL,
        description="how the cell relaxes: full (all six strains), shape (at constant volume), volume (isotropic), "
        "plane (for slabs, in the plane of the two periodic vectors) or fixed (not at all)",
    )
    pressure: float = Field(
        0.0, description="external hydrostatic pressure", json_schema_extra=told(unit="GPa")
    )
    symmetry: Symmetry = Field(
        Symmetry.NONE,
        description="with constrained, a crystal keeps the space group with which it starts, and a slab its layer "
        "group. If atoms are held, only operations that map held atoms onto each other are kept. With none, no "
        "symmetry is imposed",
    )
    average_from_fmax: float | None = Field(
        None,
        gt=0,
        description="averaging of a row begins when its largest force norm is below this value; with null it begins "
        "at once",
        json_schema_extra=told(unit="eV/A"),
    )
    max_step: float = Field(
        0.2,
        gt=0,
        description="largest change of the generalised coordinates in one step",
        json_schema_extra=told(unit="A"),
    )
    volume_ratio_max: float = Field(
        4.0,
        gt=1,
        description="largest factor by which the volume may change; if it changes more, the row ends as diverged",
    )
    force_cap: float = Field(
        1e4,
        gt=0,
        description="largest allowed force norm; a row with a larger force ends as diverged",
        json_schema_extra=told(unit="eV/A"),
    )

    @model_validator(mode="after")
    def _pressure_needs_a_cell(self) -> Self:
        if self.pressure and self.cell is CellFilter.PLANE:
            raise ValueError(
                f"pressure {self.pressure} GPa cannot be used with cell=plane, since a slab has vacuum on both sides: "
                "leave it out"
            )
        if self.pressure and self.cell in (CellFilter.FIXED, CellFilter.SHAPE):
            raise ValueError(
                f"pressure {self.pressure} GPa has no effect with cell={self.cell.value}: use full or volume"
            )
        return self

    @model_validator(mode="after")
    def _stress_of_a_slab(self) -> Self:
        if self.cell is CellFilter.PLANE and self.stress is Derivation.DIRECT:
            raise ValueError(
                "direct stress is meant for a crystal without vacuum and cannot be used with cell=plane: use "
                "stress=conservative"
            )
        return self

    @model_validator(mode="after")
    def _averaging_that_a_relaxation_can_follow(self) -> Self:
        if self.averaging == Averaging.RANDOM:
            raise ValueError(
                "averaging=random changes the energy at every step, which no relaxation can follow: use lebedev-3"
            )
        if self.average_from_fmax is not None and self.averaging == Averaging.NONE:
            raise ValueError(
                f"average_from_fmax = {self.average_from_fmax} eV/A has no effect without averaging: set "
                "averaging to lebedev-3, icosahedral, octahedral or spacegroup"
            )
        if self.average_from_fmax is not None and self.average_from_fmax <= self.fmax:
            raise ValueError(
                f"average_from_fmax = {self.average_from_fmax} eV/A must be above fmax = {self.fmax} eV/A"
            )
        return self


class TightRelaxParameters(RelaxParameters):
    """Relaxation as derivatives of the energy want it, before they are taken."""

    relax_first: bool = Field(
        True, description="relax each crystal first; if false, the crystals are used as they are"
    )
    fmax: float = Field(
        1e-4, gt=0, description="largest force norm at convergence", json_schema_extra=told(unit="eV/A")
    )
    stress_max: float = Field(
        1e-3,
        gt=0,
        description="largest component of the free stress (stress plus pressure) at convergence",
        json_schema_extra=told(unit="GPa"),
    )
    max_steps: int = Field(
        2000,
        ge=0,
        description="largest number of steps of the optimiser; a row that needs more ends as max_steps",
    )
    symmetry: Symmetry = Field(
        Symmetry.CONSTRAINED,
        description="with constrained, a crystal keeps the space group with which it starts; with none, no symmetry "
        "is imposed",
    )

    @model_validator(mode="after")
    def _crystals_only(self) -> Self:
        if self.cell is CellFilter.PLANE:
            raise ValueError(
                "cell=plane is for slabs, and this task needs crystals periodic in all directions: use full"
            )
        return self


def _flags_as_words(given: Any) -> Any:
    if isinstance(given, dict):
        return {key: _flags_as_words(value) for key, value in given.items()}
    if isinstance(given, list | tuple):
        return type(given)(_flags_as_words(value) for value in given)
    return str(given) if isinstance(given, bool) else given


def heads_in_words(parameters: StaticParameters) -> str:
    """Return whether forces and stress derive from the energy: what is not conservative says so in every table."""
    direct = [name for name in ("forces", "stress") if getattr(parameters, name) is Derivation.DIRECT]
    return f"direct {' and '.join(direct)}" if direct else Derivation.CONSERVATIVE.value


def parse_parameters(task: Task, raw: dict[str, Any]) -> Any:
    """Return the validated parameters of ``task``, defaults filled in.

    :raises ParameterError: naming each key that is unknown or out of bounds, its value and what was expected.
    """
    return read_as(schema_of(task), raw, f"parameters of {task.value}", ParameterError)


def describe_parameters(task: Task) -> list[tuple[str, str, str, str]]:
    """Return (name, default, unit, description) of each parameter of ``task``, for help texts."""
    schema = schema_of(task)
    rows = []
    for name, info in schema.model_fields.items():
        default = info.default
        text = (
            ", ".join(map(str, default))
            if isinstance(default, tuple)
            else str(getattr(default, "value", default))
        )
        rows.append((name, text, unit_of(schema, name), info.description or ""))
    return rows
