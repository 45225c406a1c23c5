"""The parameters of molecular dynamics."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_pet.job.choices import Averaging, Derivation
from aiida_pet.job.parameters import StaticParameters
from aiida_pet.schemas import told


class Ensemble(StrEnum):
    """What of a row is kept."""

    NVE = "nve"  # energy and cell
    NVT = "nvt"  # temperature and cell
    NPT = "npt"  # temperature and pressure


class ThermostatChoice(StrEnum):
    """What keeps the temperature."""

    LANGEVIN = "langevin"  # friction and noise on each atom
    BUSSI = "bussi"  # random scaling of all velocities
    NOSE_HOOVER = "nose_hoover"  # a chain of three, deterministic


class BarostatChoice(StrEnum):
    """What keeps the pressure."""

    NOSE_HOOVER = "nose_hoover"  # isotropic, deterministic, with chains of its own
    CELL_RESCALING = "cell_rescaling"  # all of the cell, random


class Rotation(StrEnum):
    """How the model sees the crystal."""

    NONE = "none"  # as it is
    RANDOM = "random"  # rotated, and inverted at even odds, anew at every step


class RespaParameters(BaseModel):
    """Multiple time steps: which forces how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inner: Derivation = Field(Derivation.DIRECT, description="forces of the inner steps")
    outer: Derivation = Field(Derivation.CONSERVATIVE, description="forces of the outer steps")
    every: int = Field(8, ge=1, le=100, description="number of inner steps in an outer step")

    @model_validator(mode="after")
    def _cheap_inside(self) -> Self:
        if (self.inner, self.outer) != (Derivation.DIRECT, Derivation.CONSERVATIVE):
            raise ValueError(
                f"respa has inner = {self.inner.value} and outer = {self.outer.value}: expected inner = direct and "
                "outer = conservative"
            )
        return self


class DynamicsParameters(StaticParameters):
    """Move the atoms of each crystal by Newton's equations, with a thermostat and a barostat if asked for."""

    ensemble: Ensemble = Field(
        Ensemble.NVT, description="ensemble: nve, nvt or npt; the letters say what is constant"
    )
    temperature: float = Field(
        300.0,
        gt=0,
        description="temperature of the initial velocities and of the thermostat; the column md_temperature replaces "
        "it row by row",
        json_schema_extra=told(unit="K"),
    )
    temperature_end: float | None = Field(
        None,
        gt=0,
        description="temperature of the thermostat at the end; it changes evenly during production. If not given, it "
        "stays the same",
        json_schema_extra=told(unit="K"),
    )
    initial_temperature: float | None = Field(
        None,
        ge=0,
        description="temperature of the initial velocities, at which heating starts; if not given, it is equal to "
        "temperature",
        json_schema_extra=told(unit="K"),
    )
    exact_temperature: bool = Field(
        False,
        description="scale the initial velocities so that their temperature is exact; otherwise it deviates a little, "
        "since velocities are drawn at random",
    )
    pressure: float = Field(
        0.0,
        description="hydrostatic pressure of the barostat; the column md_pressure replaces it row by row",
        json_schema_extra=told(unit="GPa"),
    )
    timestep: float = Field(
        1.0,
        gt=0,
        description="time step of the equations of motion; with respa, this is the inner step. The column md_timestep "
        "replaces it row by row",
        json_schema_extra=told(unit="fs"),
    )
    heating_steps: int = Field(
        0,
        ge=0,
        description="number of steps during which the thermostat goes from initial_temperature to temperature; these "
        "steps are not sampled",
    )
    equilibration_steps: int = Field(
        1000,
        ge=0,
        description="number of steps at temperature before production; these steps are not sampled",
    )
    steps: int = Field(
        10_000,
        ge=1,
        description="number of steps of production; with respa, outer steps are counted. The column md_steps replaces "
        "it row by row",
    )
    thermostat: ThermostatChoice | None = Field(
        None,
        description="thermostat: langevin, bussi or nose_hoover. If not given, it is bussi, or nose_hoover if "
        "barostat=nose_hoover",
    )
    barostat: BarostatChoice = Field(
        BarostatChoice.CELL_RESCALING,
        description="barostat of npt: cell_rescaling (changes the whole cell) or nose_hoover (changes its volume "
        "alone)",
    )
    thermostat_time: float = Field(
        100.0, gt=0, description="time constant of the thermostat", json_schema_extra=told(unit="fs")
    )
    barostat_time: float = Field(
        1000.0, gt=0, description="time constant of the barostat", json_schema_extra=told(unit="fs")
    )
    compressibility: float = Field(
        0.01,
        gt=0,
        description="rough value of 1 / bulk modulus, for barostat=cell_rescaling. A wrong value changes only how "
        "fast the cell responds, not the ensemble that is sampled",
        json_schema_extra=told(unit="1/GPa"),
    )
    rotation: Rotation = Field(
        Rotation.NONE,
        description="with random, the crystal is rotated at random before each evaluation of the model, and inverted "
        "with a probability of one half",
    )
    respa: RespaParameters | None = Field(
        None,
        description="multiple time steps: cheap forces at every inner step, exact forces at every outer step. The "
        "keys are inner (forces of inner steps, default direct), outer (forces of outer steps, default "
        "conservative) and every (number of inner steps in an outer step)",
        json_schema_extra=told(expected="inner, outer and every, such as {every: 8}"),
    )
    remove_drift: bool = Field(
        True,
        description="keep the centre of mass at rest if no atom is held; the temperature then leaves out this motion",
    )
    remove_rotation: bool = Field(
        True, description="let molecules (periodic in no direction) begin without rotation"
    )
    sample_every: int = Field(
        10,
        ge=1,
        description="number of steps between two samples; means, errors and drift are computed from the samples",
    )
    frames_every: int = Field(
        100,
        ge=0,
        description="number of steps between two frames of the trajectory, in all phases; 0 writes no trajectory",
    )
    velocities: bool = Field(False, description="keep velocities in the trajectory, which doubles its size")
    temperature_max: float = Field(
        1e5,
        gt=0,
        description="highest allowed temperature; a row that is hotter ends as exploded",
        json_schema_extra=told(unit="K"),
    )
    volume_ratio_max: float = Field(
        4.0,
        gt=1,
        description="largest factor by which the volume may change; if it changes more, the row ends as exploded",
    )

    @model_validator(mode="after")
    def _of_the_ensemble(self) -> Self:
        of_npt = {"pressure", "barostat", "barostat_time", "compressibility"}
        of_heat = {"thermostat", "temperature_end", "thermostat_time", "heating_steps"}
        idle = (of_npt if self.ensemble is not Ensemble.NPT else set()) | (
            of_heat if self.ensemble is Ensemble.NVE else set()
        )
        for name in sorted(idle):
            value, default = getattr(self, name), type(self).model_fields[name].default
            if value != default:
                raise ValueError(
                    f"{name} = {value} has no effect with ensemble={self.ensemble.value}: leave it out"
                )
        is_chain = self.ensemble is Ensemble.NPT and self.barostat is BarostatChoice.NOSE_HOOVER
        if is_chain and self.thermostat not in (None, ThermostatChoice.NOSE_HOOVER):
            raise ValueError(
                f"barostat=nose_hoover has its own chains and cannot be used with thermostat={self.thermostat}: "
                "leave the thermostat out, or take barostat=cell_rescaling"
            )
        return self

    @model_validator(mode="after")
    def _of_unconstrained_models(self) -> Self:
        if self.averaging == Averaging.RANDOM:
            raise ValueError("averaging=random would give other results after a restart: use rotation=random")
        if self.rotation is Rotation.RANDOM and self.averaging != Averaging.NONE:
            raise ValueError(
                f"rotation=random cannot be used with averaging={self.averaging}: choose one of the two"
            )
        if self.ensemble is Ensemble.NPT and self.rotation is Rotation.RANDOM:
            raise ValueError(
                "rotation=random cannot be used with ensemble=npt: the stress depends slightly on the orientation and "
                "would deform the cell"
            )
        if self.respa is not None and self.ensemble is Ensemble.NPT:
            raise ValueError(
                "respa needs ensemble=nve or nvt: a barostat would need the stress at every step"
            )
        if self.respa is not None and self.forces is not self.respa.outer:
            raise ValueError(
                f"respa takes forces = {self.respa.outer.value} for the outer steps: leave forces out"
            )
        return self

    @property
    def thermostat_used(self) -> ThermostatChoice | None:
        """The thermostat, the default filled in; None of nve."""
        if self.ensemble is Ensemble.NVE:
            return None
        is_chain = self.ensemble is Ensemble.NPT and self.barostat is BarostatChoice.NOSE_HOOVER
        return self.thermostat or (ThermostatChoice.NOSE_HOOVER if is_chain else ThermostatChoice.BUSSI)

    @property
    def inner_steps(self) -> int:
        """Evaluations of inner forces in a step."""
        return 1 if self.respa is None else self.respa.every

    @property
    def steps_before(self) -> int:
        """Steps before production."""
        return self.heating_steps + self.equilibration_steps
