"""The parameters of each task: names, units, defaults and bounds in one place, unknown keys refused.

What stands here is science and decides a result; where and how fast it runs is
:class:`aiida_pet.engine.job.EngineSettings`. Free of torch and of AiiDA.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aiida_pet.engine.job import Task


class Derivation(StrEnum):
    """Where forces or stress come from."""

    CONSERVATIVE = "conservative"  # derivative of the energy
    DIRECT = "direct"  # a head of its own: 2-3 times faster, not the derivative of anything


class Dtype(StrEnum):
    """Precision of the model; positions, cells and sums are always float64."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


class Output(StrEnum):
    """What a model may be asked for beside energy, forces and stress; the name of the column it is written to."""

    ENERGIES = "energies"  # of each atom, eV
    FEATURES = "features"  # last-layer features of the energy head, summed over the atoms
    UNCERTAINTY = "uncertainty"  # standard deviation of the energy, eV, of models that were calibrated for it
    INVARIANCE = "invariance"  # norm of the derivative of the energy by a rotation of the crystal, eV


class Optimizer(StrEnum):
    """Minimisation algorithm."""

    FIRE = "fire"
    LBFGS = "lbfgs"


class CellFilter(StrEnum):
    """What of the cell may relax."""

    FULL = "full"  # all six strains
    SHAPE = "shape"  # strains at constant volume
    VOLUME = "volume"  # isotropic strain only
    FIXED = "fixed"  # nothing


class Symmetry(StrEnum):
    """Whether a relaxation is held to the space group of its start."""

    NONE = "none"
    CONSTRAINED = "constrained"


class Averaging(StrEnum):
    """Rotations over which an unconstrained model is averaged, each with and without the inversion.

    Beside these there is ``lebedev-N``: a Lebedev grid times angles in the plane, exact to degree N, 84 rotations for
    N = 3. All but ``random`` are fixed in the laboratory frame, so that the averaged energy is smooth.
    """

    NONE = "none"
    SPACEGROUP = "spacegroup"  # the point operations of the crystal at its start
    ICOSAHEDRAL = "icosahedral"  # the 120 operations of I_h, exact to degree 5
    OCTAHEDRAL = "octahedral"  # the 48 operations of O_h, exact to degree 3
    RANDOM = "random"  # one at each evaluation: no average, but no preferred axes either


LEBEDEV_MAX = 131


def lebedev_degree(averaging: str) -> int | None:
    """Return N of ``lebedev-N``; None if ``averaging`` is not of this form."""
    name, _, degree = averaging.partition("-")
    return int(degree) if name == "lebedev" and degree.isdecimal() else None


class ParameterError(ValueError):
    """Raised for parameters that a task does not understand; each line names key, value and what was expected."""


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


class StaticParameters(BaseModel):
    """Energy, forces and stress of each crystal as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forces: Derivation = Field(Derivation.CONSERVATIVE, description="where forces come from")
    stress: Derivation = Field(Derivation.CONSERVATIVE, description="where the stress comes from")
    dtype: Dtype = Field(Dtype.FLOAT64, description="precision of the model")
    variant: str | None = Field(
        None,
        min_length=1,
        description="of the model's outputs, as pbe in energy/pbe; null for those without one",
    )
    outputs: tuple[Output, ...] = Field((), description=f"further columns, any of {', '.join(Output)}")
    symprecs: Annotated[tuple[float, ...], Field(json_schema_extra=_unit("A"))] = Field(
        (0.001, 0.01, 0.1), description="tolerances at which space groups are reported; empty for none"
    )
    symprec: float = Field(
        0.01,
        gt=0,
        lt=10,
        description="tolerance of the space group that is held, or averaged over",
        json_schema_extra=_unit("A"),
    )
    averaging: str = Field(
        Averaging.NONE,
        description="rotations over which energy, forces and stress are averaged: "
        f"{', '.join(Averaging)}, or lebedev-N such as lebedev-3",
    )
    min_distance: float = Field(
        0.5,
        ge=0,
        description="shorter interatomic distances are invalid_geometry",
        json_schema_extra=_unit("A"),
    )
    seed: int = Field(0, ge=0, description="of everything random")

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
                f"to {LEBEDEV_MAX}, such as lebedev-3"
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
        0.02, gt=0, description="largest force norm at convergence", json_schema_extra=_unit("eV/A")
    )
    stress_max: float = Field(
        0.1,
        gt=0,
        description="largest component of the free stress (plus pressure) at convergence",
        json_schema_extra=_unit("GPa"),
    )
    max_steps: int = Field(
        500, ge=0, description="steps of the optimiser after which a row ends as max_steps"
    )
    optimizer: Optimizer = Field(Optimizer.FIRE, description="minimisation algorithm")
    cell: CellFilter = Field(CellFilter.FULL, description="what of the cell may relax")
    pressure: float = Field(0.0, description="external hydrostatic pressure", json_schema_extra=_unit("GPa"))
    symmetry: Symmetry = Field(Symmetry.NONE, description="hold each crystal to the space group of its start")
    average_from_fmax: float | None = Field(
        None,
        gt=0,
        description="average a row only from the step on at which its largest force norm is below this; none "
        "averages from the start",
        json_schema_extra=_unit("eV/A"),
    )
    max_step: float = Field(
        0.2,
        gt=0,
        description="largest move of the generalised coordinates in one step",
        json_schema_extra=_unit("A"),
    )
    volume_ratio_max: float = Field(
        4.0, gt=1, description="a volume that changes by more than this factor is diverged"
    )
    force_cap: float = Field(
        1e4, gt=0, description="a larger force norm is diverged", json_schema_extra=_unit("eV/A")
    )

    @model_validator(mode="after")
    def _pressure_needs_a_cell(self) -> Self:
        if self.pressure and self.cell in (CellFilter.FIXED, CellFilter.SHAPE):
            raise ValueError(
                f"pressure {self.pressure} GPa has no effect with cell={self.cell.value}: use full or volume"
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


Parameters = StaticParameters | RelaxParameters

PARAMETERS: dict[Task, type[StaticParameters]] = {Task.STATIC: StaticParameters, Task.RELAX: RelaxParameters}


def parse_parameters(task: Task, raw: dict[str, Any]) -> Any:
    """Return the validated parameters of ``task``, defaults filled in.

    :raises ParameterError: naming each key that is unknown or out of bounds, its value and what was expected.
    """
    schema = PARAMETERS[task]
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"]) or "parameters"
            if problem["type"] == "extra_forbidden":
                lines.append(f"{key}: unknown; known are {', '.join(schema.model_fields)}")
            else:
                unit = _unit_of(schema, key)
                lines.append(f"{key} = {problem['input']!r}{unit}: {problem['msg']}")
        raise ParameterError(f"bad parameters of {task.value}:\n  " + "\n  ".join(lines)) from error


def _unit_of(schema: type[BaseModel], key: str) -> str:
    extra = schema.model_fields[key].json_schema_extra if key in schema.model_fields else None
    unit = extra.get("unit") if isinstance(extra, dict) else None
    return f" {unit}" if unit else ""


def describe_parameters(task: Task) -> list[tuple[str, str, str, str]]:
    """Return (name, default, unit, description) of each parameter of ``task``, for help texts."""
    schema = PARAMETERS[task]
    rows = []
    for name, info in schema.model_fields.items():
        default = info.default
        text = (
            ", ".join(map(str, default))
            if isinstance(default, tuple)
            else str(getattr(default, "value", default))
        )
        rows.append((name, text, _unit_of(schema, name).strip(), info.description or ""))
    return rows


def symprec_label(symprec: float) -> str:
    """Return the suffix of columns at tolerance ``symprec`` (A), usable in queries: 0.01 -> ``0_01``."""
    return f"{symprec:.10f}".rstrip("0").rstrip(".").replace(".", "_")
