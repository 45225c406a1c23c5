"""The parameters of what is made of stored force constants: names, units, defaults and bounds, unknown keys refused."""

from __future__ import annotations

from typing import Annotated, Self

from aiida import orm
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_pet.job.parameters import ParameterError
from aiida_pet.schemas import read_as, told

Vector = tuple[float, float, float]


class HarmonicParameters(BaseModel):
    """What all of them share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phonon_symprec: float = Field(
        1e-5,
        gt=0,
        lt=10,
        description="tolerance at which phonopy finds the space group; use the same value as the job",
        json_schema_extra=told(unit="A"),
    )


class BandsParameters(HarmonicParameters):
    """Bands along a path."""

    path_symprec: float = Field(
        0.01,
        gt=0,
        lt=10,
        description="tolerance at which the space group of the path is found",
        json_schema_extra=told(unit="A"),
    )
    spacing: float = Field(
        0.01,
        gt=0,
        description="largest distance between points of the path, without 2 pi",
        json_schema_extra=told(unit="1/A"),
    )
    allow_other_path: bool = Field(
        False,
        description="if the space group has changed, allow the path of the new group",
    )


class MeshParameters(HarmonicParameters):
    """Frequencies on a mesh."""

    mesh: float = Field(
        40.0, gt=0, description="length that gives the mesh of q-points", json_schema_extra=told(unit="A")
    )


class DosParameters(MeshParameters):
    """Densities of states."""

    sigma: float = Field(
        0.1,
        gt=0,
        description="standard deviation of the Gaussian smearing",
        json_schema_extra=told(unit="THz"),
    )
    frequency_range: tuple[float, float] | None = Field(
        None,
        description="lowest and highest frequency; if not given, the range contains all modes with their smearing",
        json_schema_extra=told(unit="THz"),
    )
    n_points: int = Field(501, ge=2, description="number of frequencies")

    @model_validator(mode="after")
    def _frequencies_in_order(self) -> Self:
        if self.frequency_range is not None and self.frequency_range[0] >= self.frequency_range[1]:
            raise ValueError(
                f"frequency_range must be lowest, then highest frequency, got {list(self.frequency_range)} THz"
            )
        return self


class ThermalParameters(MeshParameters):
    """Thermal properties."""

    temperatures: Annotated[tuple[float, ...], Field(min_length=1)] = Field(
        tuple(float(kelvin) for kelvin in range(0, 1001, 10)),
        description="temperatures of the thermal properties; 300 K is always among them",
        json_schema_extra=told(unit="K"),
    )

    @model_validator(mode="after")
    def _no_negative_temperatures(self) -> Self:
        if any(temperature < 0 for temperature in self.temperatures):
            raise ValueError(f"temperatures must not be negative, got {list(self.temperatures)} K")
        return self


class ModesParameters(HarmonicParameters):
    """Modes at one q-point."""

    q: Vector = Field(
        (0.0, 0.0, 0.0), description="q-point of the modes, in the reciprocal basis of the primitive cell"
    )


class FollowParameters(HarmonicParameters):
    """Crystals displaced along their softest modes."""

    amplitude: float = Field(
        0.1, gt=0, description="largest displacement of an atom", json_schema_extra=told(unit="A")
    )
    imaginary_threshold: float = Field(
        0.1,
        ge=0,
        description="modes with a frequency below minus this value are imaginary and are followed; use the same value "
        "as the job",
        json_schema_extra=told(unit="THz"),
    )


def read_parameters[P: HarmonicParameters](schema: type[P], node: orm.Dict) -> P:
    """Return the validated parameters in ``node``, defaults filled in.

    :raises ParameterError: naming each key that is unknown or out of bounds, its value and what was expected.
    """
    return read_as(schema, node.get_dict(), "parameters", ParameterError)
