"""The parameters of tasks that look at a crystal at several volumes: equations of state, quasi-harmonic properties."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from aiida_pet.job.choices import AtVolume, Equation
from aiida_pet.job.parameters import TightRelaxParameters
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.schemas import told

_FEWEST = 5  # of a fit of four numbers
_RATIOS = (0.3, 3.0)


class VolumesParameters(BaseModel):
    """At which volumes a crystal is looked at, and what is made of its energies."""

    n_volumes: int = Field(11, ge=_FEWEST, le=101, description="number of volumes")
    max_strain: float = Field(
        0.03,
        gt=0,
        lt=0.2,
        description="strain of all lengths at the smallest and the largest volume, such as 0.03",
    )
    volumes: Annotated[tuple[float, ...] | None, Field(json_schema_extra=told(unit="V/V0"))] = Field(
        None,
        description="volumes divided by the volume of the relaxed crystal; if given, n_volumes and max_strain have no "
        "effect",
    )
    at_volume: AtVolume = Field(
        AtVolume.SHAPE,
        description="what relaxes at each volume: shape (the atoms, and the cell at constant volume), positions (only "
        "the atoms) or nothing (the atoms follow the cell)",
    )
    equation: Equation = Field(
        Equation.BIRCH_MURNAGHAN, description="equation of state that is fitted to the energies"
    )

    @model_validator(mode="after")
    def _volumes_that_differ(self) -> Self:
        given = self.volumes
        if given is None:
            return self
        low, high = _RATIOS
        if len(set(given)) < _FEWEST or any(not low < ratio < high for ratio in given):
            raise ValueError(
                f"volumes must be at least {_FEWEST} different numbers between {low:g} and {high:g}, such as 0.94 for "
                f"a cell that is 6 % smaller, got {list(given)}"
            )
        return self


class EosParameters(VolumesParameters, TightRelaxParameters):
    """Energies at several volumes, and an equation of state through them."""


class QhaParameters(VolumesParameters, PhononParameters):
    """Phonons at several volumes, and the quasi-harmonic properties that follow from them."""

    n_volumes: int = Field(9, ge=_FEWEST, le=101, description="number of volumes")
    equation: Equation = Field(
        Equation.VINET,
        description="equation of state that is fitted to the free energies at each temperature",
    )
    temperatures: Annotated[tuple[float, ...], Field(json_schema_extra=told(unit="K"))] = Field(
        tuple(float(t) for t in range(0, 1001, 50)),
        description="temperatures at which volume, expansion and heat capacity are computed; 300 is always among them",
    )
    modes: bool = Field(False, description="store the Grueneisen parameters of all modes")

    @model_validator(mode="after")
    def _one_supercell(self) -> Self:
        if self.supercell_check is not None:
            raise ValueError(
                f"supercell_check = {self.supercell_check:g} A has no effect at several volumes: check the supercell "
                "with the task phonons"
            )
        return self
